//! What a job's handle asks of the engine that the job was submitted to.
//!
//! A job knows its engine by a number, not by a reference: a reference would cost each job two
//! atomic operations on one counter that all threads share. The numbers of live engines are in
//! one table of the process, which only calls that block or cancel look into.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::RwLock;

use super::cell::AnyJob;
use super::outcome::CancelReason;
use crate::error::Result;

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
}

/// Tells engines apart within the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EngineId(NonZeroU64);

static ENGINES: RwLock<BTreeMap<EngineId, Weak<dyn Link>>> = RwLock::new(BTreeMap::new());

impl EngineId {
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(NonZeroU64::new(number).expect("fewer than 2^64 engines"))
    }

    /// The number, never 0.
    pub(super) fn number(self) -> u64 {
        self.0.get()
    }

    pub(super) fn from_number(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// Makes the engine known to the handles of its jobs.
    pub(crate) fn register(self, link: Weak<dyn Link>) {
        ENGINES.write().insert(self, link);
    }

    /// The engine has ended: its jobs are all finished.
    pub(crate) fn unregister(self) {
        ENGINES.write().remove(&self);
    }

    /// The engine, if it has not ended.
    pub(super) fn link(self) -> Option<Arc<dyn Link>> {
        ENGINES.read().get(&self)?.upgrade()
    }
}
