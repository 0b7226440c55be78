//! What a job's handle asks of the engine that the job was submitted to.

use std::sync::Arc;
use std::time::Instant;

use super::cell::AnyJob;
use super::outcome::CancelReason;
use crate::error::Result;

/// The engine, as handles see it. Handles hold it weakly: an engine ends when its last
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
