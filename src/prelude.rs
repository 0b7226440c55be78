//! What most programs use: `use executor_engine::prelude::*;`.

pub use crate::{
    CacheDir, Context, Engine, JobContext, JobError, JobHandle, JobId, LocalJob, ProcessJob,
    Shutdown, Status, StreamStopped, Task, ThreadJob, Yield, task,
};
