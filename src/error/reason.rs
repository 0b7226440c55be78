//! Why a job was cancelled: [`CancelReason`], [`Unsatisfiable`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::JobId;

/// Why a job was cancelled.
///
/// ```
/// use executor_engine::prelude::*;
/// use executor_engine::CancelReason;
///
/// let engine = Engine::new()?;
/// let bad = engine.submit(ThreadJob::try_new(|| Err::<u8, _>("no"), ()))?;
/// let next = engine.submit(ThreadJob::new(|x: u8| x, (&bad,)))?;
/// let error = next.result().unwrap_err();
/// assert_eq!(error.cancel_reason(), Some(&CancelReason::Upstream(bad.id())));
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CancelReason {
    /// Someone called `cancel`.
    Requested,
    /// A job whose result is an argument of this one failed or was cancelled.
    Upstream(JobId),
    /// The engine was shut down.
    Shutdown,
    /// Its condition can no longer come true.
    Unsatisfiable(Unsatisfiable),
}

/// Why a condition can no longer come true.
///
/// ```
/// use executor_engine::prelude::*;
/// use executor_engine::CancelReason;
/// use executor_engine::condition::*;
///
/// let engine = Engine::new()?;
/// let bad = engine.submit(ThreadJob::try_new(|| Err::<u8, _>("no"), ()))?;
/// let next = ThreadJob::new(|| 1, ()).condition(after_another(&bad).done());
/// let error = engine.submit(next)?.result().unwrap_err();
/// let Some(CancelReason::Unsatisfiable(why)) = error.cancel_reason() else { panic!() };
/// assert_eq!(why.jobs(), [bad.id()]);
/// assert!(why.to_string().contains("failed"));
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsatisfiable(Box<Why>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Why {
    jobs: Vec<JobId>,
    text: String,
}

impl Unsatisfiable {
    pub(crate) fn new(jobs: Vec<JobId>, text: String) -> Self {
        Self(Box::new(Why { jobs, text }))
    }

    /// The jobs that ended otherwise than the condition wants; none if time is to blame.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::{CancelReason, condition::*};
    /// # let engine = Engine::new()?;
    /// let bad = engine.submit(ThreadJob::try_new(|| Err::<u8, _>("no"), ()))?;
    /// let next = ThreadJob::new(|| 1, ()).condition(after_another(&bad).done());
    /// match engine.submit(next)?.result().unwrap_err().cancel_reason() {
    ///     Some(CancelReason::Unsatisfiable(why)) => assert_eq!(why.jobs(), [bad.id()]),
    ///     other => panic!("{other:?}"),
    /// }
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn jobs(&self) -> &[JobId] {
        &self.0.jobs
    }
}

impl fmt::Display for Unsatisfiable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested => f.write_str("cancel was called"),
            Self::Upstream(id) => {
                write!(f, "job {id}, whose result it needs, failed or was cancelled")
            }
            Self::Shutdown => f.write_str("the engine was shut down"),
            Self::Unsatisfiable(why) => write!(f, "its condition can no longer come true: {why}"),
        }
    }
}
