//! Conditions on time: what users write.

use super::civil::Civil;
use super::clock::Clock;
use super::parse::ParseError;
use super::period::Period;
use super::timepoint::Timepoint;
use super::value::{Condition, Op};
use super::weekday::Weekday;

/// A condition from what can be parsed, or the error kept in its place.
fn parsed<T, E: Into<ParseError>>(what: Result<T, E>, op: impl FnOnce(T) -> Op) -> Condition {
    match what {
        Ok(value) => op(value).into(),
        Err(error) => Condition::from(error.into()),
    }
}

/// The same from two.
fn both<T, E: Into<ParseError>, F: Into<ParseError>>(
    one: Result<T, E>,
    two: Result<T, F>,
    op: impl FnOnce(T, T) -> Op,
) -> Condition {
    match (one, two) {
        (Ok(one), Ok(two)) => op(one, two).into(),
        (Err(error), _) => Condition::from(error.into()),
        (_, Err(error)) => Condition::from(error.into()),
    }
}

fn civil(civil: Civil) -> Op {
    Op::Civil { civil, zone: None }
}

/// Holds from that moment on: a [`SystemTime`](std::time::SystemTime), or text as in
/// [`Timepoint`].
///
/// ```
/// use executor_engine::prelude::*;
/// use executor_engine::condition::*;
/// use std::time::{Duration, SystemTime};
///
/// let engine = Engine::new()?;
/// let soon = SystemTime::now() + Duration::from_millis(20);
/// let job = engine.submit(ThreadJob::new(SystemTime::now, ()).condition(after_timepoint(soon)))?;
/// assert!(job.result()? >= soon);
/// after_timepoint("2030-01-01T00:00[Europe/Berlin]").check()?;
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub fn after_timepoint<T: TryInto<Timepoint, Error: Into<ParseError>>>(time: T) -> Condition {
    parsed(time.try_into(), |from| Op::Timepoint { from: Some(from), until: None })
}

/// Holds before that moment. A job that is not ready by then is cancelled.
///
/// ```
/// use executor_engine::prelude::*;
/// use executor_engine::condition::*;
///
/// let engine = Engine::new()?;
/// let past = before_timepoint("2020-01-01T00:00:00Z");
/// let error = engine.submit(ThreadJob::new(|| 1, ()).condition(past))?.result().unwrap_err();
/// assert!(error.is_cancelled());
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub fn before_timepoint<T: TryInto<Timepoint, Error: Into<ParseError>>>(time: T) -> Condition {
    parsed(time.try_into(), |until| Op::Timepoint { from: None, until: Some(until) })
}

/// Holds from the one moment until just before the other.
///
/// ```
/// # use executor_engine::condition::*;
/// let sale = between_timepoint("2026-11-27T00:00-05:00", "2026-11-28T00:00-05:00");
/// assert!(sale.check().is_ok());
/// assert!(between_timepoint("2026-11-28T00:00Z", "2026-11-27T00:00Z").check().is_err());
/// ```
pub fn between_timepoint<S, E>(start: S, end: E) -> Condition
where
    S: TryInto<Timepoint, Error: Into<ParseError>>,
    E: TryInto<Timepoint, Error: Into<ParseError>>,
{
    both(start.try_into(), end.try_into(), |from, until| Op::Timepoint {
        from: Some(from),
        until: Some(until),
    })
}

/// Holds once that much time has passed since the submission: a
/// [`Duration`](std::time::Duration), or text as in [`Period`]. Steps of the wall clock do not
/// matter.
///
/// ```
/// use executor_engine::prelude::*;
/// use executor_engine::condition::*;
/// use std::time::{Duration, Instant};
///
/// let engine = Engine::new()?;
/// let start = Instant::now();
/// engine.submit(ThreadJob::new(|| (), ()).condition(after_delay("20ms")))?;
/// engine.wait()?;
/// assert!(start.elapsed() >= Duration::from_millis(20));
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub fn after_delay<P: TryInto<Period, Error: Into<ParseError>>>(delay: P) -> Condition {
    parsed(delay.try_into(), Op::Delay)
}

