//! What is run: jobs as data, their arguments, their handles. No threads, no I/O, no clock.
//!
//! | module | holds |
//! |---|---|
//! | [`builder`] | `Job<K, T>` and what can be said of every job |
//! | [`local`], [`thread`], [`process`] | a kind each: its constructors and its own options |
//! | [`args`], [`callable`] | arguments and what takes them |
//! | [`cell`] | the allocation that job, handles, engine and dependents share |
//! | [`gate`] | its status, and those who wait for its end |
//! | [`handle`] | what a user holds of a submitted job |
//! | [`link`] | what handles ask of the engine |
//! | [`status`], [`outcome`], [`panics`] | where a job stands, and why it has no result |

mod args;
mod builder;
mod callable;
mod cell;
mod gate;
mod handle;
mod link;
mod local;
mod outcome;
mod panics;
mod process;
mod status;
mod thread;

use crate::sync;

pub use args::{Arg, ArgPack, IntoArg, IntoArgs, Output, Upstreams};
pub use builder::Job;
pub use callable::{Callable, TryCallable};
pub use handle::{JobHandle, JobInfo};
pub use local::{Local, LocalJob};
pub use outcome::{CancelReason, JobError};
pub use process::{Process, ProcessJob};
pub use status::Status;
pub use thread::{Thread, ThreadJob};

pub(crate) use cell::{AnyJob, Head, KindId, Waiter};
#[cfg(test)]
pub(crate) use cell::{Meta, TypedJob};
pub(crate) use link::{EngineId, Link};
pub(crate) use outcome::{PanicInfo, WorkerDeath};
pub(crate) use panics::{catch, drop_quietly, install_hook};
