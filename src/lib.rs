//! executor-engine: a synchronous job engine for plain Rust programs.

#![deny(unsafe_code)]

// `#[task]` names this crate by its name, in here too.
extern crate self as executor_engine;

mod backend;
mod clock;
mod dispatcher;
mod engine;
mod error;
mod forkserver;
mod id;
mod job;
pub mod prelude;
mod sys;
mod task;
mod wire;

pub use engine::{Engine, EngineBuilder, Jobs, Shutdown, Stats};
pub use error::{Error, Result, StalledJob};
pub use executor_engine_macros::task;
pub use forkserver::init;
pub use id::JobId;
pub use job::{
    Arg, ArgPack, Callable, CancelReason, IntoArg, IntoArgs, Job, JobError, JobHandle, JobInfo,
    Local, LocalJob, Output, Process, ProcessJob, Status, Thread, ThreadJob, TryCallable,
};
pub use task::Task;

/// What `#[task]` expands to; not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use linkme;

    pub use crate::job::Upstreams;
    pub use crate::task::{TASKS, TaskDef, TaskFailure, run_encoded};

    /// The return type of a task that can fail.
    pub trait TaskReturn {
        /// The result's type.
        type Value;

        /// The result, or the job's failure.
        ///
        /// # Errors
        /// What the task returned.
        fn into_result(self) -> Result<Self::Value, crate::JobError>;
    }

    impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> TaskReturn for Result<T, E> {
        type Value = T;

        fn into_result(self) -> Result<T, crate::JobError> {
            self.map_err(|error| crate::JobError::failure(error.into()))
        }
    }
}