/// Holds for a moment at each multiple of the period after the submission. Alone it delays a
/// job by one period; beside other conditions it says at which moments they are looked at.
///
/// ```
/// use executor_engine::prelude::*;
/// use executor_engine::condition::*;
///
/// let engine = Engine::new()?;
/// let a = engine.submit(ThreadJob::new(|| (), ()))?;
/// let at_a_tick = after_another(&a) & every("10ms");
/// engine.submit(ThreadJob::new(|| (), ()).condition(at_a_tick))?.wait()?;
/// assert!(every("0s").check().is_err());
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub fn every<P: TryInto<Period, Error: Into<ParseError>>>(period: P) -> Condition {
    parsed(period.try_into(), Op::Every)
}

/// Holds from that time of day until midnight: "9", "12:30", "12:30:15" or a [`Clock`].
///
/// It goes by what a clock on the wall shows, in the [zone](Condition::zone). Where an hour is
/// skipped, "2:30" is past when the clock jumps to 3:00; where one is repeated, it goes by both.
///
/// ```
/// # use executor_engine::condition::*;
/// let afternoon = after_clock("12").zone("Europe/Berlin");
/// assert!(afternoon.check().is_ok());
/// assert!(after_clock("12:60").check().is_err());
/// ```
pub fn after_clock<C: TryInto<Clock, Error: Into<ParseError>>>(clock: C) -> Condition {
    parsed(clock.try_into(), |clock| civil(Civil::AfterClock(clock)))
}

/// Holds from midnight until just before that time of day.
///
/// ```
/// # use executor_engine::condition::*;
/// assert!(before_clock("12:30:15").check().is_ok());
/// ```
pub fn before_clock<C: TryInto<Clock, Error: Into<ParseError>>>(clock: C) -> Condition {
    parsed(clock.try_into(), |clock| civil(Civil::BeforeClock(clock)))
}

/// Holds from the one time of day until just before the other, over midnight if the first is the
/// later one. "24:00" is the end of the day.
///
/// ```
/// # use executor_engine::condition::*;
/// let night = between_clock("22:00", "06:00");
/// let evening = between_clock("18", "24:00");
/// assert!((night & evening).check().is_ok());
/// assert!(between_clock("9", "9:00").check().is_err()); // all day, or never?
/// ```
pub fn between_clock<S, E>(start: S, end: E) -> Condition
where
    S: TryInto<Clock, Error: Into<ParseError>>,
    E: TryInto<Clock, Error: Into<ParseError>>,
{
    both(start.try_into(), end.try_into(), |start, end| civil(Civil::BetweenClock(start, end)))
}

/// Holds on that weekday and on the later ones of the week, which begins on Monday: short or
/// long names in any case, or a [`Weekday`].
///
/// ```
/// # use executor_engine::condition::*;
/// let weekend = after_weekday("saturday"); // Saturday and Sunday
/// assert!(weekend.check().is_ok());
/// assert!(after_weekday("someday").check().is_err());
/// ```
pub fn after_weekday<W: TryInto<Weekday, Error: Into<ParseError>>>(day: W) -> Condition {
    parsed(day.try_into(), |day| civil(Civil::AfterWeekday(day)))
}

/// Holds on that weekday and on the earlier ones of the week, which begins on Monday.
///
/// ```
/// # use executor_engine::condition::*;
/// let working_days = before_weekday(Weekday::Friday); // Monday to Friday
/// assert!(working_days.check().is_ok());
/// ```
pub fn before_weekday<W: TryInto<Weekday, Error: Into<ParseError>>>(day: W) -> Condition {
    parsed(day.try_into(), |day| civil(Civil::BeforeWeekday(day)))
}

/// Holds from the one weekday to the other, both included, over Sunday if need be.
///
/// ```
/// # use executor_engine::condition::*;
/// let long_weekend = between_weekday("Sat", "Mon"); // Saturday, Sunday, Monday
/// assert!(long_weekend.check().is_ok());
/// ```
pub fn between_weekday<S, E>(start: S, end: E) -> Condition
where
    S: TryInto<Weekday, Error: Into<ParseError>>,
    E: TryInto<Weekday, Error: Into<ParseError>>,
{
    both(start.try_into(), end.try_into(), |start, end| civil(Civil::BetweenWeekday(start, end)))
}
