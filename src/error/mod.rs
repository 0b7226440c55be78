//! What can go wrong: [`Error`] in using the engine, [`JobError`] for why one job has no result.

mod engine;
mod job;

pub use engine::{Error, Result, StalledJob};
pub use job::{CancelReason, JobError, Unsatisfiable};

pub(crate) use engine::Kind;
pub(crate) use job::{BoxError, PanicInfo, WorkerDeath};
