//! The engine, as its own jobs reach it.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::RwLock;

use super::front::{Engine, Owner};
use crate::error::{Kind, Result};
use crate::job::{EngineId, JobContext};

/// The engines of this process that have not ended.
static OWNERS: RwLock<BTreeMap<EngineId, Weak<Owner>>> = RwLock::new(BTreeMap::new());

/// Makes an engine known to its jobs.
pub(super) fn register(engine: EngineId, owner: &Arc<Owner>) {
    OWNERS.write().insert(engine, Arc::downgrade(owner));
}

/// The engine is about to end.
pub(super) fn unregister(engine: EngineId) {
    OWNERS.write().remove(&engine);
}

impl JobContext {
    /// The engine that runs the job: to submit more jobs to it, or to look at them.
    ///
    /// # Errors
    /// [Shut down](crate::Error::is_shut_down) if it is being dropped;
    /// [elsewhere](crate::Error::is_elsewhere) if the job runs in a worker process.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// fn sum(ctx: JobContext, from: u64, to: u64) -> executor_engine::Result<u64> {
    ///     if to - from <= 100 {
    ///         return Ok((from..to).sum());
    ///     }
    ///     let middle = from.midpoint(to);
    ///     let left = ctx.engine()?.submit(ThreadJob::try_new(sum, (Context, from, middle)))?;
    ///     Ok(sum(ctx, middle, to)? + left.result()?)
    /// }
    ///
    /// let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::try_new(sum, (Context, 0, 10_000)))?;
    /// assert_eq!(job.result()?, 49_995_000);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn engine(&self) -> Result<Engine> {
        let job = self.job().ok_or(Kind::Elsewhere)?;
        let engine = job.head().engine().ok_or(Kind::ShutDown)?;
        let owner = OWNERS.read().get(&engine).and_then(Weak::upgrade);
        Ok(Engine::owned_by(owner.ok_or(Kind::ShutDown)?))
    }
}
