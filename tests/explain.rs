//! The promise: `explain` says in words, as things stand now, why a job is not running: each job
//! and each part of its condition that is still missing, nested ones included, and nothing that is
//! there already; or which limit holds a job that is ready; or how it ended.

mod common;

use std::time::{Duration, SystemTime};

use common::{Gate, within};
use executor_engine::ManualClock;
use executor_engine::condition::*;
use executor_engine::prelude::*;

const HOUR: Duration = Duration::from_secs(3600);

/// Tuesday, 24 November 2026, 08:00.
fn manual() -> (ManualClock, Engine) {
    let clock = ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_507_200));
    let engine = Engine::builder().clock(&clock).time_zone("UTC").build().unwrap();
    (clock, engine)
}

/// The text has these parts, in that order.
#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => panic!("no {part:?} in its place in: {text}"),
        }
    }
}

fn waits(engine: &Engine, condition: Condition) -> JobHandle<i32> {
    engine.submit(ThreadJob::new(|| 1, ()).name("waiting").condition(condition)).unwrap()
}

#[test]
fn jobs_that_are_missing_pending_and_running() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (started, gate) = (Gate::new(), Gate::new());
        let (s, g) = (started.clone(), gate.clone());
        let running = ThreadJob::new(
            move || {
                s.open();
                g.pass();
                7
            },
            (),
        );
        let running = engine.submit(running.name("runs")).unwrap();
        let missing = ThreadJob::new(|| 1, ());
        let pending = ThreadJob::new(|x: i32| x, (missing.output(),)).name("pends");
        let pending = engine.submit(pending).unwrap();
        let job = ThreadJob::new(|a: i32, b: i32| a + b, (&running, &pending)).name("sum");
        let job = job.condition(after_another(&missing).failed() | after_delay("1h"));
        let job = engine.submit(job).unwrap();
        started.pass();
        let [own, run, pend, miss] =
            [job.id(), running.id(), pending.id(), missing.id()].map(|id| id.to_string());
        assert_says(
            &job.explain(),
            &[
                "job ",
                &own,
                " (sum) is pending: it waits for\n",
                "  the result of job ",
                &run,
                " (runs), which is running\n",
                "  the result of job ",
                &pend,
                " (pends), which is pending\n",
                "  one of:\n",
                "    job ",
                &miss,
                ", which was not submitted, to be failed\n",
                "    1h to pass since its submission: in 59m",
            ],
        );
        assert_says(&running.explain(), &[&run, " (runs) is running (attempt 1)"]);
        gate.open();
        running.wait().unwrap();
        let text = job.explain();
        assert!(!text.contains(&run), "{text}");
        engine.submit(missing).unwrap().wait().unwrap();
        pending.wait().unwrap();
        let text = job.explain();
        assert_says(&text, &["one of:", &miss, ", which is done, to be failed", "1h to pass"]);
        assert!(!text.contains(&pend), "{text}");
        job.cancel();
        assert_says(&job.explain(), &[&own, "is cancelled", "cancel was called"]);
    });
}

#[test]
fn every_sort_of_condition() {
    within(|| {
        let (_clock, engine) = manual();
        let missing = ThreadJob::new(|| 1, ());
        let id = missing.id().to_string();
        for (condition, parts) in [
            (after_another(&missing), vec![id.as_str(), "to be finished"]),
            (after_another(&missing).done(), vec![&id, "to be done"]),
            (
                after_another(&missing).statuses([Status::Failed, Status::Cancelled]),
                vec![&id, "to be failed or cancelled"],
            ),
            (after_timepoint("2026-11-25T08:00:00Z"), vec!["2026-11-25T08:00:00Z", "in 1d"]),
            (after_delay("90s"), vec!["1m30s to pass", "in 1m30s"]),
            (after_delay("250ms"), vec!["250ms to pass", "in 250ms"]),
            (every("2h"), vec!["every 2h", "in 2h"]),
            (after_clock("12:30"), vec!["the clock is past 12:30 (UTC)", "in 4h30m"]),
            (before_clock("7"), vec!["the clock is before 7:00", "in 16h"]),
            (
                between_clock("22", "6").zone("Asia/Tokyo"),
                vec!["the clock is between 22:00 and 6:00 (Asia/Tokyo)", "in 5h"],
            ),
            (after_weekday("thu"), vec!["Thursday or later", "in 1d16h"]),
            (before_weekday("mon"), vec!["Monday or earlier", "in 5d16h"]),
            (between_weekday("sat", "sun"), vec!["from Saturday to Sunday", "in 3d16h"]),
            (custom(|_| false).every("10s"), vec!["custom condition, asked every 10s"]),
        ] {
            let job = waits(&engine, condition);
            let mut expected = vec!["(waiting) is pending: it waits for\n"];
            expected.extend(parts);
            assert_says(&job.explain(), &expected);
        }
    });
}

