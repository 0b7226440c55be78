//! What most programs use: `use executor_engine::prelude::*;`.

pub use crate::{
    Engine, JobError, JobHandle, JobId, LocalJob, ProcessJob, Shutdown, Status, Task, ThreadJob,
    task,
};
