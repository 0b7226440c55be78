use jiff::civil::Time;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::condition::Timepoint;

const HOUR: i64 = 3_600 * NANOS;

fn zone(name: &str) -> Zone {
    Zone::named(name).expect("a zone")
}

/// Nanoseconds since the Unix epoch.
fn moment(text: &str) -> i64 {
    text.parse::<Timepoint>().expect("a moment").nanos()
}

fn clock(text: &str) -> Clock {
    text.parse().expect("a time of day")
}

fn after(text: &str) -> Civil {
    Civil::AfterClock(clock(text))
}

fn before(text: &str) -> Civil {
    Civil::BeforeClock(clock(text))
}

fn between(from: &str, to: &str) -> Civil {
    Civil::BetweenClock(clock(from), clock(to))
}

fn after_day(day: &str) -> Civil {
    Civil::AfterWeekday(day.parse().expect("a weekday"))
}

fn before_day(day: &str) -> Civil {
    Civil::BeforeWeekday(day.parse().expect("a weekday"))
}

fn days(first: &str, last: &str) -> Civil {
    let [first, last] = [first, last].map(|day| day.parse().expect("a weekday"));
    Civil::BetweenWeekday(first, last)
}

/// What a wall shows by the library's own conversion, and what follows from it.
fn plainly(condition: Civil, wall: i64, zone: &Zone) -> bool {
    let timestamp = Timestamp::from_nanosecond(wall.into()).expect("in range");
    let shown = timestamp.to_zoned_datetime(zone.rules().clone());
    let time = shown.time();
    let day = Weekday::ALL[shown.weekday().to_monday_zero_offset() as usize];
    // No time is at or after the end of the day.
    let reached = |clock: Clock| {
        clock.hour() < 24 && {
            let [hour, minute, second] =
                [clock.hour(), clock.minute(), clock.second()].map(|n| n as i8);
            time >= Time::new(hour, minute, second, 0).expect("a time")
        }
    };
    match condition {
        Civil::AfterClock(from) => reached(from),
        Civil::BeforeClock(to) => !reached(to),
        Civil::BetweenClock(from, to) if from <= to => reached(from) && !reached(to),
        Civil::BetweenClock(from, to) => reached(from) || !reached(to),
        Civil::AfterWeekday(first) => day >= first,
        Civil::BeforeWeekday(last) => day <= last,
        Civil::BetweenWeekday(first, last) => {
            let from_first = Weekday::ALL.iter().cycle().skip_while(|&&day| day != first).take(7);
            let mut up_to_last = from_first.take_while(|&&day| day != last).chain([&last]);
            up_to_last.any(|&one| one == day)
        }
    }
}

/// From the first moment on, the condition is `holds`, and then changes at exactly these moments,
/// the last of which is the first change of any after it.
#[track_caller]
fn changes(condition: Civil, zone_name: &str, from: &str, holds: bool, changes: &[&str]) {
    let zone = zone(zone_name);
    let mut now = moment(from);
    let mut holds = holds;
    for &text in changes {
        let change = moment(text);
        let until = Some(change);
        let truth = Truth { holds, until };
        for at in [now, now + 1, now + (change - now) / 2, change - 1] {
            assert_eq!(condition.at(at, &zone), truth, "{condition} before {text}");
            assert_eq!(plainly(condition, at, &zone), holds, "{condition} before {text}");
        }
        holds = !holds;
        for at in [change, change + 1] {
            assert_eq!(condition.at(at, &zone).holds, holds, "{condition} at {text}");
            assert_eq!(plainly(condition, at, &zone), holds, "{condition} at {text}");
        }
        now = change;
    }
}

/// It is always so.
#[track_caller]
fn constant(condition: Civil, holds: bool) {
    for zone in ["UTC", "Europe/Berlin", "America/Santiago", "Pacific/Apia"].map(zone) {
        for at in [i64::MIN, -1, 0, moment("2011-12-30T10:00Z"), i64::MAX - 1, i64::MAX] {
            assert_eq!(condition.at(at, &zone), Truth { holds, until: None }, "{condition}");
            assert_eq!(plainly(condition, at, &zone), holds, "{condition}");
        }
    }
}

