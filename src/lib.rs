//! A synchronous job engine for plain Rust programs: no async runtime, no server to install.
//!
//! Closures run on the engine's rayon pool, functions in worker processes, each feeding the next
//! by its handle:
//!
//! ```
//! use executor_engine::prelude::*;
//!
//! #[task] // may run in another process
//! fn add(a: i64, b: i64) -> i64 { a + b }
//!
//! let engine = Engine::new()?;
//! let a = engine.submit(LocalJob::new(|| 3_i64, ()))?;
//! let b = engine.submit(ThreadJob::new(|x: i64, y: i64| x * y, (&a, 4)))?;
//! let c = engine.submit(ProcessJob::new(add, (&b, 5)))?;
//! engine.wait()?;
//! assert_eq!(c.result()?, 17);
//! # Ok::<(), executor_engine::Error>(())
//! ```
//!
//! | to | see |
//! |---|---|
//! | make an engine, submit, wait, shut down | [`Engine`], [`EngineBuilder`] |
//! | say what is to run | [`LocalJob`], [`ThreadJob`], [`ProcessJob`]; [`Job`] for what all share |
//! | feed one job from another | [`IntoArg`] |
//! | say when a job may run | [`condition`], [`Job::condition`] |
//! | test what depends on time | [`ManualClock`] |
//! | make a function callable in other processes | [`task`](macro@task) |
//! | yield many values, read while the job runs | [`ThreadJob::stream`](ThreadJob), [`Yield`], [`Reader`] |
//! | run an async function | [`ThreadJob::async_fn`](ThreadJob) |
//! | get the result, or why there is none | [`JobHandle`], [`JobError`] |
//! | give a job a directory, files for its output | [`Job::change_dir`], [`Job::redirect_output`] |
//! | have what a job logs in its own file | [`logging`] |
//! | look at many jobs | [`Jobs`], [`Stats`] |
//!
//! # Theory of operation
//!
//! A job is data. [`Engine::submit`] gives it to the *dispatcher*, a state machine that knows
//! which jobs wait for which and how many may run. A job whose arguments are all there goes to
//! the *backend* of its kind, which runs it and reports its end; the dispatcher then publishes
//! the outcome, wakes whoever waits, and starts or cancels the dependents. Nothing polls: an
//! idle engine does nothing at all.

#![deny(unsafe_code)]

// `#[task]` names this crate by its name, in here too.
extern crate self as executor_engine;

mod backend;
mod clock;
pub mod condition;
mod dispatcher;
mod engine;
mod error;
mod event;
mod files;
mod forkserver;
mod id;
mod info;
mod job;
pub mod logging;
pub mod prelude;
mod record;
#[cfg(feature = "signals")]
mod signals;
mod status;
mod sync;
mod sys;
mod task;
mod wire;

pub use clock::ManualClock;
pub use engine::{Engine, EngineBuilder, Jobs, Shutdown, Stats};
pub use error::{CancelReason, Error, JobError, Result, StalledJob, Unsatisfiable};
pub use event::{Events, JobEvent};
/// Makes a function a task: callable by name in any process of the same program, and still an
/// ordinary function.
///
/// ```
/// use executor_engine::prelude::*;
///
/// #[task]
/// fn area(width: f64, height: f64) -> f64 { width * height }
///
/// #[task(name = "billing.parse")] // instead of the path, for names that outlive refactorings
/// fn parse(text: String) -> Result<u32, std::num::ParseIntError> { text.parse() }
///
/// assert_eq!(area(2.0, 3.0), 6.0);
/// assert_eq!(parse.name(), "billing.parse");
/// let engine = Engine::new()?;
/// assert_eq!(engine.submit(ProcessJob::new(area, (2.0, 3.0)))?.result()?, 6.0);
/// // A task that returns a `Result` fails its job by `Err`:
/// assert!(engine.submit(ProcessJob::new(parse, ("x".to_owned(),)))?.result().is_err());
/// # Ok::<(), executor_engine::Error>(())
/// ```
///
/// The function's name becomes a unit struct that derefs to the function, so it can be called
/// and passed on. Its arguments are owned values that serde can carry, twelve at most; its result
/// likewise. A return type is taken for a `Result` if it is written so (`Result<..>`,
/// `io::Result<..>`, `anyhow::Result<..>`).
///
/// A task's name is `crate::path::function`, or what `name = ".."` says. Two tasks of one name
/// are an error when one of them is submitted. `crate = path` names this crate where it goes by
/// another name.
///
/// What cannot be a task is refused by the compiler, with the reason:
///
/// ```compile_fail
/// # use executor_engine::prelude::*;
/// #[task]
/// fn borrowed(text: &str) -> usize { text.len() } // take a String: arguments travel
/// ```
/// ```compile_fail
/// # use executor_engine::prelude::*;
/// #[task]
/// fn generic<T>(value: T) {} // one name is one function
/// ```
/// ```compile_fail
/// # use executor_engine::prelude::*;
/// #[task]
/// async fn later() {} // a task runs to its end
/// ```
pub use executor_engine_macros::task;
pub use files::{CacheDir, Directory, JobWriter, Redirect, Tee};
pub use forkserver::init;
pub use id::JobId;
pub use info::{JobInfo, Progress};
pub use job::{
    Arg, ArgPack, Backoff, Context, IntoArg, IntoArgs, Job, JobContext, JobHandle, JobKind, Local,
    LocalJob, Output, Process, ProcessJob, Reader, RunsFunction, RunsHere, Stream, StreamEnd,
    StreamStopped, Streaming, Thread, ThreadJob, Yield, block_on,
};
#[cfg(feature = "signals")]
pub use signals::SignalGuard;
pub use status::Status;
pub use task::{Callable, CallableOnce, Task, TryCallable, TryCallableOnce};

/// What `#[task]` expands to; not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use linkme;

    pub use crate::job::{Caller, Upstreams};
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

/// The README's snippets are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