#[test]
fn only_what_is_missing_now_and_at_which_level() {
    within(|| {
        let (clock, engine) = manual();
        let (one, two) = (ThreadJob::new(|| 1, ()), ThreadJob::new(|| 1, ()).name("two"));
        let ids = [one.id(), two.id()].map(|id| id.to_string());
        let nested = after_clock("9")
            & ((after_another(&one) & after_delay("3h")) | (after_another(&two) & every("1d")));
        let job = waits(&engine, nested);
        let levels = [
            "\n  the clock is past 9:00 (UTC): in 1h\n",
            "  one of:\n",
            "    all of:\n",
            "      job ",
            &ids[0],
            ", which was not submitted, to be finished\n",
            "      3h to pass since its submission: in 3h\n",
            "    all of:\n",
            "      job ",
            &ids[1],
            ", which was not submitted, to be finished\n",
            "      the next moment of every 1d: in 1d",
        ];
        assert_says(&job.explain(), &levels);
        clock.run_for(HOUR).unwrap();
        let text = job.explain();
        assert!(!text.contains("clock") && text.contains("3h to pass since its submission: in 2h"));
        engine.submit(one).unwrap();
        clock.run_for(HOUR).unwrap();
        let text = job.explain();
        assert!(
            !text.contains(&ids[0]) && text.contains(&ids[1]) && text.contains("in 1h"),
            "{text}"
        );
        clock.run_for(HOUR).unwrap();
        assert_says(&job.explain(), &["(waiting) is done"]);
    });
}

