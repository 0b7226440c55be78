//! [`Condition`]: when a job may run, as a value.

use std::ops::{BitAnd, BitOr};

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::after::After;
use super::civil::Civil;
use super::custom::Custom;
use super::parse::ParseError;
use super::period::Period;
use super::statuses::Statuses;
use super::timepoint::Timepoint;
use crate::status::Status;

/// When a job may run, beside having all its arguments: a value, made by the functions of
/// [this module](super), combined with `&` and `|` to any depth, given to a job by
/// [`Job::condition`](crate::Job::condition).
///
/// A job becomes ready at the first moment at which its condition holds as a whole. From then
/// on it waits for its turn only; what its condition says later is not asked.
///
/// It serialises, all but [`custom`](super::custom) conditions, which hold code. The form is a
/// list in postfix order, so that depth is no matter: the parts of a combination come before it.
///
/// ```
/// use executor_engine::prelude::*;
/// use executor_engine::condition::*;
///
/// let job = ThreadJob::new(|| 1, ());
/// let condition = after_clock("12:30") & (after_another(&job).done() | after_delay("2h"));
/// let text = serde_json::to_string(&condition).unwrap();
/// let same: Condition = serde_json::from_str(&text).unwrap();
/// assert_eq!(same, condition);
/// ```
///
/// What makes no sense is kept, and refused when the job is submitted, or by
/// [`check`](Self::check):
///
/// ```
/// # use executor_engine::condition::*;
/// let error = after_clock("25:00").check().unwrap_err();
/// assert!(error.to_string().contains("25:00"));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a condition does nothing until a job has it"]
pub struct Condition {
    /// In postfix order: so neither drop, clone, comparison nor serialisation recurses.
    pub(super) ops: Vec<Op>,
}

/// A part of a condition. No field is left out when it is written, or formats without names of
/// fields would take one for another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Op {
    /// The last so many, together.
    All(usize),
    /// One of the last so many.
    Any(usize),
    After(After),
    /// From this moment on, and before that one.
    Timepoint {
        #[serde(default)]
        from: Option<Timepoint>,
        #[serde(default)]
        until: Option<Timepoint>,
    },
    /// So long after the submission.
    Delay(Period),
    /// At each multiple of the period after the submission.
    Every(Period),
    /// By the clock or the calendar on the wall.
    Civil {
        civil: Civil,
        /// The engine's zone, if none is named.
        #[serde(default)]
        zone: Option<String>,
    },
    #[serde(skip)]
    Custom(Custom),
    #[serde(skip)]
    Invalid(String),
}

impl From<Op> for Condition {
    fn from(op: Op) -> Self {
        Self { ops: vec![op] }
    }
}

impl From<ParseError> for Condition {
    fn from(error: ParseError) -> Self {
        Op::Invalid(error.to_string()).into()
    }
}

/// A condition that makes no sense, kept until it is checked.
fn invalid(text: impl Into<String>) -> Condition {
    Op::Invalid(text.into()).into()
}

/// A combination: how many parts it has, and what it is.
type Combination = fn(usize) -> Op;

impl Condition {
    /// How many parts it has as such a combination: 1, unless it is one at its root.
    fn parts(&self, all: bool) -> usize {
        match self.ops.last() {
            Some(Op::All(parts)) if all => *parts,
            Some(Op::Any(parts)) if !all => *parts,
            _ => 1,
        }
    }

    /// Puts two together; a combination of the same sort is continued, not nested.
    fn join(mut self, mut other: Self, all: bool, combination: Combination) -> Self {
        let parts = self.parts(all) + other.parts(all);
        for side in [&mut self, &mut other] {
            let same = match side.ops.last() {
                Some(Op::All(_)) => all,
                Some(Op::Any(_)) => !all,
                _ => false,
            };
            if same {
                side.ops.pop();
            }
        }
        self.ops.append(&mut other.ops);
        self.ops.push(combination(parts));
        self
    }

    fn combine(conditions: impl IntoIterator<Item = Self>, combination: Combination) -> Self {
        let mut ops = Vec::new();
        let mut count = 0;
        for condition in conditions {
            ops.extend(condition.ops);
            count += 1;
        }
        ops.push(combination(count));
        Self { ops }
    }

    /// Of the jobs that the condition names: only if they are done.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::condition::*;
    /// # let job = ThreadJob::new(|| 1, ());
    /// # let other = ThreadJob::new(|| 1, ());
    /// let condition = after_others([&job, &other]).done();
    /// ```
    pub fn done(self) -> Self {
        self.narrow("done", Statuses::DONE)
    }

