//! The promise: conditions on time hold from the very nanosecond at which they should, by a clock
//! that tests move by hand: delays, periods, time points, clocks and weekdays, over midnight, gaps
//! and overlaps of a time zone; a step of the wall clock moves what goes by the wall and nothing
//! else; what can hold no more is cancelled when that is so; and a day of it passes in no time,
//! always in the same order.

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use common::{Gate, within};
use executor_engine::condition::*;
use executor_engine::prelude::*;
use executor_engine::{CancelReason, ManualClock};

const NANO: Duration = Duration::from_nanos(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn at(text: &str) -> SystemTime {
    text.parse::<Timepoint>().unwrap().as_system_time()
}

/// A clock at that moment and an engine that goes by it, in UTC.
fn engine_at(text: &str) -> (ManualClock, Engine) {
    let clock = ManualClock::new(at(text));
    let engine = Engine::builder().clock(&clock).time_zone("UTC").build().unwrap();
    (clock, engine)
}

/// A job that tells at what time it ran.
fn tells_time(clock: &ManualClock) -> LocalJob<SystemTime> {
    let clock = clock.clone();
    LocalJob::new(move || clock.now(), ())
}

/// Submitted at the first moment, the job becomes ready at the second, and not a nanosecond before.
#[track_caller]
fn assert_ready(condition: Condition, submitted: &str, ready: &str) {
    let told = condition.clone();
    let (clock, engine) = engine_at(submitted);
    let job = engine.submit(tells_time(&clock).condition(condition)).unwrap();
    let ready = at(ready);
    let wait = ready.duration_since(clock.now()).unwrap();
    if let Some(almost) = wait.checked_sub(NANO) {
        clock.run_for(almost).unwrap();
        let explained = job.explain();
        assert_eq!(job.status(), Status::Pending, "{told:?} from {submitted}: {explained}");
    }
    clock.run_for(wait.min(NANO)).unwrap();
    assert_eq!(job.status(), Status::Done, "{told:?} from {submitted}: {}", job.explain());
    assert_eq!(job.result().unwrap(), ready, "{told:?} from {submitted}");
    // In one go it is the same.
    let (clock, engine) = engine_at(submitted);
    let job = engine.submit(tells_time(&clock).condition(told.clone())).unwrap();
    clock.run_for(wait + 400 * DAY).unwrap();
    assert_eq!(job.result().unwrap(), ready, "{told:?} from {submitted}, in one go");
}

/// Submitted at that moment, the job is cancelled at once, for want of a time at which it could run.
#[track_caller]
fn assert_never(condition: Condition, submitted: &str) {
    let told = condition.clone();
    let (clock, engine) = engine_at(submitted);
    let job = engine.submit(tells_time(&clock).condition(condition)).unwrap();
    engine.wait().unwrap();
    let error = job.result().unwrap_err();
    let Some(CancelReason::Unsatisfiable(why)) = error.cancel_reason() else {
        panic!("{told:?}: {error}");
    };
    assert!(why.jobs().is_empty() && !why.to_string().is_empty(), "{told:?}: {why}");
}

#[test]
fn time_points() {
    within(|| {
        let t = "2026-11-24T08:00:00Z";
        let u = "2026-11-24T09:00:00.000000001Z";
        assert_ready(after_timepoint(u), t, u);
        assert_ready(after_timepoint(t), t, t);
        assert_ready(after_timepoint(t), u, u);
        assert_ready(before_timepoint(u), t, t);
        assert_ready(between_timepoint(t, u), "2026-11-24T07:00:00Z", t);
        assert_ready(between_timepoint(t, u), "2026-11-24T09:00:00Z", "2026-11-24T09:00:00Z");
        assert_never(before_timepoint(t), t);
        assert_never(between_timepoint(t, u), u);
        assert_never(after_timepoint(u) & before_timepoint(t), "2026-11-24T07:00:00Z");
    });
}

#[test]
fn a_job_that_is_not_ready_by_its_last_moment_is_cancelled_then() {
    within(|| {
        let (clock, engine) = engine_at("2026-11-24T08:00:00Z");
        let missing = ThreadJob::new(|| 1, ());
        let end = at("2026-11-24T09:00:00Z");
        let conditions = [
            before_timepoint(end) & after_another(&missing),
            after_another(&missing) & (before_timepoint(end) | any_satisfied([])),
            between_timepoint(clock.now(), end) & after_others([&missing]).any(),
        ];
        for condition in conditions {
            let job = engine.submit(ThreadJob::new(|| 1, ()).condition(condition)).unwrap();
            // Time comes to it only from outside, and no job that it waits for can.
            assert!(engine.wait().unwrap_err().is_stalled());
            clock.run_for(end.duration_since(clock.now()).unwrap() - NANO).unwrap();
            assert_eq!(job.status(), Status::Pending);
            clock.run_for(NANO).unwrap();
            assert_eq!(job.status(), Status::Cancelled);
            let text = job.exception().unwrap().to_string();
            assert!(text.contains("2026-11-24T09:00:00Z"), "{text}");
            clock.set(at("2026-11-24T08:00:00Z"));
        }
    });
}

#[test]
fn delays_and_periods() {
    within(|| {
        let t = "2026-11-24T08:00:00.5Z";
        assert_ready(after_delay("0s"), t, t);
        assert_ready(after_delay("1ns"), t, "2026-11-24T08:00:00.500000001Z");
        assert_ready(after_delay("1d2h"), t, "2026-11-25T10:00:00.5Z");
        assert_ready(after_delay(HOUR), t, "2026-11-24T09:00:00.5Z");
        assert_ready(after_delay("36500d"), "2026-11-24T08:00:00Z", "2126-10-31T08:00:00Z");
        assert_ready(every("10m"), t, "2026-11-24T08:10:00.5Z");
        // Together: at the first moment at which all hold.
        assert_ready(every("4h") & after_delay("9h"), t, "2026-11-24T20:00:00.5Z");
        assert_ready(every("4h") & after_delay("8h"), t, "2026-11-24T16:00:00.5Z");
        assert_ready(every("4h") & every("6h"), t, "2026-11-24T20:00:00.5Z");
        assert_ready(every("4h") | every("6h"), t, "2026-11-24T12:00:00.5Z");
        assert_ready(every("4h") & after_clock("13:30"), t, "2026-11-24T16:00:00.5Z");
        assert_ready(after_delay("9h") | after_clock("17"), t, "2026-11-24T17:00:00Z");
        assert_ready(after_delay("2h") & before_clock("10"), t, "2026-11-25T00:00:00Z");
    });
}

#[test]
fn a_delay_beyond_the_last_moment_is_told_at_once() {
    within(|| {
        // Also on a clock that has run for long.
        let (clock, engine) = engine_at("2026-11-24T08:00:00Z");
        clock.advance(10 * DAY);
        let end = clock.now() + HOUR;
        let late = after_delay("1h") & before_timepoint(end);
        let late = engine.submit(ThreadJob::new(|| 1, ()).condition(late)).unwrap();
        assert_eq!(late.status(), Status::Cancelled);
        let still = after_delay(HOUR - NANO) & before_timepoint(end);
        let still = engine.submit(ThreadJob::new(|| 1, ()).condition(still)).unwrap();
        clock.run_for(HOUR).unwrap();
        assert_eq!(still.status(), Status::Done);
    });
}

/// A moment of `every` counts, whatever else happens to the job at it.
#[test]
fn a_period_misses_no_moment_at_which_another_job_ends_too() {
    within(|| {
        for waits_first in [true, false] {
            let (clock, engine) = engine_at("2026-11-24T08:00:00Z");
            let ends = before_timepoint("2026-11-24T09:00:00Z");
            let missing = ThreadJob::new(|| (), ());
            let ends = ThreadJob::new(|| (), ()).condition(ends & after_another(&missing));
            let either = after_delay("1s") | after_another(&ends);
            let waits = tells_time(&clock).condition(every("1h") & either);
            let waits = if waits_first {
                let waits = engine.submit(waits).unwrap();
                engine.submit(ends).unwrap();
                waits
            } else {
                engine.submit(ends).unwrap();
                engine.submit(waits).unwrap()
            };
            clock.run_for(DAY).unwrap();
            assert_eq!(waits.result().unwrap(), at("2026-11-24T09:00:00Z"));
        }
    });
}

#[test]
fn clocks_at_each_boundary_and_over_midnight() {
    within(|| {
        // The original's was false at 13:00, for 0 minutes are less than 30.
        assert_ready(after_clock("12:30"), "2026-11-24T13:00:00Z", "2026-11-24T13:00:00Z");
        let noon = "2026-11-24T12:00:00Z";
        assert_ready(after_clock("12:30"), noon, "2026-11-24T12:30:00Z");
        assert_ready(after_clock("12:30:15"), noon, "2026-11-24T12:30:15Z");
        assert_ready(after_clock("12"), noon, noon);
        assert_ready(after_clock("0:00"), noon, noon);
        let last = "2026-11-24T23:59:59.999999999Z";
        assert_ready(after_clock("23:59:59"), last, last);
        assert_ready(after_clock("12:30"), "2026-11-25T00:00:00Z", "2026-11-25T12:30:00Z");
        assert_never(after_clock("24:00"), noon);

        assert_ready(before_clock("12"), noon, "2026-11-25T00:00:00Z");
        let before = "2026-11-24T11:59:59.999999999Z";
        assert_ready(before_clock("12"), before, before);
        assert_ready(before_clock("24:00"), last, last);
        assert_never(before_clock("0"), noon);

        let morning = || between_clock("9:30", "11");
        assert_ready(morning(), "2026-11-24T09:29:00Z", "2026-11-24T09:30:00Z");
        assert_ready(morning(), "2026-11-24T10:59:59.9Z", "2026-11-24T10:59:59.9Z");
        assert_ready(morning(), "2026-11-24T11:00:00Z", "2026-11-25T09:30:00Z");
        let night = || between_clock("22", "6");
        assert_ready(night(), "2026-11-24T06:00:00Z", "2026-11-24T22:00:00Z");
        assert_ready(night(), last, last);
        assert_ready(night(), "2026-11-25T05:59:59Z", "2026-11-25T05:59:59Z");
        assert_ready(between_clock("18", "24:00"), noon, "2026-11-24T18:00:00Z");
        assert_ready(between_clock("18", "0"), last, last);
        assert_never(after_clock("22") & before_clock("6"), noon);
        assert_never(between_clock("9", "10") & between_clock("10", "11"), noon);
    });
}

#[test]
fn weekdays_at_each_boundary_and_over_sunday() {
    within(|| {
        let tuesday = "2026-11-24T12:00:00Z";
        let monday = "2026-11-30T00:00:00Z";
        assert_ready(after_weekday("thu"), tuesday, "2026-11-26T00:00:00Z");
        assert_ready(after_weekday("tue"), tuesday, tuesday);
        let last = "2026-11-29T23:59:59.999999999Z";
        assert_ready(after_weekday("thu"), last, last);
        assert_ready(after_weekday("thu"), monday, "2026-12-03T00:00:00Z");
        assert_ready(after_weekday("monday"), last, last);
        assert_ready(before_weekday("mon"), tuesday, monday);
        assert_ready(before_weekday("tue"), tuesday, tuesday);
        assert_ready(before_weekday("tue"), "2026-11-25T00:00:00Z", monday);
        assert_ready(between_weekday("sat", "mon"), tuesday, "2026-11-28T00:00:00Z");
        assert_ready(between_weekday("sat", "mon"), monday, monday);
        let tuesday_begins = "2026-12-01T00:00:00Z";
        assert_ready(between_weekday("sat", "mon"), tuesday_begins, "2026-12-05T00:00:00Z");
        let wednesday = between_weekday(Weekday::Wednesday, Weekday::Wednesday);
        assert_ready(wednesday, tuesday, "2026-11-25T00:00:00Z");
        let friday_evening = after_clock("18") & between_weekday("fri", "fri");
        assert_ready(friday_evening, tuesday, "2026-11-27T18:00:00Z");
        assert_never(between_weekday("mon", "mon") & between_weekday("tue", "tue"), tuesday);
    });
}

/// The clocks go from 2:00 to 3:00 and back from 3:00 to 2:00.
#[test]
fn berlin() {
    within(|| {
        let zone = "Europe/Berlin";
        let half_past = || after_clock("2:30").zone(zone);
        let gap = "2026-03-29T01:00:00Z"; // 3:00
        let midnight = "2026-03-28T23:00:00Z";
        assert_ready(half_past(), midnight, gap);
        assert_ready(after_clock("2").zone(zone), midnight, gap);
        assert_ready(after_clock("1:59:59").zone(zone), midnight, "2026-03-29T00:59:59Z");
        assert_ready(after_clock("3:00:01").zone(zone), midnight, "2026-03-29T01:00:01Z");
        // The times between are not shown that day.
        let between = between_clock("2:15", "2:45").zone(zone);
        assert_ready(between, midnight, "2026-03-30T00:15:00Z");
        assert_ready(between_clock("2:15", "3:15").zone(zone), midnight, gap);
        // Shown twice: until the second 2:00 it is past the first 2:30.
        let midnight = "2026-10-24T22:00:00Z";
        assert_ready(half_past(), midnight, "2026-10-25T00:30:00Z");
        assert_ready(half_past(), "2026-10-25T00:59:59Z", "2026-10-25T00:59:59Z");
        assert_ready(half_past(), "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z");
        let before = || before_clock("2:15").zone(zone);
        assert_ready(before(), "2026-10-25T00:15:00Z", "2026-10-25T01:00:00Z");
        assert_ready(before(), "2026-10-25T01:15:00Z", "2026-10-25T23:00:00Z");
        // A day of 25 hours.
        let monday = between_weekday("mon", "mon").zone(zone);
        assert_ready(monday, midnight, "2026-10-25T23:00:00Z");
    });
}

#[test]
fn new_york() {
    within(|| {
        let zone = "America/New_York";
        let midnight = "2026-03-08T05:00:00Z";
        assert_ready(after_clock("2:30").zone(zone), midnight, "2026-03-08T07:00:00Z");
        assert_ready(after_clock("4").zone(zone), midnight, "2026-03-08T08:00:00Z");
        assert_ready(between_clock("2", "3").zone(zone), midnight, "2026-03-09T06:00:00Z");
        let midnight = "2026-11-01T04:00:00Z";
        assert_ready(after_clock("1:30").zone(zone), midnight, "2026-11-01T05:30:00Z");
        let second = "2026-11-01T06:00:00Z";
        assert_ready(after_clock("1:30").zone(zone), second, "2026-11-01T06:30:00Z");
        assert_ready(after_clock("2").zone(zone), midnight, "2026-11-01T07:00:00Z");
    });
}

/// The clocks change at midnight: one day begins at 1:00, another has its last hour twice.
#[test]
fn santiago() {
    within(|| {
        let zone = "America/Santiago";
        let evening = "2026-09-06T03:00:00Z"; // Saturday, 23:00
        let sunday = || between_weekday("sun", "sun").zone(zone);
        assert_ready(sunday(), evening, "2026-09-06T04:00:00Z");
        let early = before_clock("1:30").zone(zone);
        assert_ready(early, evening, "2026-09-06T04:00:00Z");
        // From 0:00 to 0:59 is skipped with its hour.
        let skipped = before_clock("1").zone(zone);
        assert_ready(skipped, evening, "2026-09-07T03:00:00Z");
        assert_ready(
            between_clock("0", "1").zone(zone) & sunday(),
            evening,
            "2026-09-13T03:00:00Z",
        );
        // Saturday, 4 April, is 25 hours long: at 24:00 it is 23:00 again.
        let late = "2026-04-05T02:30:00Z"; // 23:30, the first
        assert_ready(sunday(), late, "2026-04-05T04:00:00Z");
        let half_past = after_clock("23:30").zone(zone);
        assert_ready(half_past.clone(), "2026-04-05T02:00:00Z", late);
        assert_ready(half_past, "2026-04-05T03:00:00Z", "2026-04-05T03:30:00Z");
    });
}

/// The clocks change by half an hour.
#[test]
fn lord_howe() {
    within(|| {
        let zone = "Australia/Lord_Howe";
        let before = "2026-10-03T15:00:00Z"; // 1:30
        assert_ready(after_clock("2:15").zone(zone), before, "2026-10-03T15:30:00Z");
        assert_ready(after_clock("2:45").zone(zone), before, "2026-10-03T15:45:00Z");
        let skipped = between_clock("2", "2:30").zone(zone);
        assert_ready(skipped, before, "2026-10-04T15:00:00Z");
        // From 2:00 back to 1:30.
        let before = "2026-04-04T14:30:00Z"; // 1:30
        let late = || after_clock("1:45").zone(zone);
        assert_ready(late(), before, "2026-04-04T14:45:00Z");
        assert_ready(late(), "2026-04-04T15:00:00Z", "2026-04-04T15:15:00Z");
        assert_ready(after_clock("2").zone(zone), before, "2026-04-04T15:30:00Z");
    });
}

#[test]
fn zones_are_the_conditions_own_or_the_engines() {
    within(|| {
        let clock = ManualClock::new(at("2026-11-24T08:00:00Z"));
        let engine = Engine::builder().clock(&clock).time_zone("Asia/Tokyo").build().unwrap();
        let submit = |condition| engine.submit(tells_time(&clock).condition(condition)).unwrap();
        let tokyo = submit(after_clock("18"));
        let berlin = submit(after_clock("18").zone("Europe/Berlin"));
        // In each what the other does not say.
        let both = submit(after_clock("18").zone("America/New_York") & after_weekday("mon"));
        clock.run_for(DAY).unwrap();
        assert_eq!(tokyo.result().unwrap(), at("2026-11-24T09:00:00Z"));
        assert_eq!(berlin.result().unwrap(), at("2026-11-24T17:00:00Z"));
        assert_eq!(both.result().unwrap(), at("2026-11-24T23:00:00Z"));
        // Two walls can agree for some weeks of the year only: noon in Berlin is 7:00 in New York
        // when one of them has changed its clocks and the other has not.
        let noon = |zone| between_clock("12", "12:01").zone(zone);
        let seven = between_clock("7", "7:01").zone("America/New_York");
        let job = submit(noon("Europe/Berlin") & seven);
        clock.run_for(400 * DAY).unwrap();
        assert_eq!(job.result().unwrap(), at("2027-03-14T11:00:00Z"));
        assert_eq!(submit(noon("UTC") & noon("Asia/Tokyo")).status(), Status::Cancelled);
    });
}

#[test]
fn a_step_of_the_wall_clock_moves_what_goes_by_the_wall_and_nothing_else() {
    within(|| {
        for step_to in ["2026-11-24T11:59:59.999999999Z", "2026-11-20T00:00:00Z"] {
            let (clock, engine) = engine_at("2026-11-24T08:00:00Z");
            let start = clock.now();
            let submit =
                |condition| engine.submit(tells_time(&clock).condition(condition)).unwrap();
            let delay = submit(after_delay("1h"));
            let period = submit(every("1h"));
            let point = submit(after_timepoint("2026-11-24T12:00:00Z"));
            let clocks = submit(after_clock("12") & between_weekday("tue", "tue"));
            clock.set(at(step_to));
            let left = at("2026-11-24T12:00:00Z").duration_since(clock.now()).unwrap();
            if left < HOUR {
                // Forward to just before.
                assert_eq!((point.status(), clocks.status()), (Status::Pending, Status::Pending));
                clock.run_for(NANO).unwrap();
                assert_eq!((point.status(), clocks.status()), (Status::Done, Status::Done));
                assert_eq!(delay.status(), Status::Pending);
                clock.run_for(HOUR - 2 * NANO).unwrap();
            } else {
                clock.run_for(HOUR - NANO).unwrap();
                assert_eq!((point.status(), clocks.status()), (Status::Pending, Status::Pending));
            }
            assert_eq!((delay.status(), period.status()), (Status::Pending, Status::Pending));
            clock.run_for(NANO).unwrap();
            assert_eq!((delay.status(), period.status()), (Status::Done, Status::Done));
            clock.run_for(10 * DAY).unwrap();
            assert_eq!(point.result().unwrap(), at("2026-11-24T12:00:00Z"));
            assert_eq!(clocks.result().unwrap(), at("2026-11-24T12:00:00Z"));
            assert!(delay.result().unwrap() > SystemTime::UNIX_EPOCH && start < clock.now());
        }
    });
}

#[test]
fn a_step_over_a_moment_counts_as_its_coming() {
    within(|| {
        let (clock, engine) = engine_at("2026-11-24T08:00:00Z");
        let submit = |condition| engine.submit(tells_time(&clock).condition(condition)).unwrap();
        let missing = ThreadJob::new(|| 1, ());
        let after = submit(after_timepoint("2026-11-24T09:00:00Z"));
        let span = submit(between_timepoint("2026-11-24T09:00:00Z", "2026-11-24T10:00:00Z"));
        let before = before_timepoint("2026-11-24T11:00:00Z") & after_another(&missing);
        let before = submit(before);
        let daily = submit(between_clock("9", "10"));
        clock.set(at("2026-11-24T12:00:00Z"));
        clock.run_for(Duration::ZERO).unwrap();
        assert_eq!(after.result().unwrap(), at("2026-11-24T12:00:00Z"));
        assert_eq!((span.status(), before.status()), (Status::Cancelled, Status::Cancelled));
        assert_eq!(daily.status(), Status::Pending);
        // And what is cancelled stays so, when the clock goes back.
        clock.set(at("2026-11-24T08:00:00Z"));
        clock.run_for(HOUR).unwrap();
        assert_eq!((span.status(), before.status()), (Status::Cancelled, Status::Cancelled));
        assert_eq!(daily.result().unwrap(), at("2026-11-24T09:00:00Z"));
    });
}

#[test]
fn a_clock_set_back_again_and_again_starts_nothing_twice() {
    within(|| {
        let (clock, engine) = engine_at("2026-11-24T08:00:00Z");
        let runs = Arc::new(Mutex::new(0));
        let handles: Vec<_> = (0..24)
            .map(|hour| {
                let runs = Arc::clone(&runs);
                let condition = after_clock(Clock::new(hour, 0, 0).unwrap());
                let job = ThreadJob::new(move || *runs.lock().unwrap() += 1, ());
                engine.submit(job.condition(condition)).unwrap()
            })
            .collect();
        for _ in 0..50 {
            clock.run_for(7 * HOUR).unwrap();
            clock.set(clock.now() - 6 * HOUR);
        }
        clock.run_for(DAY).unwrap();
        assert!(handles.iter().all(|job| job.attempt() == 1 && job.status() == Status::Done));
        assert_eq!(*runs.lock().unwrap(), 24);
    });
}

/// What happens in a day of many conditions, in order.
fn a_day() -> Vec<(usize, Duration)> {
    let (clock, engine) = engine_at("2026-11-24T00:00:00Z");
    let start = clock.now();
    let log = Arc::new(Mutex::new(Vec::new()));
    let note = |index: usize| {
        let (log, clock) = (Arc::clone(&log), clock.clone());
        move || log.lock().unwrap().push((index, clock.now().duration_since(start).unwrap()))
    };
    let mut handles: Vec<JobHandle<()>> = Vec::new();
    for index in 0..300_usize {
        let minutes = Duration::from_secs(60 * (index as u64 * 7919 % 1440));
        let condition = match index % 6 {
            0 => after_delay(minutes),
            1 => after_timepoint(start + minutes),
            2 => every(minutes / 2 + HOUR / 4) & after_clock("6"),
            3 => after_another(&handles[index / 2]) & after_delay(minutes / 2),
            4 => after_others(&handles[index / 3..index / 2]).any() | after_clock("20"),
            // A fan-in of what ended at many times, and one of no time at all.
            _ => after_others(&handles[index / 2..index]),
        };
        handles.push(engine.submit(LocalJob::new(note(index), ()).condition(condition)).unwrap());
    }
    clock.run_for(2 * DAY).unwrap();
    assert_eq!(engine.stats().done, 300);
    let log = log.lock().unwrap();
    assert!(log.is_sorted_by_key(|(_, time)| *time));
    log.clone()
}

#[test]
fn a_day_passes_in_no_time_and_fifty_times_the_same_way() {
    within(|| {
        let first = a_day();
        assert_eq!(first.len(), 300);
        for _ in 1..50 {
            assert_eq!(a_day(), first);
        }
    });
}

#[test]
fn a_year_of_waiting_takes_no_time() {
    within(|| {
        let (clock, engine) = engine_at("2026-11-24T08:00:00Z");
        let submit = |condition| engine.submit(tells_time(&clock).condition(condition)).unwrap();
        let years: Vec<_> = (0..1000).map(|days| submit(after_delay(days * DAY))).collect();
        let never = submit(every("1d") & after_delay("36500d"));
        clock.run_for(1000 * DAY).unwrap();
        assert!(years.iter().all(|job| job.status() == Status::Done));
        assert_eq!(never.status(), Status::Pending);
    });
}

#[test]
fn what_follows_from_a_job_happens_at_its_time() {
    within(|| {
        let (clock, engine) = engine_at("2026-11-24T08:00:00Z");
        let pool = |clock: &ManualClock| {
            let clock = clock.clone();
            ThreadJob::new(move || clock.now(), ())
        };
        let first = engine.submit(pool(&clock).condition(after_delay("1h"))).unwrap();
        let mut chain = vec![first];
        for _ in 0..50 {
            let next = pool(&clock).condition(after_another(chain.last().unwrap()).done());
            chain.push(engine.submit(next).unwrap());
        }
        // A job that submits another, which waits in turn.
        let (inner, again) = (engine.clone(), clock.clone());
        let last = chain.last().unwrap();
        let submits = ThreadJob::new(
            move || {
                let clock = again.clone();
                let job = ThreadJob::new(move || clock.now(), ()).condition(after_delay("30m"));
                inner.submit(job).unwrap()
            },
            (),
        );
        let submits = engine.submit(submits.condition(after_another(last))).unwrap();
        clock.run_for(DAY).unwrap();
        assert!(chain.iter().all(|job| job.result().unwrap() == at("2026-11-24T09:00:00Z")));
        let inner = submits.result().unwrap();
        assert_eq!(inner.result().unwrap(), at("2026-11-24T09:30:00Z"));
        // The closure holds the engine.
        drop(submits);
    });
}

#[test]
fn advance_brings_each_moment_and_waits_for_no_job() {
    within(|| {
        let (clock, engine) = engine_at("2026-11-24T08:00:00Z");
        let gate = Gate::new();
        let g = gate.clone();
        let slow = ThreadJob::new(move || g.pass(), ()).condition(after_delay("1h"));
        let slow = engine.submit(slow).unwrap();
        let next = ThreadJob::new(|| (), ()).condition(after_another(&slow));
        let next = engine.submit(next).unwrap();
        clock.advance(DAY);
        assert_eq!(next.status(), Status::Pending);
        gate.open();
        engine.wait().unwrap();
        assert_eq!((slow.status(), next.status()), (Status::Done, Status::Done));
    });
}

#[test]
fn advancing_by_all_the_time_there_is_comes_to_an_end() {
    within(|| {
        let (clock, engine) = engine_at("2026-11-24T08:00:00Z");
        let missing = ThreadJob::new(|| 1, ());
        let far = engine.submit(ThreadJob::new(|| 1, ()).condition(after_delay("36500d"))).unwrap();
        let period = every("36500d") & after_others([&missing, &missing]).any();
        let waits = engine.submit(ThreadJob::new(|| 1, ()).condition(period)).unwrap();
        let alone = every("36500d") & custom(|_| false).every("36500d");
        engine.submit(ThreadJob::new(|| 1, ()).condition(alone)).unwrap();
        clock.advance(Duration::MAX);
        clock.run_for(Duration::MAX).unwrap();
        assert_eq!((far.result().unwrap(), waits.status()), (1, Status::Pending));
        assert!(clock.now() > at("2200-01-01T00:00:00Z"));
        let now = engine.submit(ThreadJob::new(|| 2, ()).condition(after_delay("0s"))).unwrap();
        assert_eq!(now.result().unwrap(), 2);
    });
}

#[test]
fn a_clock_at_the_ends_of_what_it_can_show() {
    within(|| {
        let far = Duration::from_secs(1 << 40);
        for time in [SystemTime::UNIX_EPOCH - far, SystemTime::UNIX_EPOCH + far] {
            let clock = ManualClock::new(time);
            let engine =
                Engine::builder().clock(&clock).time_zone("Europe/Berlin").build().unwrap();
            let delay = ThreadJob::new(|| 1, ()).condition(after_delay("1h"));
            let delay = engine.submit(delay).unwrap();
            // No such time comes, or it is there: in any case nothing panics or hangs.
            for condition in [after_clock("12"), after_weekday("fri"), after_timepoint(time)] {
                engine.submit(ThreadJob::new(|| 1, ()).condition(condition)).unwrap();
            }
            clock.run_for(HOUR).unwrap();
            assert_eq!(delay.result().unwrap(), 1);
            clock.set(SystemTime::UNIX_EPOCH);
            clock.run_for(8 * DAY).unwrap();
            let delay = ThreadJob::new(|| 2, ()).condition(after_delay("1d"));
            let delay = engine.submit(delay).unwrap();
            clock.run_for(DAY).unwrap();
            assert_eq!(delay.result().unwrap(), 2);
        }
    });
}

#[test]
fn two_engines_share_a_clock() {
    within(|| {
        let (clock, one) = engine_at("2026-11-24T08:00:00Z");
        let two = Engine::builder().clock(&clock).time_zone("UTC").build().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        for minute in 1..=100_u64 {
            let engine = if minute % 2 == 0 { &one } else { &two };
            let log = Arc::clone(&log);
            let job = ThreadJob::new(move || log.lock().unwrap().push(minute), ());
            let delay = Duration::from_secs(60 * minute);
            engine.submit(job.condition(after_delay(delay))).unwrap();
        }
        clock.run_for(HOUR).unwrap();
        assert_eq!(*log.lock().unwrap(), (1..=60).collect::<Vec<_>>());
        // One of them ends; the other goes on.
        drop(two);
        clock.run_for(HOUR).unwrap();
        let rest: Vec<_> = (61..=100).filter(|minute| minute % 2 == 0).collect();
        assert_eq!(log.lock().unwrap()[60..], rest);
    });
}

#[test]
fn a_job_may_move_the_clock_itself() {
    within(|| {
        let (clock, engine) = engine_at("2026-11-24T08:00:00Z");
        let (hand, start) = (clock.clone(), clock.now());
        let moves = ThreadJob::new(
            move || {
                // It would wait for itself.
                let error = hand.run_for(HOUR).unwrap_err();
                hand.advance(HOUR);
                hand.set(hand.now() + HOUR);
                (error.is_wait_inside_job(), error.to_string())
            },
            (),
        );
        let moves = engine.submit(moves.condition(after_delay("1h"))).unwrap();
        let delay = engine.submit(tells_time(&clock).condition(after_delay("90m"))).unwrap();
        // Both from outside, where nobody else moves it, and while it is being moved.
        clock.run_for(2 * HOUR).unwrap();
        let (right, text) = moves.result().unwrap();
        assert!(right, "{text}");
        assert_eq!(delay.status(), Status::Done);
        assert_eq!(clock.now(), start + 3 * HOUR);
    });
}

#[test]
fn several_threads_may_move_one_clock() {
    within(|| {
        let (clock, engine) = engine_at("2026-11-24T08:00:00Z");
        let start = clock.now();
        let jobs: Vec<_> = (0..200)
            .map(|minute| {
                let delay = after_delay(Duration::from_secs(minute * 60));
                engine.submit(ThreadJob::new(|| (), ()).condition(delay)).unwrap()
            })
            .collect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| clock.run_for(HOUR).unwrap());
                scope.spawn(|| clock.advance(HOUR));
            }
        });
        // Who starts while others move it ends when they do.
        assert!(clock.now() >= start + HOUR);
        clock.run_for(DAY).unwrap();
        assert!(jobs.iter().all(|job| job.status() == Status::Done));
    });
}