#[test]
fn after_clock_12_30_is_true_at_13_00() {
    let truth = after("12:30").at(moment("2026-11-24T13:00Z"), &Zone::utc());
    assert_eq!(truth, Truth { holds: true, until: Some(moment("2026-11-25T00:00Z")) });
}

#[test]
fn clock_conditions_at_their_boundaries() {
    let noon = "2026-11-24T12:00Z";
    changes(
        after("12:30"),
        "UTC",
        noon,
        false,
        &["2026-11-24T12:30Z", "2026-11-25T00:00Z", "2026-11-25T12:30Z", "2026-11-26T00:00Z"],
    );
    changes(
        before("12:30"),
        "UTC",
        noon,
        true,
        &["2026-11-24T12:30Z", "2026-11-25T00:00Z", "2026-11-25T12:30Z", "2026-11-26T00:00Z"],
    );
    changes(
        between("12:30:15", "18:00"),
        "UTC",
        noon,
        false,
        &["2026-11-24T12:30:15Z", "2026-11-24T18:00Z", "2026-11-25T12:30:15Z"],
    );
    changes(
        between("12:30", "12:30:01"),
        "UTC",
        noon,
        false,
        &["2026-11-24T12:30Z", "2026-11-24T12:30:01Z", "2026-11-25T12:30Z"],
    );
}

#[test]
fn between_clocks_over_midnight() {
    changes(
        between("22:00", "6:00"),
        "UTC",
        "2026-12-31T12:00Z",
        false,
        &["2026-12-31T22:00Z", "2027-01-01T06:00Z", "2027-01-01T22:00Z", "2027-01-02T06:00Z"],
    );
    // The end of the day, and its start.
    for midnight in ["24:00", "0:00"] {
        changes(
            between("22:00", midnight),
            "UTC",
            "2026-02-28T12:00Z",
            false,
            &["2026-02-28T22:00Z", "2026-03-01T00:00Z", "2026-03-01T22:00Z"],
        );
        changes(
            between(midnight, "6:00"),
            "UTC",
            "2026-11-30T12:00Z",
            false,
            &["2026-12-01T00:00Z", "2026-12-01T06:00Z", "2026-12-02T00:00Z"],
        );
    }
    changes(
        between("6:00", "5:59:59"),
        "UTC",
        "2024-02-28T12:00Z",
        true,
        &["2024-02-29T05:59:59Z", "2024-02-29T06:00Z", "2024-03-01T05:59:59Z"],
    );
}

#[test]
fn the_ends_of_the_day() {
    constant(after("0:00"), true);
    constant(after("24:00"), false);
    constant(before("0:00"), false);
    constant(before("24:00"), true);
    constant(between("0:00", "24:00"), true);
    // Refused, and never so.
    for (from, to) in [("12:30", "12:30"), ("0:00", "0:00"), ("24:00", "24:00"), ("24:00", "0:00")]
    {
        constant(between(from, to), false);
        let said = between(from, to).check().expect_err("no length").to_string();
        let expected = format!("\"{from} to {to}\" is not a span of the day: it has no length. ");
        assert!(said.starts_with(&expected), "{said}");
    }
    for fine in
        [between("0:00", "24:00"), between("22:00", "0:00"), after("24:00"), days("mon", "mon")]
    {
        assert_eq!(fine.check(), Ok(()));
    }
}

