//! Where jobs run. One backend per kind, behind one trait.
//!
//! The dispatcher pushes runs into a backend and hears of them again through [`Reports`], once
//! for each run. Nothing else passes between them.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crate::error::JobError;
use crate::job::{AnyJob, Ended, Word, judge};
use crate::record::record;

mod blocking;
mod execute;
mod here;
mod local;
mod process;
mod tally;
mod thread;

pub(crate) use blocking::BlockingBackend;
pub(crate) use execute::execute;
pub(crate) use here::{Here, enter_service, is_of};
pub(crate) use local::LocalBackend;
pub(crate) use process::{ProcessBackend, Settings as ProcessSettings};
pub(crate) use thread::{ThreadBackend, ThreadSettings};

/// One run of a job, handed to a backend.
pub(crate) struct Run {
    pub(crate) job: Arc<dyn AnyJob>,
    /// Which run of the job; see [`Head::claim`](crate::job::Head::claim).
    pub(crate) run: u32,
    /// When it became ready, for one that is pushed: monotonic, in nanoseconds.
    pub(crate) ready: u64,
}

impl Run {
    /// Takes the right to execute it; false if a waiting thread or a cancellation took it.
    pub(crate) fn claim(&self) -> bool {
        self.job.head().claim(self.run)
    }
}

/// Where backends report.
pub(crate) trait Reports: Send + Sync {
    /// The run of this job has begun, which [wants to tell](crate::job::Head::tells_start). Only
    /// puts the news into the dispatcher's inbox.
    fn post_started(&self, key: u64, at: u64);

    /// The run of this job has ended: its result or error is stored in the job, and
    /// [judged](crate::job::judge). Only puts the news into the dispatcher's inbox.
    fn post_finished(&self, key: u64, ended: Ended);

    /// That run of the job waits for those who read what it sends (`true`), or does so no more. Only
    /// puts the news into the dispatcher's inbox.
    fn post_lent(&self, key: u64, run: u32, lent: bool);

    /// Runs are given back, as if they had been there at the last [`take_back`](Backend::take_back).
    /// Says whether any of them could still be claimed: then there is news in the dispatcher's inbox.
    /// Called with no lock held.
    fn post_taken_back(&self, runs: Vec<Run>) -> bool;

    /// As [`post_finished`](Self::post_finished) and then [`drive`](Self::drive), for a run
    /// that ended at that time. Not for one whose start was told: it could be overtaken.
    fn finished(&self, key: u64, ended: Ended, at: u64);

    /// Lets the dispatcher act on its inbox: on this thread if no other is at it. Call it after
    /// posting, with no lock held.
    fn drive(&self);

    /// The calling thread is one of the backend's that runs no jobs, but may drop their values.
    fn enter_service(&self) {}
}

/// What every backend does.
pub(crate) trait Backend: Send + Sync {
    /// Queues a run. Called with the core locked: it only puts the run into a queue.
    fn push(&self, run: Run);

    /// Gets pushed runs going. Called after [`push`](Self::push)es, with no lock held.
    fn kick(&self);

    /// Gives back the pushed runs that nobody has begun, in their order, as far as they are at hand:
    /// one that is about to begin may stay. Called with the core locked.
    fn take_back(&self) -> Vec<Run>;

    /// Somebody cancelled this pushed job. If it is not claimed yet, claim it, store nothing,
    /// and post that it finished; if it runs and can be stopped, stop it. Called with no lock
    /// held. The run is reported finished as ever, when it really is.
    fn abort(&self, run: &Run);

    /// How many pushed runs wait for a thread of the engine, at most: runs that were claimed by
    /// others meanwhile may be among them. Runs that need no such thread do not count.
    fn waiting(&self) -> usize {
        0
    }

    /// A thread of the backend falls asleep inside a job, or wakes up there. Called with the core
    /// locked; [`kick`](Self::kick) follows.
    fn asleep(&self, _asleep: bool) {}

    /// The calling thread is about to sleep until this job is finished, there is `enough` of what
    /// it sends, or the time is up, and can do the backend's own work meanwhile; a backend for which
    /// that saves a wake does so until then. Called with no lock held.
    fn serve(
        &self,
        _job: &Arc<dyn AnyJob>,
        _deadline: Option<Instant>,
        _enough: &dyn Fn() -> bool,
    ) {
    }

    /// A reader of this stream says this to who runs it. Called with no lock held. Only a backend
    /// whose jobs run elsewhere has something to pass on.
    fn tell_stream(&self, _job: &Arc<dyn AnyJob>, _word: Word) {}

    /// Ends every thread and process of the backend and waits for them. Called once, when no
    /// run is left in it.
    fn shutdown(&self);
}

/// The abort of every backend whose jobs run in this process: a run that nobody has claimed
/// will not start; one that has begun goes on to its end.
fn abort_unclaimed(run: &Run, reports: &std::sync::Weak<dyn Reports>) {
    if run.claim()
        && let Some(reports) = reports.upgrade()
    {
        reports.post_finished(run.job.head().key(), Ended::Failed);
        reports.drive();
    }
}

/// Fails a claimed job whose thread the system refused.
fn fail_unstarted(job: &dyn AnyJob, reports: &dyn Reports, thread: &str, error: &std::io::Error) {
    job.store_error(JobError::no_worker(format!("{thread} could not be started: {error}")));
    reports.post_finished(job.head().key(), judge(job, false));
}

/// Joins a thread of a backend.
fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        record!(Error, "executor_engine::backend", "a thread of the engine panicked");
    }
}
