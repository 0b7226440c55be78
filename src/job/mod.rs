//! What is run: jobs as data, their arguments, their handles. No threads, no I/O, no clock.
//!
//! | module | holds |
//! |---|---|
//! | [`builder`] | `Job<K, T>` and what can be said of every job |
//! | [`local`], [`thread`], [`process`] | a kind each: its constructors and its own options |
//! | [`args`] | arguments, by value or from other jobs |
//! | [`callbacks`] | what is called when a job has ended |
//! | [`cell`] | the allocation that job, handles, engine and dependents share |
//! | [`head`] | what it knows of the job, whatever its types |
//! | [`kind`] | the kinds, as the engine tells them apart |
//! | [`keep`] | its function and arguments, for as long as somebody could want to run it |
//! | [`gate`] | its status, and those who wait for its end |
//! | [`context`] | what a job's function can know and tell of its job |
//! | [`asleep`] | threads that sleep inside jobs until those are to stop |
//! | [`output`] | output, directory and log of jobs whose function this program calls |
//! | [`handle`], [`hold`] | what a user holds of a submitted job, and what that keeps |
//! | [`engine_id`], [`link`] | which engine a job belongs to, and what handles ask of it |
//! | [`stream`] | jobs that yield many values, read while they run |
//! | [`future`] | jobs that run a future to its end |
//! | [`retry`] | trying again: how often, when, after which errors |
//! | [`panics`] | how a job's panic becomes an error |

mod args;
mod asleep;
mod builder;
mod callbacks;
mod cell;
mod context;
mod engine_id;
mod future;
mod gate;
mod handle;
mod head;
mod hold;
mod keep;
mod kind;
mod label;
mod link;
mod local;
mod output;
mod panics;
mod process;
mod retry;
mod stream;
mod thread;

use crate::{status, sync};

pub use args::{Arg, ArgPack, Caller, IntoArg, IntoArgs, Output, Upstreams};
pub use builder::Job;
pub use context::{Context, JobContext};
pub use future::block_on;
pub use handle::JobHandle;
pub use kind::JobKind;
pub use local::{Local, LocalJob};
pub use output::{RunsFunction, RunsHere};
pub use process::{Process, ProcessJob};
pub use retry::Backoff;
pub use stream::{Reader, Stream, StreamEnd, StreamStopped, Streaming, Yield};
pub use thread::{Thread, ThreadJob};

pub(crate) use asleep::wake_sleepers_of;
pub(crate) use callbacks::Call;
pub(crate) use cell::AnyJob;
#[cfg(test)]
pub(crate) use cell::TypedJob;
pub(crate) use context::{Teller, note_progress, tell_progress_by};
pub(crate) use engine_id::EngineId;
pub(crate) use head::Meta;
pub(crate) use head::{Ended, Head, Stop, Waiter, watch_starts};
pub(crate) use hold::Hold;
pub(crate) use kind::KindId;
pub(crate) use link::Link;
pub(crate) use panics::{catch, catch_panic, drop_quietly, drop_quietly_of, install_hook};
pub(crate) use retry::judge;
pub(crate) use status::Status;
pub(crate) use stream::{Encode, Opening, Outlet, Says, Why, Word, send_by};