#[test]
fn weekday_conditions_at_their_boundaries() {
    // A Monday; midnights of Berlin, over the end of the year.
    let monday = "2026-12-28T00:00+01:00";
    let berlin = "Europe/Berlin";
    changes(
        after_day("wed"),
        berlin,
        monday,
        false,
        &["2026-12-30T00:00+01:00", "2027-01-04T00:00+01:00", "2027-01-06T00:00+01:00"],
    );
    changes(
        before_day("wed"),
        berlin,
        monday,
        true,
        &["2026-12-31T00:00+01:00", "2027-01-04T00:00+01:00", "2027-01-07T00:00+01:00"],
    );
    changes(
        days("wed", "fri"),
        berlin,
        monday,
        false,
        &["2026-12-30T00:00+01:00", "2027-01-02T00:00+01:00", "2027-01-06T00:00+01:00"],
    );
    changes(
        days("sat", "mon"),
        berlin,
        monday,
        true,
        &["2026-12-29T00:00+01:00", "2027-01-02T00:00+01:00", "2027-01-05T00:00+01:00"],
    );
    changes(
        days("thu", "thu"),
        berlin,
        monday,
        false,
        &["2026-12-31T00:00+01:00", "2027-01-01T00:00+01:00", "2027-01-07T00:00+01:00"],
    );
    changes(
        after_day("sun"),
        berlin,
        monday,
        false,
        &["2027-01-03T00:00+01:00", "2027-01-04T00:00+01:00", "2027-01-10T00:00+01:00"],
    );
    changes(
        before_day("mon"),
        berlin,
        monday,
        true,
        &["2026-12-29T00:00+01:00", "2027-01-04T00:00+01:00", "2027-01-05T00:00+01:00"],
    );
}

#[test]
fn the_whole_week() {
    constant(after_day("mon"), true);
    constant(before_day("sun"), true);
    constant(days("mon", "sun"), true);
    constant(days("thu", "wed"), true);
}

/// Every weekday condition on every day of a week, against a list of the days.
#[test]
fn weekday_conditions_on_every_day() {
    let holds = |condition: Civil| -> String {
        let days = (0..7).map(|day| moment("2026-11-23T12:00Z") + day * 24 * HOUR);
        days.map(|day| if condition.at(day, &Zone::utc()).holds { 'x' } else { '.' }).collect()
    };
    for (first, expected) in Weekday::ALL
        .into_iter()
        .zip(["xxxxxxx", ".xxxxxx", "..xxxxx", "...xxxx", "....xxx", ".....xx", "......x"])
    {
        assert_eq!(holds(Civil::AfterWeekday(first)), expected);
    }
    for (last, expected) in Weekday::ALL
        .into_iter()
        .zip(["x......", "xx.....", "xxx....", "xxxx...", "xxxxx..", "xxxxxx.", "xxxxxxx"])
    {
        assert_eq!(holds(Civil::BeforeWeekday(last)), expected);
    }
    assert_eq!(holds(days("sat", "mon")), "x....xx");
    assert_eq!(holds(days("tue", "thu")), ".xxx...");
    assert_eq!(holds(days("sun", "sat")), "xxxxxxx");
}

#[test]
fn berlin_skips_an_hour() {
    let (berlin, start) = ("Europe/Berlin", "2026-03-28T12:00+01:00");
    // At 3:00, in place of 2:30.
    changes(
        after("2:30"),
        berlin,
        start,
        true,
        &["2026-03-29T00:00+01:00", "2026-03-29T03:00+02:00", "2026-03-30T00:00+02:00"],
    );
    changes(
        before("2:30"),
        berlin,
        start,
        false,
        &["2026-03-29T00:00+01:00", "2026-03-29T03:00+02:00", "2026-03-30T00:00+02:00"],
    );
    // Not that day.
    changes(
        between("2:15", "2:45"),
        berlin,
        start,
        false,
        &["2026-03-30T02:15+02:00", "2026-03-30T02:45+02:00"],
    );
    changes(
        between("2:00", "3:00"),
        berlin,
        start,
        false,
        &["2026-03-30T02:00+02:00", "2026-03-30T03:00+02:00"],
    );
    // Half of it.
    changes(
        between("1:30", "2:30"),
        berlin,
        start,
        false,
        &["2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00", "2026-03-30T01:30+02:00"],
    );
    changes(
        between("2:30", "3:30"),
        berlin,
        start,
        false,
        &["2026-03-29T03:00+02:00", "2026-03-29T03:30+02:00", "2026-03-30T02:30+02:00"],
    );
    // The day is an hour shorter.
    changes(
        days("sun", "sun"),
        berlin,
        start,
        false,
        &["2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00"],
    );
}

