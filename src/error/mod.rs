//! What can go wrong: [`Error`] in using the engine, [`JobError`] for why one job has no result.

mod death;
mod engine;
mod job;
mod kind;
mod reason;
mod stalled;

pub use engine::{Error, Result};
pub use job::JobError;
pub use reason::{CancelReason, Unsatisfiable};
pub use stalled::StalledJob;

pub(crate) use death::WorkerDeath;
pub(crate) use job::{BoxError, PanicInfo};
pub(crate) use kind::Kind;
