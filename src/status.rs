//! Where a job stands.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a job stands in its life: `Created → Pending → Running → Done / Failed / Cancelled`.
///
/// ```
/// use executor_engine::prelude::*;
///
/// let engine = Engine::new()?;
/// let job = ThreadJob::new(|| 1, ());
/// assert_eq!(job.status(), Status::Created);
/// let handle = engine.submit(job)?;
/// handle.wait()?;
/// assert_eq!(handle.status(), Status::Done);
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum Status {
    /// Made, not yet submitted.
    Created = 0,
    /// Submitted; waits for other jobs, or for its turn.
    Pending = 1,
    /// Its function runs.
    Running = 2,
    /// Its function returned a result.
    Done = 3,
    /// It has no result and never will: the function returned an error or panicked, or its
    /// worker died. [`JobHandle::exception`](crate::JobHandle::exception) says why.
    Failed = 4,
    /// It was called off before it had a result.
    Cancelled = 5,
}

impl Status {
    /// Every status, in the order of a job's life.
    ///
    /// ```
    /// # use executor_engine::Status;
    /// let finished = Status::ALL.into_iter().filter(|status| status.is_finished());
    /// assert!(finished.eq([Status::Done, Status::Failed, Status::Cancelled]));
    /// ```
    pub const ALL: [Self; 6] =
        [Self::Created, Self::Pending, Self::Running, Self::Done, Self::Failed, Self::Cancelled];

    /// Whether nothing more will happen to the job by itself.
    ///
    /// ```
    /// # use executor_engine::Status;
    /// assert!(Status::Cancelled.is_finished());
    /// assert!(!Status::Running.is_finished());
    /// ```
    #[must_use]
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }

    /// The inverse of `self as u8`.
    pub(crate) const fn from_u8(value: u8) -> Self {
        match value {
            0 => Self::Created,
            1 => Self::Pending,
            2 => Self::Running,
            3 => Self::Done,
            4 => Self::Failed,
            _ => Self::Cancelled,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        })
    }
}