    /// Of the jobs that the condition names: only if they have failed.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::condition::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::try_new(|| Err::<(), _>("no"), ()))?;
    /// let repair = ThreadJob::new(|| "repaired", ()).condition(after_another(&job).failed());
    /// assert_eq!(engine.submit(repair)?.result()?, "repaired");
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn failed(self) -> Self {
        self.narrow("failed", Statuses::FAILED)
    }

    /// Of the jobs that the condition names: only if they were cancelled.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::condition::*;
    /// # let job = ThreadJob::new(|| 1, ());
    /// let condition = after_another(&job).cancelled();
    /// ```
    pub fn cancelled(self) -> Self {
        self.narrow("cancelled", Statuses::CANCELLED)
    }

    /// Of the jobs that the condition names: only if they ended in one of these statuses, which
    /// must be final ones. The last of `done`, `failed`, `cancelled` and `statuses` counts.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::condition::*;
    /// # let job = ThreadJob::new(|| 1, ());
    /// let condition = after_another(&job).statuses([Status::Failed, Status::Cancelled]);
    /// assert!(condition.check().is_ok());
    /// assert!(after_another(&job).statuses([Status::Running]).check().is_err());
    /// ```
    pub fn statuses(self, statuses: impl IntoIterator<Item = Status>) -> Self {
        match Statuses::from_all(statuses) {
            Ok(Statuses::NONE) => invalid(
                "statuses([]) leaves no end of a job that would count: name at least one of done, \
                 failed and cancelled",
            ),
            Ok(statuses) => self.narrow("statuses", statuses),
            Err(status) => invalid(format!(
                "{status} is not the end of a job: a condition can wait for done, failed and \
                 cancelled"
            )),
        }
    }

    fn narrow(mut self, by: &str, statuses: Statuses) -> Self {
        let mut jobs = false;
        for op in &mut self.ops {
            if let Op::After(after) = op {
                after.statuses = statuses;
                jobs = true;
            }
        }
        if jobs { self } else { self.says_nothing(by, "names no job: use it on after_another") }
    }

    /// After one of the jobs of [`after_others`](super::after_others) rather than all.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::condition::*;
    /// # let (a, b) = (ThreadJob::new(|| 1, ()), ThreadJob::new(|| 1, ()));
    /// let condition = after_others([&a, &b]).done().any();
    /// ```
    pub fn any(mut self) -> Self {
        match &mut self.ops[..] {
            [Op::After(after)] => {
                after.any = true;
                self
            }
            _ => self.says_nothing("any", "is not after_others(..): use any_satisfied or `|`"),
        }
    }

    /// The time zone, by its IANA name, of the clocks and weekdays in the condition that have
    /// none yet. Default: the engine's zone, which by default is the system's.
    ///
    /// ```
    /// # use executor_engine::condition::*;
    /// let open = (between_clock("9:30", "16") & between_weekday("Mon", "Fri"))
    ///     .zone("America/New_York");
    /// assert!(open.check().is_ok());
    /// assert!(after_clock("9").zone("Berlin").check().is_err());
    /// ```
    pub fn zone(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        let mut clocks = false;
        for op in &mut self.ops {
            if let Op::Civil { zone, .. } = op {
                zone.get_or_insert_with(|| name.clone());
                clocks = true;
            }
        }
        if clocks { self } else { self.says_nothing("zone", "has no clock and no weekday") }
    }

    /// An option that the condition has no use for is a mistake, not to be passed over.
    fn says_nothing(self, option: &str, why: &str) -> Self {
        // What is wrong already stays the first thing to tell.
        if self.ops.iter().any(|op| matches!(op, Op::Invalid(_))) {
            return self;
        }
        invalid(format!("{option}() is meaningless here: the condition {why}"))
    }
}

impl BitAnd for Condition {
    type Output = Self;

    /// Both at once.
    fn bitand(self, other: Self) -> Self {
        self.join(other, true, Op::All)
    }
}

impl BitOr for Condition {
    type Output = Self;

    /// One of the two.
    fn bitor(self, other: Self) -> Self {
        self.join(other, false, Op::Any)
    }
}