#[test]
fn hopeless_texts_and_lengths_are_refused_in_no_time() {
    within(|| {
        let engine = Engine::new().unwrap();
        let nines = "9".repeat(1_000_000);
        let bad = [
            after_delay("99999999999999999999d"),
            after_delay("-1s"),
            after_delay("36501d"),
            after_delay(Duration::MAX),
            every(Duration::MAX),
            every("0s"),
            every(format!("{nines}s")),
            after_clock(nines.clone()),
            after_clock("24:00:01"),
            between_clock("9", "9:00"),
            between_clock("24:00", "0"),
            after_weekday("Feb 30"),
            after_timepoint("2026-02-30T00:00:00Z"),
            after_timepoint("2026-11-24T08:00:00"),
            between_timepoint("2026-11-24T08:00:00Z", "2026-11-24T08:00:00Z"),
            after_clock("9").zone("Mars/Olympus"),
            after_clock("9").zone(nines),
            custom(|_| true).every("0s"),
            custom(|_| true).every(Duration::MAX),
        ];
        for condition in bad {
            let start = Instant::now();
            assert!(condition.check().unwrap_err().is_invalid_condition());
            let job = ThreadJob::new(|| 1, ()).condition(after_delay("1s") | condition.clone());
            let error = engine.submit(job).unwrap_err();
            assert!(error.is_invalid_condition() && error.to_string().len() < 500, "{error}");
            // A thousandth of a second is the promise; the machine may be busy with other tests.
            assert!(start.elapsed() < Duration::from_millis(500), "{error}");
        }
        engine.wait().unwrap();
        assert_eq!(engine.stats().unfinished, 0);
    });
}

