//! Conditions as the simulation knows them: evaluated anew each time, by recursion, with no
//! counts, timers or edges to get wrong.

use proptest::test_runner::TestRng;
use rand::RngExt;

use crate::clock::Moment;
use crate::condition::{
    Clock, Condition, Timepoint, Weekday, after_another, after_clock, after_delay, after_timepoint,
    after_weekday, all_satisfied, any_satisfied, before_clock, before_timepoint, custom, every,
};
use crate::condition::{Statuses, Zone};
use crate::dispatcher::key::Key;
use crate::id::JobId;
use crate::job::Status;

const HOUR: i64 = 3_600_000_000_000;

/// A condition of the model.
#[derive(Clone, Debug)]
pub(super) enum Cond {
    After(Key, Statuses),
    All(Vec<Self>),
    Any(Vec<Self>),
    From(i64),
    Until(i64),
    Delay(u64),
    Every(u64),
    AfterHour(u8),
    BeforeHour(u8),
    /// From that day of the week on, Monday being 0.
    AfterDay(u8),
    Custom,
}

/// What the model knows that conditions ask for.
pub(super) struct Known<'a> {
    pub(super) moment: Moment,
    pub(super) submitted: u64,
    pub(super) ended: &'a dyn Fn(Key) -> Option<Status>,
    /// The last answer of the custom condition of that number.
    pub(super) answer: &'a dyn Fn(u32) -> bool,
    /// What `every` says, whose moments the model does not follow.
    pub(super) every: bool,
}

/// What a condition says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) holds: bool,
    pub(super) never: bool,
}

impl Cond {
    /// A random condition on these jobs.
    pub(super) fn random(rng: &mut TestRng, jobs: &[Key], moment: Moment, depth: u32) -> Self {
        let near = |rng: &mut TestRng| moment.wall() + rng.random_range(-20..200);
        let combined = depth < 3 && rng.random_bool(0.5);
        if combined {
            let count = rng.random_range(0..4);
            let parts = (0..count).map(|_| Self::random(rng, jobs, moment, depth + 1)).collect();
            return if rng.random_bool(0.5) { Self::All(parts) } else { Self::Any(parts) };
        }
        match rng.random_range(0..16) {
            0..8 if !jobs.is_empty() => {
                let sets = [Statuses::ALL, Statuses::DONE, Statuses::FAILED, Statuses::CANCELLED];
                Self::After(
                    jobs[rng.random_range(0..jobs.len())],
                    sets[rng.random_range(0..sets.len())],
                )
            }
            0..10 => Self::From(near(rng)),
            10 => Self::Until(near(rng)),
            11 => Self::Delay(rng.random_range(0..200)),
            12 => Self::Every(rng.random_range(1..50)),
            13 => {
                let hour = rng.random_range(1..24);
                if rng.random_bool(0.5) { Self::AfterHour(hour) } else { Self::BeforeHour(hour) }
            }
            14 => Self::AfterDay(rng.random_range(1..7)),
            _ => Self::Custom,
        }
    }

    /// As a user would write it.
    pub(super) fn condition(&self) -> Condition {
        let clock = |hour: u8| Clock::new(hour, 0, 0).expect("an hour of the day");
        match self {
            Self::After(key, statuses) => {
                // Else it would be nobody's id.
                JobId::reserve(key + 1);
                let after = after_another(JobId::from_count(*key));
                match *statuses {
                    Statuses::ALL => after,
                    some => after.statuses(Vec::from(some)),
                }
            }
            Self::All(parts) => all_satisfied(parts.iter().map(Self::condition)),
            Self::Any(parts) => any_satisfied(parts.iter().map(Self::condition)),
            Self::From(at) => after_timepoint(Timepoint::from_nanos(*at)),
            Self::Until(at) => before_timepoint(Timepoint::from_nanos(*at)),
            Self::Delay(nanos) => after_delay(std::time::Duration::from_nanos(*nanos)),
            Self::Every(nanos) => every(std::time::Duration::from_nanos(*nanos)),
            Self::AfterHour(hour) => after_clock(clock(*hour)),
            Self::BeforeHour(hour) => before_clock(clock(*hour)),
            Self::AfterDay(day) => after_weekday(Weekday::ALL[usize::from(*day)]),
            Self::Custom => custom(|_| unreachable!("the core calls nobody")).every("30ns"),
        }
    }

    /// What it says; `clocked` counts the parts that change by themselves, which is how the core
    /// numbers custom conditions.
    pub(super) fn value(&self, known: &Known<'_>, clocked: &mut u32) -> Value {
        let live = |holds| Value { holds, never: false };
        let mut count = || std::mem::replace(clocked, *clocked + 1);
        let wall = known.moment.wall();
        match self {
            Self::After(key, statuses) => match (known.ended)(*key) {
                None => live(false),
                Some(status) => {
                    let holds = statuses.contains(status);
                    Value { holds, never: !holds }
                }
            },
            Self::All(parts) => {
                let values: Vec<Value> =
                    parts.iter().map(|part| part.value(known, clocked)).collect();
                Value {
                    holds: values.iter().all(|value| value.holds),
                    never: values.iter().any(|value| value.never),
                }
            }
            Self::Any(parts) => {
                let values: Vec<Value> =
                    parts.iter().map(|part| part.value(known, clocked)).collect();
                Value {
                    holds: values.iter().any(|value| value.holds),
                    never: values.iter().all(|value| value.never),
                }
            }
            Self::From(at) => {
                count();
                live(wall >= *at)
            }
            Self::Until(at) => {
                count();
                Value { holds: wall < *at, never: wall >= *at }
            }
            Self::Delay(nanos) => {
                count();
                live(known.moment.now >= known.submitted + nanos)
            }
            Self::Every(_) => {
                count();
                live(known.every)
            }
            Self::AfterHour(hour) => {
                count();
                live(wall.rem_euclid(24 * HOUR) >= i64::from(*hour) * HOUR)
            }
            Self::BeforeHour(hour) => {
                count();
                live(wall.rem_euclid(24 * HOUR) < i64::from(*hour) * HOUR)
            }
            Self::AfterDay(day) => {
                count();
                // The epoch was a Thursday.
                let today = (wall.div_euclid(24 * HOUR) + 3).rem_euclid(7);
                live(today >= i64::from(*day))
            }
            Self::Custom => {
                let number = count();
                live((known.answer)(number))
            }
        }
    }

    /// Adds the jobs that it names.
    pub(super) fn jobs(&self, jobs: &mut Vec<Key>) {
        match self {
            Self::After(key, _) => jobs.push(*key),
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.jobs(jobs)),
            _ => {}
        }
    }

    /// How many parts can be right or wrong by the time alone; of two or more, some never hold
    /// together.
    pub(super) fn timed(&self) -> usize {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().map(Self::timed).sum(),
            Self::After(..) | Self::Every(_) | Self::Custom => 0,
            _ => 1,
        }
    }
}

/// The zone that the model's clocks and weekdays are in.
pub(super) fn zone() -> Zone {
    Zone::utc()
}
