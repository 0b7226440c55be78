//! What a job's handle asks of the engine that the job was submitted to.
//!
//! The numbers of live engines are in one table of the process, which only calls that block or
//! cancel look into.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::RwLock;

use super::cell::AnyJob;
use super::engine_id::EngineId;
use super::head::Head;
use super::stream::Word;
use crate::error::CancelReason;
use crate::error::Result;
use crate::files;

/// The engine, as handles see it. Handles do not keep it alive: an engine ends when its last
/// `Engine` is dropped, whatever handles remain.
pub(crate) trait Link: Send + Sync {
    /// Blocks until the job is finished (`true`) or the time is up (`false`).
    ///
    /// # Errors
    /// Nothing runs and nothing can make the job ready.
    fn wait_job(&self, job: &Arc<dyn AnyJob>, deadline: Option<Instant>) -> Result<bool>;

    /// Calls the job off.
    fn cancel_job(&self, job: &Arc<dyn AnyJob>, reason: CancelReason);

    /// That run of the job has said how far it is. True if that was put into the dispatcher's inbox, for somebody
    /// wants to hear of it: then [`take_in_news`](Self::take_in_news) must follow.
    fn progressed(&self, job: &Arc<dyn AnyJob>, run: u32) -> bool;

    /// Lets the dispatcher act on its inbox. Call it with no lock held.
    fn take_in_news(&self);

    /// Has the finished job run again.
    ///
    /// # Errors
    /// It is not finished; it can run once only; the engine is shut down.
    fn rerun_job(&self, job: &Arc<dyn AnyJob>) -> Result<()>;

    /// Blocks until the job is finished, or, as far as this thread can tell at each look, there is
    /// `enough` of what it sends. Who makes that true unparks the thread.
    ///
    /// # Errors
    /// Nothing runs and nothing can make the job ready, or what it waits for is on this thread.
    fn read_job(&self, job: &Arc<dyn AnyJob>, enough: &dyn Fn() -> bool) -> Result<()>;

    /// That run of the job waits for those who read it (`true`), or does so no more: meanwhile it lends
    /// its permit.
    fn lend(&self, job: &Arc<dyn AnyJob>, run: u32, lent: bool);

    /// Passes a word from a reader on to the worker that has the stream.
    fn tell_stream(&self, job: &Arc<dyn AnyJob>, word: Word);

    /// What the job waits for, in words.
    fn explain_job(&self, job: &Arc<dyn AnyJob>) -> String;
}

static ENGINES: RwLock<BTreeMap<EngineId, Weak<dyn Link>>> = RwLock::new(BTreeMap::new());

impl EngineId {
    /// Makes the engine known to the handles of its jobs.
    pub(crate) fn register(self, link: Weak<dyn Link>) {
        ENGINES.write().insert(self, link);
    }

    /// The engine has ended: its jobs are all finished.
    pub(crate) fn unregister(self) {
        ENGINES.write().remove(&self);
        files::forget_cache(self.number());
    }

    /// The engine, if it has not ended.
    fn link(self) -> Option<Arc<dyn Link>> {
        ENGINES.read().get(&self)?.upgrade()
    }
}

impl Head {
    /// The job's engine, if it has one that has not ended.
    pub(crate) fn link(&self) -> Option<Arc<dyn Link>> {
        self.engine()?.link()
    }
}