/// A job that waits for others is left in peace by time; what it says is right all the same.
#[test]
fn the_time_left_is_as_of_now() {
    within(|| {
        let (clock, engine) = manual();
        let missing = ThreadJob::new(|| 1, ());
        let all = after_another(&missing)
            & after_delay("2h")
            & every("3h")
            & after_clock("10")
            & before_clock("13");
        let job = waits(&engine, all);
        assert_says(&job.explain(), &["2h to pass", "in 2h", "every 3h: in 3h", "past 10:00"]);
        clock.advance(HOUR);
        let text = job.explain();
        assert_says(&text, &["2h to pass", "in 1h", "every 3h: in 2h", "in 1h"]);
        assert!(!text.contains("13:00"), "{text}");
        clock.advance(3 * HOUR);
        let text = job.explain();
        assert!(!text.contains("2h to pass") && !text.contains("past 10:00"), "{text}");
        assert_says(&text, &["every 3h: in 2h"]);
        clock.advance(HOUR);
        assert_says(&job.explain(), &["before 13:00 (UTC): in 11h"]);

        // By the system's clock, with an engine at rest.
        let engine = Engine::new().unwrap();
        let job = waits(&engine, after_delay("1h"));
        assert_says(&job.explain(), &["in 59m5"]);
        let seconds = |text: &str| -> u32 {
            let (_, left) = text.rsplit_once("in 59m").unwrap();
            left.trim_end_matches('s').parse().unwrap()
        };
        let first = seconds(&job.explain());
        while seconds(&job.explain()) == first {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
}

#[test]
fn which_limit_holds_a_job_that_is_ready() {
    within(|| {
        let (gate, started) = (Gate::new(), Gate::new());
        let holds = |engine: &Engine| {
            let (gate, started) = (gate.clone(), started.clone());
            let job = ThreadJob::new(
                move || {
                    started.open();
                    gate.pass();
                },
                (),
            );
            engine.submit(job).unwrap()
        };
        let engine = Engine::builder().max_thread_jobs(1).max_jobs(1).build().unwrap();
        let first = holds(&engine);
        started.pass();
        let job = waits(&engine, after_delay("0s"));
        assert_says(&job.explain(), &["is ready", "max_jobs is 1, and 1 jobs run"]);
        gate.open();
        first.wait().unwrap();
        assert_eq!(job.result().unwrap(), 1);

        let (gate, started) = (Gate::new(), Gate::new());
        let (g, s) = (gate.clone(), started.clone());
        let engine = Engine::builder().max_thread_jobs(1).build().unwrap();
        let first = ThreadJob::new(
            move || {
                s.open();
                g.pass();
            },
            (),
        );
        engine.submit(first).unwrap();
        started.pass();
        // The pool may take jobs ahead of its threads; each is told what holds it.
        let jobs: Vec<_> = (0..50).map(|_| waits(&engine, all_satisfied([]))).collect();
        for job in &jobs {
            let text = job.explain();
            let ready = text.contains("is ready") && text.contains("thread jobs");
            let next = text.contains("next in line for a thread of the pool");
            assert!(ready || next, "{text}");
        }
        gate.open();
        engine.wait().unwrap();
    });
}

#[test]
fn a_job_that_waits_in_its_own_code() {
    within(|| {
        let (clock, engine) = manual();
        let inner = waits(&engine, after_delay("1h"));
        let awaited = inner.clone();
        let outer = engine.submit(ThreadJob::new(move || awaited.result().unwrap(), ())).unwrap();
        while !outer.explain().contains("waits, in its own code, for job") {
            std::thread::yield_now();
        }
        assert_says(&outer.explain(), &["is running", &inner.id().to_string(), "which is pending"]);
        clock.advance(HOUR);
        assert_eq!(outer.result().unwrap(), 1);
    });
}

#[test]
fn how_it_ended() {
    within(|| {
        let engine = Engine::new().unwrap();
        let bad = engine.submit(ThreadJob::try_new(|| Err::<i32, _>("no such luck"), ())).unwrap();
        let never = waits(&engine, after_another(&bad).done());
        let past = waits(&engine, before_timepoint("2020-01-01T00:00:00Z"));
        let panics = waits(&engine, custom(|_| panic!("in a condition")).every("1s"));
        engine.wait().unwrap();
        assert_says(&bad.explain(), &["has failed", "no such luck"]);
        let id = bad.id().to_string();
        assert_says(&never.explain(), &["is cancelled", "can no longer come true", &id, "failed"]);
        assert_says(&past.explain(), &["is cancelled", "2020-01-01T00:00:00Z"]);
        assert_says(&panics.explain(), &["has failed", "in a condition"]);
        // Also when the engine has forgotten it, or is gone.
        engine.jobs().clear_finished();
        assert_says(&never.explain(), &["is cancelled", "can no longer come true"]);
        drop(engine);
        assert_says(&never.explain(), &["is cancelled"]);
    });
}

#[test]
fn long_lists_are_cut_short() {
    within(|| {
        let engine = Engine::new().unwrap();
        let jobs: Vec<_> = (0..100_000).map(|_| ThreadJob::new(|| (), ())).collect();
        for condition in [
            after_others(&jobs),
            after_others(&jobs).any(),
            all_satisfied(jobs.iter().map(|job| after_another(job) | after_delay("1h"))),
        ] {
            let job = waits(&engine, condition);
            let text = job.explain();
            assert!(text.contains("more") && text.len() < 10_000, "{}", text.len());
            job.cancel();
        }
    });
}