#[test]
fn berlin_shows_an_hour_twice() {
    let (berlin, start) = ("Europe/Berlin", "2026-10-24T12:00+02:00");
    changes(
        after("2:30"),
        berlin,
        start,
        true,
        &[
            "2026-10-25T00:00+02:00",
            "2026-10-25T02:30+02:00",
            "2026-10-25T02:00+01:00",
            "2026-10-25T02:30+01:00",
            "2026-10-26T00:00+01:00",
        ],
    );
    changes(
        before("2:30"),
        berlin,
        start,
        false,
        &[
            "2026-10-25T00:00+02:00",
            "2026-10-25T02:30+02:00",
            "2026-10-25T02:00+01:00",
            "2026-10-25T02:30+01:00",
            "2026-10-26T00:00+01:00",
        ],
    );
    changes(
        between("2:15", "2:45"),
        berlin,
        start,
        false,
        &[
            "2026-10-25T02:15+02:00",
            "2026-10-25T02:45+02:00",
            "2026-10-25T02:15+01:00",
            "2026-10-25T02:45+01:00",
        ],
    );
    // The whole hour, both times, in one.
    changes(
        between("2:00", "3:00"),
        berlin,
        start,
        false,
        &["2026-10-25T02:00+02:00", "2026-10-25T03:00+01:00", "2026-10-26T02:00+01:00"],
    );
    // Over as the hour begins again, and over for good.
    changes(
        between("2:30", "3:00"),
        berlin,
        start,
        false,
        &[
            "2026-10-25T02:30+02:00",
            "2026-10-25T02:00+01:00",
            "2026-10-25T02:30+01:00",
            "2026-10-25T03:00+01:00",
        ],
    );
    // 3:00 is reached once.
    changes(
        after("3:00"),
        berlin,
        start,
        true,
        &["2026-10-25T00:00+02:00", "2026-10-25T03:00+01:00", "2026-10-26T00:00+01:00"],
    );
}

#[test]
fn new_york_skips_and_repeats() {
    let york = "America/New_York";
    changes(
        after("2:30"),
        york,
        "2026-03-07T12:00-05:00",
        true,
        &["2026-03-08T00:00-05:00", "2026-03-08T03:00-04:00", "2026-03-09T00:00-04:00"],
    );
    changes(
        after("1:30"),
        york,
        "2026-10-31T12:00-04:00",
        true,
        &[
            "2026-11-01T00:00-04:00",
            "2026-11-01T01:30-04:00",
            "2026-11-01T01:00-05:00",
            "2026-11-01T01:30-05:00",
            "2026-11-02T00:00-05:00",
        ],
    );
    // By the rule for the years that no table has.
    changes(
        after("2:30"),
        york,
        "2090-03-11T12:00-05:00",
        true,
        &["2090-03-12T00:00-05:00", "2090-03-12T03:00-04:00", "2090-03-13T00:00-04:00"],
    );
}

#[test]
fn santiago_skips_midnight() {
    let (santiago, start) = ("America/Santiago", "2026-09-05T12:00-04:00");
    // Sunday begins at 1:00.
    let sunday = "2026-09-06T01:00-03:00";
    changes(days("sun", "sun"), santiago, start, false, &[sunday, "2026-09-07T00:00-03:00"]);
    changes(after("12:00"), santiago, start, true, &[sunday, "2026-09-06T12:00-03:00"]);
    // It is past 0:30 all day.
    changes(
        after("0:30"),
        santiago,
        start,
        true,
        &["2026-09-07T00:00-03:00", "2026-09-07T00:30-03:00"],
    );
    changes(
        before("0:30"),
        santiago,
        start,
        false,
        &["2026-09-07T00:00-03:00", "2026-09-07T00:30-03:00"],
    );
    changes(before("1:30"), santiago, start, false, &[sunday, "2026-09-06T01:30-03:00"]);
    changes(
        between("23:30", "0:30"),
        santiago,
        start,
        false,
        &["2026-09-05T23:30-04:00", sunday, "2026-09-06T23:30-03:00", "2026-09-07T00:30-03:00"],
    );
}

