//! What most programs use: `use executor_engine::prelude::*;`.

pub use crate::{
    CacheDir, Context, Engine, JobContext, JobError, JobHandle, JobId, LocalJob, ProcessJob,
    Shutdown, Status, Task, ThreadJob, task,
};
