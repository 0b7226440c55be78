//! Where jobs run. One backend per kind, behind one trait.
//!
//! The dispatcher pushes runs into a backend and hears of them again through [`Reports`], once
//! for each run. Nothing else passes between them.

use std::sync::Arc;

use crate::job::AnyJob;

/// One run of a job, handed to a backend.
pub(crate) struct Run {
    pub(crate) job: Arc<dyn AnyJob>,
    /// Which run of the job; see [`Head::claim`](crate::job::Head::claim).
    pub(crate) run: u32,
}

impl Run {
    /// Takes the right to execute it; false if a waiting thread or a cancellation took it.
    pub(crate) fn claim(&self) -> bool {
        self.job.head().claim(self.run)
    }
}

/// Where backends report.
pub(crate) trait Reports: Send + Sync {
    /// The run of this job has ended: its result (`ok`) or error is stored in the job. Only
    /// puts the news into the dispatcher's inbox.
    fn post_finished(&self, key: u64, ok: bool);

    /// Lets the dispatcher act on its inbox: on this thread if no other is at it. Call it after
    /// posting, with no lock held.
    fn drive(&self);
}

/// What every backend does.
pub(crate) trait Backend: Send + Sync {
    /// Queues a run. Called with the core locked: it only puts the run into a queue.
    fn push(&self, run: Run);

    /// Gets pushed runs going. Called after [`push`](Self::push)es, with no lock held.
    fn kick(&self);

    /// Somebody cancelled this pushed job. If it is not claimed yet, claim it, store nothing,
    /// and post that it finished; if it runs and can be stopped, stop it. Called with no lock
    /// held. The run is reported finished as ever, when it really is.
    fn abort(&self, run: &Run);

    /// Ends every thread and process of the backend and waits for them. Called once, when no
    /// run is left in it.
    fn shutdown(&self);
}
