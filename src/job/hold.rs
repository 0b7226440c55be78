//! What keeps a finished job able to run again: its handles, and holds that do for a moment what
//! a handle does.

use std::sync::Arc;

use super::cell::AnyJob;

/// Somebody who has no handle of a job, but wants what the handles of others stand for.
pub(crate) struct Hold(Arc<dyn AnyJob>);

impl Hold {
    /// None if the last handle is gone: then the job has let go of its function, or is about to.
    pub(crate) fn of(job: &Arc<dyn AnyJob>) -> Option<Self> {
        job.head().add_handle_beside_others().then(|| Self(Arc::clone(job)))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let_go(&*self.0, || Arc::clone(&self.0));
    }
}

/// One handle less. With the last one a finished job lets go of its function and arguments, though
/// the engine still knows it: what they hold (a channel's end, an engine) is not held for longer than
/// somebody could want to run the job again.
pub(super) fn let_go(job: &dyn AnyJob, shared: impl FnOnce() -> Arc<dyn AnyJob>) {
    let head = job.head();
    if !head.drop_handle() {
        return;
    }
    if let Some(word) = head.stream().and_then(|stream| stream.handle_gone())
        && let Some(link) = head.link()
    {
        link.tell_stream(&shared(), word);
    }
    if head.status().is_finished() {
        job.release_body();
    }
}