#[test]
fn santiago_repeats_the_last_hour_of_the_day() {
    let (santiago, start) = ("America/Santiago", "2026-04-04T12:00-03:00");
    changes(
        after("23:30"),
        santiago,
        start,
        false,
        &[
            "2026-04-04T23:30-03:00",
            "2026-04-04T23:00-04:00",
            "2026-04-04T23:30-04:00",
            "2026-04-05T00:00-04:00",
        ],
    );
    // No midnight comes before the second 23:00.
    changes(
        days("sat", "sat"),
        santiago,
        start,
        true,
        &["2026-04-05T00:00-04:00", "2026-04-11T00:00-04:00"],
    );
    changes(after("12:00"), santiago, start, true, &["2026-04-05T00:00-04:00"]);
}

#[test]
fn lord_howe_moves_by_half_an_hour() {
    let howe = "Australia/Lord_Howe";
    changes(
        after("2:15"),
        howe,
        "2026-10-03T12:00+10:30",
        true,
        &["2026-10-04T00:00+10:30", "2026-10-04T02:30+11:00", "2026-10-05T00:00+11:00"],
    );
    changes(
        between("1:45", "1:50"),
        howe,
        "2026-04-04T12:00+11:00",
        false,
        &[
            "2026-04-05T01:45+11:00",
            "2026-04-05T01:50+11:00",
            "2026-04-05T01:45+10:30",
            "2026-04-05T01:50+10:30",
            "2026-04-06T01:45+10:30",
        ],
    );
}

#[test]
fn a_day_that_apia_skipped() {
    let apia = "Pacific/Apia";
    // Thursday the 29th, then Saturday the 31st.
    let start = "2011-12-26T00:00-10:00";
    let saturday = "2011-12-31T00:00+14:00";
    changes(days("fri", "fri"), apia, start, false, &["2012-01-06T00:00+14:00"]);
    changes(after_day("fri"), apia, start, false, &[saturday, "2012-01-02T00:00+14:00"]);
    changes(before_day("thu"), apia, start, true, &[saturday, "2012-01-02T00:00+14:00"]);
    changes(
        days("thu", "thu"),
        apia,
        start,
        false,
        &["2011-12-29T00:00-10:00", saturday, "2012-01-05T00:00+14:00"],
    );
    changes(
        days("thu", "sat"),
        apia,
        start,
        false,
        &["2011-12-29T00:00-10:00", "2012-01-01T00:00+14:00"],
    );
    // One midnight less.
    changes(
        between("22:00", "6:00"),
        apia,
        "2011-12-29T12:00-10:00",
        false,
        &["2011-12-29T22:00-10:00", "2011-12-31T06:00+14:00", "2011-12-31T22:00+14:00"],
    );
}

#[test]
fn a_day_that_kwajalein_skipped() {
    changes(
        days("sat", "sat"),
        "Pacific/Kwajalein",
        "1993-08-20T12:00-12:00",
        false,
        &["1993-08-28T00:00+12:00"],
    );
    changes(
        after("12:00"),
        "Pacific/Kwajalein",
        "1993-08-20T13:00-12:00",
        true,
        &["1993-08-22T00:00+12:00", "1993-08-22T12:00+12:00"],
    );
}

/// At 0:01 of Sunday it became 23:01 of Saturday once more.
#[test]
fn a_day_that_came_back() {
    let johns = "America/St_Johns";
    let start = "2010-11-06T12:00-02:30";
    changes(
        days("sun", "sun"),
        johns,
        start,
        false,
        &[
            "2010-11-07T00:00-02:30",
            "2010-11-06T23:01-03:30",
            "2010-11-07T00:00-03:30",
            "2010-11-08T00:00-03:30",
        ],
    );
    changes(
        after("12:00"),
        johns,
        start,
        true,
        &[
            "2010-11-07T00:00-02:30",
            "2010-11-06T23:01-03:30",
            "2010-11-07T00:00-03:30",
            "2010-11-07T12:00-03:30",
        ],
    );
}

#[test]
fn a_zone_by_its_rule_alone() {
    let rule = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a rule");
    let (rule, berlin) = (Zone::of(rule), zone("Europe/Berlin"));
    for hour in (0..24 * 365).step_by(5) {
        let at = moment("2026-01-01T00:00Z") + hour * HOUR;
        assert_eq!(after("2:30").at(at, &rule), after("2:30").at(at, &berlin));
    }
}

