//! The parts of a condition that change by themselves: with time, or when they are asked.

use std::fmt;

use super::civil::Civil;
use super::custom::Custom;
use super::period::Period;
use super::timepoint::Timepoint;
use super::zone::Zone;
use crate::clock::Moment;

/// A part of a condition that changes by itself.
#[derive(Clone, Debug)]
pub(super) enum Clocked {
    /// From this moment of the wall clock on, and before that one.
    Timepoint {
        from: Option<Timepoint>,
        until: Option<Timepoint>,
    },
    /// So long after the submission.
    Delay(Period),
    /// At the multiples of the period after the submission; the next one, once it is known.
    Every {
        period: Period,
        next: Option<u64>,
    },
    Civil(Civil, Zone),
    Custom(Asking),
}

/// A custom condition and where the asking stands.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    pub(super) custom: Custom,
    /// When to ask next.
    pub(super) next: u64,
    /// Asked, and not answered yet.
    pub(super) asked: bool,
    /// The last answer.
    pub(super) answer: bool,
}

impl Asking {
    pub(super) fn new(custom: Custom) -> Self {
        Self { custom, next: 0, asked: false, answer: false }
    }
}

/// What a part says at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Says {
    pub(super) holds: bool,
    /// When it says otherwise, if it will by itself.
    pub(super) until: Option<u64>,
    /// Does not hold and never will again, unless the clock is set.
    pub(super) never: bool,
    /// When it will turn to `never`, if that is known.
    pub(super) ends: Option<u64>,
}

impl Says {
    fn constant(holds: bool) -> Self {
        Self { holds, until: None, never: !holds, ends: None }
    }
}

impl Clocked {
    /// What it says at that moment, of a job submitted at `submitted`.
    pub(super) fn at(&self, moment: Moment, submitted: u64) -> Says {
        match self {
            Self::Timepoint { from, until } => {
                let wall = moment.wall();
                let begin = from.map(|from| from.nanos()).filter(|&from| wall < from);
                let end = until.map(|until| until.nanos());
                if end.is_some_and(|end| wall >= end) {
                    return Says::constant(false);
                }
                let end = end.map(|end| moment.monotonic(end));
                match begin {
                    Some(begin) => Says {
                        holds: false,
                        until: Some(moment.monotonic(begin)),
                        never: false,
                        ends: end,
                    },
                    None => Says { holds: true, until: end, never: false, ends: end },
                }
            }
            Self::Delay(delay) => {
                let due = submitted.saturating_add(nanos(*delay));
                let holds = moment.now >= due;
                Says { holds, until: (!holds).then_some(due), never: false, ends: None }
            }
            // Its moments have no length: the tree sets it when it is due.
            Self::Every { next, .. } => {
                Says { holds: false, until: *next, never: false, ends: None }
            }
            Self::Civil(civil, zone) => {
                let truth = civil.at(moment.wall(), zone);
                let until = truth.until.map(|wall| moment.monotonic(wall));
                Says {
                    holds: truth.holds,
                    until,
                    never: !truth.holds && until.is_none(),
                    ends: None,
                }
            }
            Self::Custom(asking) => Says {
                holds: asking.answer,
                until: (!asking.asked).then_some(asking.next),
                never: false,
                ends: None,
            },
        }
    }

    /// Whether what it says at any moment can be known before.
    pub(super) fn is_timed(&self) -> bool {
        !matches!(self, Self::Every { .. } | Self::Custom(_))
    }

    /// Whether it changes with the time of the wall clock.
    pub(super) fn is_of_the_wall(&self) -> bool {
        matches!(self, Self::Timepoint { .. } | Self::Civil(..))
    }

    /// In words, with when it changes.
    pub(super) fn write(&self, text: &mut String, moment: Moment, submitted: u64) -> fmt::Result {
        use fmt::Write;
        let until = match self {
            // What is kept is as of the last look.
            Self::Every { period, .. } => Some(next_multiple(*period, submitted, moment.now)),
            _ => self.at(moment, submitted).until,
        };
        let left = until.map(|until| rounded(until.saturating_sub(moment.now)));
        match self {
            Self::Timepoint { from: Some(from), .. } if moment.wall() < from.nanos() => {
                write!(text, "the time {from} to come")?;
            }
            Self::Timepoint { until: Some(until), .. } => {
                return write!(text, "the time to be before {until}");
            }
            Self::Timepoint { from, .. } => {
                return match from {
                    Some(from) => write!(text, "the time {from} to come"),
                    None => Ok(()),
                };
            }
            Self::Delay(delay) => write!(text, "{delay} to pass since its submission")?,
            Self::Every { period, .. } => write!(text, "the next moment of every {period}")?,
            Self::Civil(civil, zone) => write!(text, "{civil} ({})", zone.name())?,
            Self::Custom(asking) => {
                return write!(
                    text,
                    "its custom condition, asked every {}, to say yes",
                    asking.custom.interval()
                );
            }
        }
        match left {
            Some(left) => write!(text, ": in {left}"),
            None => Ok(()),
        }
    }
}

/// The first multiple of the period after the submission that is still to come.
pub(super) fn next_multiple(period: Period, submitted: u64, now: u64) -> u64 {
    let period = nanos(period).max(1);
    let passed = now.saturating_sub(submitted) / period;
    submitted.saturating_add(period.saturating_mul(passed.saturating_add(1)))
}

/// So many nanoseconds, as finely as people care.
fn rounded(nanos: u64) -> Period {
    const SECOND: u64 = 1_000_000_000;
    let unit = if nanos < 10 * SECOND { 1_000_000 } else { SECOND };
    let rounded = std::time::Duration::from_nanos(nanos / unit * unit);
    rounded.try_into().unwrap_or(Period::LONGEST)
}

/// A period in nanoseconds; the longest one fits.
pub(super) fn nanos(period: Period) -> u64 {
    u64::try_from(period.as_duration().as_nanos()).unwrap_or(u64::MAX)
}