/// Holds when all of them hold, at one moment. Of none: at once.
///
/// ```
/// use executor_engine::prelude::*;
/// use executor_engine::condition::*;
///
/// let engine = Engine::new()?;
/// let a = ThreadJob::new(|| 1, ());
/// let both = all_satisfied([after_another(&a), after_delay("10ms")]);
/// let b = engine.submit(ThreadJob::new(|| 2, ()).condition(both))?;
/// engine.submit(a)?;
/// assert_eq!(b.result()?, 2);
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub fn all_satisfied(conditions: impl IntoIterator<Item = Condition>) -> Condition {
    Condition::combine(conditions, Op::All)
}

/// Holds when one of them holds. Of none: never.
///
/// ```
/// use executor_engine::prelude::*;
/// use executor_engine::condition::*;
///
/// let engine = Engine::new()?;
/// let a = ThreadJob::new(|| 1, ());
/// let either = any_satisfied([after_another(&a), after_delay("10ms")]);
/// assert_eq!(engine.submit(ThreadJob::new(|| 2, ()).condition(either))?.result()?, 2);
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub fn any_satisfied(conditions: impl IntoIterator<Item = Condition>) -> Condition {
    Condition::combine(conditions, Op::Any)
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        for op in &self.ops {
            match op {
                Op::Custom(_) => {
                    return Err(S::Error::custom(
                        "a custom condition holds code and cannot be serialised: use the other \
                         conditions for jobs that are stored",
                    ));
                }
                Op::Invalid(error) => return Err(S::Error::custom(error)),
                _ => {}
            }
        }
        self.ops.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ops = Vec::<Op>::deserialize(deserializer)?;
        let mut open = 0_usize;
        for op in &ops {
            if let Op::All(parts) | Op::Any(parts) = op {
                open = open.checked_sub(*parts).ok_or_else(|| {
                    D::Error::custom("a combination has more parts than stand before it")
                })?;
            }
            open += 1;
        }
        if open != 1 {
            return Err(D::Error::custom(format!("{open} conditions where there must be one")));
        }
        Ok(Self { ops })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{after_another, after_clock, after_delay, after_timepoint};
    use super::*;
    use crate::id::JobId;

    #[test]
    fn combinations_of_one_sort_are_flat() {
        let leaf = || after_delay("1s");
        let flat = (0..1000).fold(leaf(), |all, _| all & leaf());
        assert_eq!(flat.ops.len(), 1002);
        assert_eq!(flat.ops.last(), Some(&Op::All(1001)));
        let nested = leaf() & (leaf() | leaf()) & leaf();
        assert_eq!(nested.ops.len(), 6);
        assert_eq!(nested.ops[3..], [Op::Any(2), leaf().ops[0].clone(), Op::All(3)]);
    }

    #[test]
    fn a_million_levels_overflow_no_stack() {
        let leaf = || after_delay("1s");
        let deep = (0..500_000).fold(leaf(), |deep, _| (deep & leaf()) | leaf());
        assert_eq!(deep.clone(), deep);
        let text = serde_json::to_string(&deep).unwrap();
        assert_eq!(serde_json::from_str::<Condition>(&text).unwrap(), deep);
        assert!(deep.check().is_ok());
    }

    #[test]
    fn what_comes_from_elsewhere_is_checked() {
        for text in ["[]", r#"[{"all":1}]"#, r#"[{"delay":"1s"},{"delay":"2s"}]"#, r#"[{"any":2}]"#]
        {
            assert!(serde_json::from_str::<Condition>(text).is_err(), "{text}");
        }
        let empty: Condition = serde_json::from_str(r#"[{"all":0}]"#).unwrap();
        assert_eq!(empty, all_satisfied([]));
    }

    #[test]
    fn options_without_use_are_told() {
        let id = JobId::next();
        for (condition, word) in [
            (after_clock("9").done(), "done()"),
            (after_another(id).zone("Europe/Berlin"), "zone()"),
            ((after_another(id) & after_clock("9")).any(), "any()"),
            (after_another(id).statuses([]), "statuses([])"),
            (after_clock("x").zone("Europe/Berlin").done(), "x"),
        ] {
            let error = condition.check().unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
            assert!(serde_json::to_string(&condition).is_err());
        }
    }

    #[test]
    fn a_custom_condition_says_that_it_cannot_be_stored() {
        let custom = super::super::custom(|_| true).every("1s");
        let error = serde_json::to_string(&(custom & after_timepoint("2030-01-01T00:00:00Z")));
        assert!(error.unwrap_err().to_string().contains("holds code"));
    }
}
