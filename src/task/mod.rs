//! What jobs call: closures and, by name and from any process, tasks.
//!
//! | module | holds |
//! |---|---|
//! | [`callable`] | one trait for closures and tasks |
//! | [`registry`] | what `#[task]` fills, and how a task is found by its name |

mod callable;
mod registry;

pub use callable::{Callable, CallableOnce, TryCallable, TryCallableOnce};
pub use registry::{TASKS, Task, TaskDef, TaskFailure, run_encoded};

pub(crate) use callable::{Fallible, Infallible};
pub(crate) use registry::{build_id, find};
