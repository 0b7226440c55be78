//! What goes into the core and what comes out.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use super::demands::Granted;
use super::edge::Edge;
use super::key::{Key, Nanos};
use super::rules::Attempts;
use crate::condition::{Custom, Named, Question, Statuses, Tree, Watched};
use crate::error::{CancelReason, PanicInfo};
use crate::job::{Ended, Head, KindId, Status, Stop};

/// What happened. `P` is what the core carries for each job without looking into it.
#[derive(Debug)]
pub(crate) enum Event<P> {
    /// A job was submitted ([`Engine::submit`](crate::Engine::submit)).
    Submit(Submission<P>),
    /// A run of a job that says so has begun.
    Started { key: Key },
    /// A backend ended a run of the job.
    Finished { key: Key, ended: Ended },
    /// A finished job is to run again ([`JobHandle::rerun`](crate::JobHandle::rerun)).
    Rerun(Submission<P>),
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
    /// The running job waits for those who read what it sends, or does so no more: it lends its
    /// permit meanwhile.
    Lent { key: Key, lent: bool },
    /// Nothing moves, though jobs are ready: start one, over the limit.
    StartOne,
    /// No more submissions.
    Close,
    /// Jobs of this kind are not to be started any more, or again
    /// ([`Engine::pause`](crate::Engine::pause)).
    Pause { kind: KindId, paused: bool },
    /// These jobs of one kind were taken back from their backend, which had not begun them
    /// ([`Effect::TakeBack`]): in the order in which they were handed out, each with the time at which
    /// it had become ready. All at once, for they are to compete with each other.
    Recalled(Vec<(Key, Nanos)>),
    /// Time has passed: a deadline has come.
    Tick,
    /// The wall clock was set: its difference to the monotonic clock, in nanoseconds.
    ClockSet { offset: i64 },
    /// A custom condition has answered [`Effect::Ask`], or panicked.
    Answer { key: Key, number: u32, answer: Result<bool, PanicInfo> },
}

/// A submitted job.
#[derive(Debug)]
pub(crate) struct Submission<P> {
    pub(crate) key: Key,
    pub(crate) kind: KindId,
    /// The jobs that must end as wanted: arguments first.
    pub(crate) needs: SmallVec<[Need; 1]>,
    pub(crate) nested: Option<Box<Nested>>,
    pub(crate) attempts: Option<Box<Attempts>>,
    /// Who submitted it has been told so: it cannot be refused any more, only cancelled.
    pub(crate) accepted: bool,
    pub(crate) payload: P,
}

/// A nested condition, and the jobs that it is about.
#[derive(Debug)]
pub(crate) struct Nested {
    pub(crate) tree: Tree,
    pub(crate) jobs: Vec<Need>,
    /// Some moment can come at which it holds.
    pub(crate) possible: bool,
}

/// A job that the submitted one waits for.
pub(crate) struct Need {
    /// The edge to it.
    pub(crate) edge: Edge,
    /// How it ended, for a job that is finished and may have been removed from the table.
    pub(crate) ended: Option<Status>,
    /// The job, if a condition names it by more than its id.
    pub(crate) watched: Option<Arc<dyn Watched>>,
}

fn ended(status: Status) -> Option<Status> {
    status.is_finished().then_some(status)
}

impl Need {
    /// The job's result is an argument.
    pub(crate) fn argument(job: &Head) -> Self {
        let ended = ended(job.status());
        Self { edge: Edge::argument(job.key()), ended, watched: None }
    }

    /// A condition needs the job to end so; nested conditions know themselves how.
    pub(crate) fn condition(job: Named, statuses: Option<Statuses>) -> Self {
        let edge = match statuses {
            Some(statuses) => Edge::condition(job.key, statuses),
            None => Edge::nested(job.key),
        };
        let mut need = Self { edge, ended: None, watched: job.watched };
        need.refresh();
        need
    }

    /// Looks at the job again, as far as it is at hand.
    pub(crate) fn refresh(&mut self) {
        if let Some(job) = &self.watched {
            self.ended = ended(job.status());
        }
    }
}

impl fmt::Debug for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Need")
            .field("edge", &self.edge)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect<P> {
    /// The submission is refused; nothing has changed.
    Refuse(P, Refusal),
    /// The job goes out with these units of resources; what it was given before is void.
    Grant { payload: P, granted: Granted },
    /// Take the jobs of this kind back from their backend that it has not begun; then
    /// [`Event::Recalled`].
    TakeBack(KindId),
    /// Hand the job, which became ready at that time, to its backend.
    Start { payload: P, kind: KindId, ready: Nanos },
    /// The thread that asked for it may run the job.
    Inline(P),
    /// Tell the job why it is to stop, and ask the backend to stop it, or not to start it; it
    /// reports `Finished` as ever.
    Abort(P, KindId, Stop),
    /// The job will run once more: what the last run left is to be forgotten. `anew`: it had
    /// ended, and begins as if it had never run.
    Again { payload: P, anew: bool },
    /// This is final: tell whoever waits. The job is in the table.
    Publish { key: Key, verdict: Verdict },
    /// Ask a custom condition of that job; the answer is an [`Event::Answer`].
    Ask { key: Key, question: Question },
    /// The custom conditions of a job that needs them no more: a user's values, whose drop may do
    /// as it likes, so it is none of the core's business.
    LetGo { key: Key, customs: Vec<Custom> },
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Done,
    Failed,
    Cancelled(CancelReason),
    /// Failed, for it took longer than so many nanoseconds.
    TimedOut(Nanos),
    /// Failed, for its condition panicked.
    ConditionPanicked(Box<PanicInfo>),
}

/// Why a submission is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The engine takes no more jobs.
    Closed,
    /// The job would wait for itself, by way of these jobs.
    Cycle(Vec<Key>),
    /// The job is to run again, and has not ended.
    NotFinished,
}
