//! What goes into the core and what comes out.

use crate::error::CancelReason;
use crate::job::{Head, KindId, Status};

/// A job's key in its engine: its place in this process's count of jobs.
pub(crate) type Key = u64;

/// Monotonic time, in nanoseconds.
pub(crate) type Nanos = u64;

/// What happened. `P` is what the core carries for each job without looking into it.
#[derive(Debug)]
pub(crate) enum Event<P> {
    /// A job was submitted ([`Engine::submit`](crate::Engine::submit)).
    Submit(Submission<P>),
    /// A backend ended a run of the job, with a result (`ok`) or an error.
    Finished { key: Key, ok: bool },
    /// Someone called the job off ([`JobHandle::cancel`](crate::JobHandle::cancel)).
    Cancel { key: Key, reason: CancelReason },
    /// All unfinished jobs are called off ([`Engine::shutdown`](crate::Engine::shutdown)).
    CancelAll { reason: CancelReason },
    /// A waiting thread wants to run this ready job itself; answered by [`Effect::Inline`], or
    /// not at all if the job is not in the ready queue, or no permit is left and it must not go
    /// `over` the limit.
    TakeInline { key: Key, over: bool },
    /// The running job `key` blocks until job `on` is finished: it lends its permit meanwhile.
    /// It gets it back with the end of `on`, before any other job gets it.
    Blocked { key: Key, on: Key },
    /// The running job goes on, before the end of what it blocked on; it takes a permit again,
    /// if need be one over the limit.
    Unblocked { key: Key },
    /// Nothing moves, though jobs are ready: start one, over the limit.
    StartOne,
    /// No more submissions.
    Close,
}

/// A submitted job.
#[derive(Debug)]
pub(crate) struct Submission<P> {
    pub(crate) key: Key,
    pub(crate) kind: KindId,
    pub(crate) upstream: Vec<Upstream>,
    pub(crate) payload: P,
}

/// A job whose result the submitted one needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upstream {
    pub(crate) key: Key,
    /// How it ended, for a job that is finished and may have been removed from the table.
    pub(crate) ended: Option<bool>,
}

impl Upstream {
    /// As the job stands now.
    pub(crate) fn of(job: &Head) -> Self {
        let ended = match job.status() {
            Status::Done => Some(true),
            Status::Failed | Status::Cancelled => Some(false),
            Status::Created | Status::Pending | Status::Running => None,
        };
        Self { key: job.key(), ended }
    }
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect<P> {
    /// The submission is refused; nothing has changed.
    Refuse(P, Refusal),
    /// Hand the job to its backend.
    Start(P, KindId),
    /// The thread that asked for it may run the job.
    Inline(P),
    /// Ask the backend to stop the job, or not to start it; it reports `Finished` as ever.
    Abort(P, KindId),
    /// This is final, since the moment `at`: tell whoever waits. The job is in the table.
    Publish { key: Key, verdict: Verdict, at: Nanos },
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Done,
    Failed,
    Cancelled(CancelReason),
}

/// Why a submission is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The engine takes no more jobs.
    Closed,
    /// The job would wait for itself, by way of these jobs.
    Cycle(Vec<Key>),
}