#[test]
fn a_condition_of_a_thousand_clocks_is_no_trouble() {
    within(|| {
        let (clock, engine) = engine_at("2026-11-24T08:00:00Z");
        let zone = |condition: Condition| condition.zone("Europe/Berlin");
        let minute = |index: u32| {
            Clock::new(u8::try_from(index / 60).unwrap(), (index % 60) as u8, 0).unwrap()
        };
        let never = (0..900).map(|index| between_clock(minute(index), "23:59"));
        let never = all_satisfied(never) & between_weekday("mon", "mon") & after_weekday("tue");
        let start = Instant::now();
        engine.submit(ThreadJob::new(|| 1, ()).condition(zone(never))).unwrap();
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        let last = all_satisfied((0..900).map(|index| after_clock(minute(index))));
        let last = engine.submit(tells_time(&clock).condition(zone(last))).unwrap();
        clock.run_for(8 * HOUR).unwrap();
        assert_eq!(last.result().unwrap(), at("2026-11-24T13:59:00Z"));
    });
}

#[test]
fn an_engine_ends_while_its_clock_is_moved() {
    within(|| {
        for round in 0..20 {
            let (clock, engine) = engine_at("2026-11-24T08:00:00Z");
            let started = Gate::new();
            for minute in 0..50_u64 {
                let delay = after_delay(Duration::from_secs(60 * minute));
                let open = started.clone();
                let job = ThreadJob::new(move || open.open(), ()).condition(delay);
                engine.submit(job).unwrap();
                let asked = custom(move |_| false).every("1m");
                engine.submit(ThreadJob::new(|| (), ()).condition(asked)).unwrap();
            }
            std::thread::scope(|scope| {
                let moves = scope.spawn(|| clock.run_for(DAY));
                started.pass();
                if round % 2 == 0 {
                    engine.shutdown(Shutdown::Cancel);
                } else {
                    drop(engine);
                }
                moves.join().unwrap().unwrap();
            });
            assert_eq!(clock.now(), at("2026-11-25T08:00:00Z"));
        }
    });
}

