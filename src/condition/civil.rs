//! Conditions on what the clock and the calendar on a wall show.
//!
//! | condition | holds while the wall shows |
//! |---|---|
//! | after a clock time | that time or a later one of the day, so until midnight |
//! | before a clock time | an earlier one of the day |
//! | between two | the first or later, and earlier than the second; over midnight if the first is the later of the two |
//! | after a weekday | that weekday or a later one of the week, which begins on Monday |
//! | before a weekday | that weekday or an earlier one of the week |
//! | between two | the first, the second, or one in between; over Sunday if the first is the later |
//!
//! `24:00` is the end of the day: no clock shows it, so nothing is after it and all is before it.
//!
//! Where clocks are set forward, the times between are not shown: after 2:30 holds from 3:00 on
//! if the hour from 2:00 is skipped, and between 2:15 and 2:45 never holds that day. Where clocks
//! are set back, an hour is shown twice, and conditions hold by it both times: after 2:30 holds
//! at the first 2:30, no more at the second 2:00, and again at the second 2:30. Days that a place
//! skipped, as Samoa did when it crossed the date line, are not shown either.
//!
//! Between two changes of a zone's offset, local time is the time of UTC plus a constant, and what
//! holds there is plain arithmetic. So evaluation goes from change to change, and in each stretch
//! asks for the next time of day or midnight that makes a difference.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::clock::Clock;
use super::parse::{Form, ParseError};
use super::weekday::Weekday;
use super::zone::Zone;

const DAY: i64 = 86_400;

const NANOS: i64 = 1_000_000_000;

/// A condition on local time; see the module for what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Civil {
    AfterClock(Clock),
    BeforeClock(Clock),
    BetweenClock(Clock, Clock),
    AfterWeekday(Weekday),
    BeforeWeekday(Weekday),
    BetweenWeekday(Weekday, Weekday),
}

/// What a condition says at a moment, and when it will next say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Truth {
    /// Whether the condition holds.
    pub(crate) holds: bool,
    /// The first moment at which it is otherwise, in nanoseconds since the Unix epoch; `None`:
    /// never, or not before the year 2262.
    pub(crate) until: Option<i64>,
}

impl Civil {
    /// What it says at `wall`, in nanoseconds since the Unix epoch, on a wall in `zone`.
    pub(crate) fn at(&self, wall: i64, zone: &Zone) -> Truth {
        // Zones change, clocks tick and days begin at whole seconds, and all of a second is alike.
        let mut now = wall.div_euclid(NANOS);
        let mut holds = None;
        loop {
            let Ok(timestamp) = Timestamp::from_second(now) else {
                // Thousands of years beyond what `wall` can be.
                return Truth { holds: holds.unwrap_or(false), until: None };
            };
            let offset = i64::from(zone.rules().to_offset(timestamp).seconds());
            let local = now + offset;
            let at_first = *holds.get_or_insert(self.holds(local));
            if self.holds(local) != at_first {
                // The change of the zone has made the difference.
                return Truth { holds: at_first, until: now.checked_mul(NANOS) };
            }
            let Some(flip) = self.flip(local) else {
                return Truth { holds: at_first, until: None };
            };
            let flip = flip - offset;
            let change = zone.rules().following(timestamp).next();
            match change.map(|change| change.timestamp().as_second()) {
                Some(change) if change > now && change <= flip => now = change,
                _ => return Truth { holds: at_first, until: flip.checked_mul(NANOS) },
            }
        }
    }

    /// Refuses what can never hold because it spans no time.
    ///
    /// # Errors
    /// If it is between two clock times that are the same, or the end of a day and its start.
    pub(crate) fn check(&self) -> Result<(), ParseError> {
        if let Self::BetweenClock(from, to) = *self
            && (from == to || (i64::from(from.seconds()), to.seconds()) == (DAY, 0))
        {
            let span = format!("{} to {}", from.short(), to.short());
            return Err(ParseError::new(Form::ClockSpan, &span, "it has no length"));
        }
        Ok(())
    }

    /// Whether it holds while the wall shows that: seconds since 1970 began there.
    fn holds(&self, local: i64) -> bool {
        let time = local.rem_euclid(DAY);
        // That day was a Thursday.
        let day = (local.div_euclid(DAY) + 3).rem_euclid(7);
        let clock = |clock: Clock| i64::from(clock.seconds());
        let weekday = |weekday: Weekday| i64::from(weekday.index());
        match *self {
            Self::AfterClock(from) => time >= clock(from),
            Self::BeforeClock(to) => time < clock(to),
            Self::BetweenClock(from, to) => {
                within(clock(from) <= clock(to), time >= clock(from), time < clock(to))
            }
            Self::AfterWeekday(first) => day >= weekday(first),
            Self::BeforeWeekday(last) => day <= weekday(last),
            Self::BetweenWeekday(first, last) => {
                within(first <= last, day >= weekday(first), day <= weekday(last))
            }
        }
    }

    /// The first second after `local` at which a wall that is never set shows otherwise.
    fn flip(&self, local: i64) -> Option<i64> {
        let clock = |clock: Clock| i64::from(clock.seconds());
        let (mut edges, days) = match *self {
            Self::AfterClock(at) | Self::BeforeClock(at) => ([0, 0, clock(at)], 1),
            Self::BetweenClock(from, to) => ([0, clock(from), clock(to)], 1),
            Self::AfterWeekday(_) | Self::BeforeWeekday(_) | Self::BetweenWeekday(..) => {
                ([0, 0, 0], 7)
            }
        };
        edges.sort_unstable();
        let holds = self.holds(local);
        let today = local - local.rem_euclid(DAY);
        (0..=days)
            .flat_map(|day| edges.map(|edge| today + day * DAY + edge))
            .find(|&edge| edge > local && self.holds(edge) != holds)
    }
}

/// Whether something is within a span, which may go over the end of the day or week.
const fn within(in_order: bool, from_the_start_on: bool, until_the_end: bool) -> bool {
    if in_order { from_the_start_on && until_the_end } else { from_the_start_on || until_the_end }
}

/// In words: `the clock is past 12:30`.
impl fmt::Display for Civil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AfterClock(from) => write!(f, "the clock is past {}", from.short()),
            Self::BeforeClock(to) => write!(f, "the clock is before {}", to.short()),
            Self::BetweenClock(from, to) => {
                write!(f, "the clock is between {} and {}", from.short(), to.short())
            }
            Self::AfterWeekday(first) => write!(f, "the weekday is {first} or later"),
            Self::BeforeWeekday(last) => write!(f, "the weekday is {last} or earlier"),
            Self::BetweenWeekday(first, last) if first == last => {
                write!(f, "the weekday is {first}")
            }
            Self::BetweenWeekday(first, last) => {
                write!(f, "the weekday is one from {first} to {last}")
            }
        }
    }
}

#[cfg(test)]
mod tests;