#[test]
fn the_ends_of_the_range() {
    let utc = Zone::utc();
    // 2262-04-11T23:47:16Z and 1677-09-21T00:12:43Z, a Tuesday.
    assert_eq!(after("12:00").at(i64::MAX, &utc), Truth { holds: true, until: None });
    assert_eq!(
        after("23:47:16").at(i64::MAX - NANOS, &utc),
        Truth { holds: false, until: Some(i64::MAX / NANOS * NANOS) }
    );
    let start = Truth { holds: true, until: Some(moment("1677-09-21T12:00Z")) };
    assert_eq!(before("12:00").at(i64::MIN, &utc), start);
    for zone in ["Europe/Berlin", "America/Santiago", "Pacific/Apia"].map(zone) {
        for condition in [after("12:00"), before_day("wed"), between("22:00", "6:00")] {
            for at in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
                assert_eq!(condition.at(at, &zone).holds, plainly(condition, at, &zone));
            }
        }
    }
}

#[test]
fn nanoseconds_before_1970() {
    changes(
        after("12:30"),
        "UTC",
        "1969-12-30T12:00:00.000000001Z",
        false,
        &["1969-12-30T12:30Z", "1969-12-31T00:00Z", "1969-12-31T12:30Z", "1970-01-01T00:00Z"],
    );
    // A change at an odd second: from the sun's time to the meridian's.
    changes(
        before("0:06"),
        "Europe/Berlin",
        "1893-03-31T12:00:00+00:53:28",
        false,
        &["1893-04-02T00:00+01:00", "1893-04-02T00:06+01:00"],
    );
    changes(
        before("0:07"),
        "Europe/Berlin",
        "1893-03-31T12:00:00+00:53:28",
        false,
        &["1893-04-01T00:06:32+01:00", "1893-04-01T00:07+01:00"],
    );
}

#[test]
fn in_words() {
    for (condition, words) in [
        (after("12:30"), "the clock is past 12:30"),
        (before("9:05:07"), "the clock is before 9:05:07"),
        (between("22:00", "6"), "the clock is between 22:00 and 6:00"),
        (after_day("wed"), "the weekday is Wednesday or later"),
        (before_day("wed"), "the weekday is Wednesday or earlier"),
        (days("sat", "mon"), "the weekday is one from Saturday to Monday"),
        (days("sat", "sat"), "the weekday is Saturday"),
    ] {
        assert_eq!(condition.to_string(), words);
    }
}