/// By the system's clock, which nobody moves.
#[test]
fn jobs_never_come_early_by_the_clock_of_the_system() {
    within(|| {
        let engine = Engine::new().unwrap();
        let begin = Instant::now();
        let mut points = Vec::new();
        let mut delays = Vec::new();
        for index in 1..=50_u64 {
            let time = Duration::from_millis(index * 3);
            let point = SystemTime::now() + time;
            let job = ThreadJob::new(SystemTime::now, ()).condition(after_timepoint(point));
            points.push((point, engine.submit(job).unwrap()));
            let job = ThreadJob::new(Instant::now, ()).condition(after_delay(time));
            delays.push((Instant::now() + time, engine.submit(job).unwrap()));
        }
        engine.wait().unwrap();
        for (point, job) in points {
            let ran = job.result().unwrap();
            assert!(ran >= point, "{:?} early", point.duration_since(ran));
        }
        // Their delays began after `due` was reckoned.
        assert!(delays.iter().all(|(due, job)| job.result().unwrap() >= *due));
        assert!(begin.elapsed() >= Duration::from_millis(150));
    });
}

#[test]
fn a_job_inside_another_that_waits_for_time() {
    within(|| {
        let engine =
            Engine::builder().max_jobs(1).max_thread_jobs(1).max_blocking_jobs(1).build().unwrap();
        let timed = |kind: ThreadJob<u32>| {
            engine.submit(kind.condition(after_delay("20ms") & every("5ms"))).unwrap()
        };
        let inner = [timed(ThreadJob::new(|| 1, ())), timed(ThreadJob::new(|| 2, ()).blocking())];
        let local = LocalJob::new(|| 3, ()).condition(after_delay("30ms"));
        let local = engine.submit(local).unwrap();
        let sum = ThreadJob::new(
            move || {
                inner.iter().map(|job| job.result().unwrap()).sum::<u32>() + local.result().unwrap()
            },
            (),
        );
        assert_eq!(engine.submit(sum).unwrap().result().unwrap(), 6);
    });
}

#[test]
fn a_job_inside_another_that_waits_for_time_by_hand() {
    within(|| {
        let clock = ManualClock::new(at("2026-11-24T08:00:00Z"));
        let engine =
            Engine::builder().clock(&clock).max_thread_jobs(1).time_zone("UTC").build().unwrap();
        let inner = engine.submit(tells_time(&clock).condition(after_clock("12"))).unwrap();
        let outer = ThreadJob::new(move || inner.result().unwrap(), ());
        let outer = engine.submit(outer.condition(after_delay("1h"))).unwrap();
        clock.run_for(DAY).unwrap();
        assert_eq!(outer.result().unwrap(), at("2026-11-24T12:00:00Z"));
    });
}
