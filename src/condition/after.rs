//! Conditions on other jobs.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

use super::statuses::Statuses;
use super::value::{Condition, Op};
use crate::id::JobId;
use crate::status::Status;

/// Holds when that job is finished: done, failed or cancelled. [`done`](Condition::done),
/// [`failed`](Condition::failed), [`cancelled`](Condition::cancelled) and
/// [`statuses`](Condition::statuses) narrow that.
///
/// The job can be submitted later than the one that waits for it. If it ends otherwise than
/// wanted, the condition can no longer come true, and the job that waits is cancelled.
///
/// ```
/// use executor_engine::prelude::*;
/// use executor_engine::condition::*;
///
/// let engine = Engine::new()?;
/// let a = engine.submit(ThreadJob::new(|| println!("first"), ()))?;
/// let b = engine.submit(ThreadJob::new(|| println!("second"), ()).condition(after_another(&a)))?;
/// let c = engine.submit(ThreadJob::new(|| (), ()).condition(after_another(&a).failed()))?;
/// engine.wait()?;
/// assert_eq!((b.status(), c.status()), (Status::Done, Status::Cancelled));
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[must_use = "a condition does nothing until a job has it"]
pub fn after_another(job: impl NamesJob) -> Condition {
    Op::After(After { jobs: smallvec![job.target()], statuses: Statuses::ALL, any: false }).into()
}

/// Holds when all those jobs are finished, or, with [`any`](Condition::any), one of them.
///
/// ```
/// use executor_engine::prelude::*;
/// use executor_engine::condition::*;
///
/// let engine = Engine::new()?;
/// let never = ThreadJob::new(|| (), ());
/// let a = engine.submit(ThreadJob::new(|| (), ()))?;
/// let both = after_others([a.id(), never.id()]);
/// let either = after_others([a.id(), never.id()]).any();
/// let b = engine.submit(ThreadJob::new(|| 1, ()).condition(either))?;
/// let c = engine.submit(ThreadJob::new(|| 2, ()).condition(both))?;
/// assert_eq!(b.result()?, 1);
/// assert!(engine.wait().unwrap_err().is_stalled()); // `never` is not submitted
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[must_use = "a condition does nothing until a job has it"]
pub fn after_others(jobs: impl IntoIterator<Item: NamesJob>) -> Condition {
    let jobs = jobs.into_iter().map(|job| job.target()).collect();
    Op::After(After { jobs, statuses: Statuses::ALL, any: false }).into()
}

/// What names a job: its id, its handle, its output, or the job itself before it is submitted.
///
/// ```
/// # use executor_engine::prelude::*;
/// # use executor_engine::condition::*;
/// # let engine = Engine::new()?;
/// fn behind(job: impl NamesJob) -> Condition {
///     after_another(job).done() & after_delay("1ms")
/// }
/// let a = engine.submit(ThreadJob::new(|| 1, ()))?;
/// let b = engine.submit(ThreadJob::new(|| 2, ()).condition(behind(&a)))?; // by its handle
/// let c = engine.submit(ThreadJob::new(|| 3, ()).condition(behind(b.id())))?; // by its id
/// assert_eq!(c.result()?, 3);
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub trait NamesJob {
    /// The job.
    #[doc(hidden)]
    fn target(&self) -> Target;
}

impl<J: NamesJob + ?Sized> NamesJob for &J {
    fn target(&self) -> Target {
        J::target(self)
    }
}

impl NamesJob for JobId {
    fn target(&self) -> Target {
        Target { id: *self, watched: None }
    }
}

/// A job that a condition names.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
#[doc(hidden)]
pub struct Target {
    pub(crate) id: JobId,
    /// The job itself, if the condition was made in this process from more than its id: then its
    /// end is known even if its engine has forgotten it.
    #[serde(skip)]
    pub(crate) watched: Option<Arc<dyn Watched>>,
}

/// A job, as conditions see it.
pub(crate) trait Watched: Send + Sync {
    fn status(&self) -> Status;

    /// Ties the job to the engine of that number; false if it belongs to another one.
    fn tie(&self, engine: u64) -> bool;

    /// Whether the job belongs to an engine other than that one.
    fn is_of_another(&self, engine: u64) -> bool;
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.id, f)
    }
}

/// After these jobs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct After {
    pub(crate) jobs: SmallVec<[Target; 1]>,
    pub(crate) statuses: Statuses,
    /// After one of them rather than all.
    #[serde(default)]
    pub(crate) any: bool,
}