#[test]
fn conditions_can_be_stored() {
    for condition in [after("24:00"), between("22:00", "6:00:01"), days("sat", "mon")] {
        let json = serde_json::to_string(&condition).expect("plain data");
        assert_eq!(serde_json::from_str::<Civil>(&json).expect("comes back"), condition);
    }
    let json = serde_json::to_string(&between("22:00", "6:00")).expect("plain data");
    assert_eq!(json, r#"{"BetweenClock":["22:00:00","06:00:00"]}"#);
}

const ZONES: [&str; 14] = [
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Havana",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "Asia/Kathmandu",
];

fn any_clock() -> impl Strategy<Value = Clock> {
    prop_oneof![
        3 => (0_u8..=23, prop::sample::select(vec![0_u8, 15, 30, 45]), Just(0_u8)),
        2 => (0_u8..=3, 0_u8..=59, 0_u8..=59),
        1 => (0_u8..=23, 0_u8..=59, 0_u8..=59),
        1 => Just((24, 0, 0)),
        1 => Just((0, 0, 0)),
    ]
    .prop_map(|(hour, minute, second)| Clock::new(hour, minute, second).expect("a time of day"))
}

fn any_condition() -> impl Strategy<Value = Civil> {
    let any_day = || prop::sample::select(Weekday::ALL.to_vec());
    prop_oneof![
        any_clock().prop_map(Civil::AfterClock),
        any_clock().prop_map(Civil::BeforeClock),
        (any_clock(), any_clock()).prop_map(|(from, to)| Civil::BetweenClock(from, to)),
        any_day().prop_map(Civil::AfterWeekday),
        any_day().prop_map(Civil::BeforeWeekday),
        (any_day(), any_day()).prop_map(|(first, last)| Civil::BetweenWeekday(first, last)),
    ]
}

/// A zone and a moment, often one near a change of the zone.
fn any_place() -> impl Strategy<Value = (Zone, i64)> {
    let years = moment("1880-01-01T00:00Z")..moment("2120-01-01T00:00Z");
    (prop::sample::select(ZONES.to_vec()), years, -50 * HOUR..10 * HOUR, any::<bool>()).prop_map(
        |(name, anywhere, distance, near)| {
            let zone = zone(name);
            let second = Timestamp::from_second(anywhere / NANOS).expect("in range");
            let change = zone.rules().following(second).next();
            let at = match change.filter(|_| near) {
                Some(change) => change.timestamp().as_second() * NANOS + distance,
                None => anywhere,
            };
            (zone, at)
        },
    )
}

/// The first second in which the zone has another offset than in the second `from`.
fn change_between(zone: &Zone, from: i64, to: i64) -> Option<i64> {
    let offset = |second| {
        let timestamp = Timestamp::from_second(second).expect("in range");
        zone.rules().to_offset(timestamp).seconds()
    };
    let (mut same, mut other) = (from, to);
    if offset(same) == offset(other) {
        return None;
    }
    while same + 1 < other {
        let middle = same + (other - same) / 2;
        if offset(middle) == offset(from) {
            same = middle;
        } else {
            other = middle;
        }
    }
    Some(other)
}

proptest! {
    // Each looks at thousands of moments.
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn until_is_the_first_moment_of_another_truth(
        condition in any_condition(),
        (zone, now) in any_place(),
    ) {
        let Truth { holds, until } = condition.at(now, &zone);
        prop_assert_eq!(plainly(condition, now, &zone), holds, "at {}", Timepoint::from_nanos(now));
        let same = |at: i64| -> Result<(), TestCaseError> {
            let text = Timepoint::from_nanos(at);
            prop_assert_eq!(plainly(condition, at, &zone), holds, "{} at {}", condition, text);
            Ok(())
        };
        // What never changes is the same for weeks.
        let end = until.unwrap_or(now + 20 * 24 * HOUR);
        prop_assert!(end > now);
        let mut minute = now;
        while minute < end {
            same(minute)?;
            let next = (minute.div_euclid(60 * NANOS) + 1) * 60 * NANOS;
            let seconds = (minute.div_euclid(NANOS), next.min(end).div_euclid(NANOS));
            if let Some(change) = change_between(&zone, seconds.0, seconds.1)
                && change * NANOS < end
            {
                same(change * NANOS - 1)?;
                same(change * NANOS)?;
            }
            minute = next;
        }
        same(end - 1)?;
        if let Some(until) = until {
            prop_assert_eq!(plainly(condition, until, &zone), !holds);
            prop_assert_eq!(condition.at(until - 1, &zone), Truth { holds, until: Some(until) });
            prop_assert_eq!(condition.at(until, &zone).holds, !holds);
        }
    }

    #[test]
    fn no_second_is_passed_over(
        from in any_clock(),
        seconds in 1_u32..90,
        (zone, start) in any_place(),
    ) {
        // So short that a walk by minutes could miss it.
        let to = (from.seconds() + seconds) % 86_400;
        let [hour, minute, second] = [to / 3_600, to / 60 % 60, to % 60].map(|n| n as u8);
        let to = Clock::new(hour, minute, second).expect("a time of day");
        let condition = Civil::BetweenClock(from, to);
        let start = start.div_euclid(NANOS) * NANOS;
        let truth = condition.at(start, &zone);
        let end = truth.until.expect("it comes and goes");
        // The last hour, and the first.
        let hours = [start..end.min(start + HOUR), start.max(end - HOUR)..end];
        for at in hours.into_iter().flat_map(|hour| hour.step_by(NANOS as usize)) {
            prop_assert_eq!(plainly(condition, at, &zone), truth.holds);
        }
        prop_assert_eq!(plainly(condition, end, &zone), !truth.holds);
    }
}
