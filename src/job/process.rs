//! Process jobs: tasks in worker processes.

use std::sync::Arc;

use super::args::{ArgPack, Caller, IntoArgs};
use super::builder::Job;
use super::cell::{AnyJob, Body};
use super::kind::KindId;
use crate::error::JobError;
use crate::task::{Task, TaskDef};
use crate::wire::codec;

/// The kind of jobs that run in worker processes.
///
/// ```
/// # use executor_engine::prelude::*;
/// # use executor_engine::{Job, Process};
/// # let engine = Engine::new()?;
/// #[task]
/// fn one() -> u8 { 1 }
///
/// let job: Job<Process, u8> = ProcessJob::new(one, ());
/// assert_eq!(engine.submit(job)?.info().kind(), "process");
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Process {}

/// A job in a worker process: a [`#[task]`](macro@crate::task) and its arguments.
///
/// Workers are kept warm and serve many jobs. If one dies (a crash, an abort, the kernel's
/// out-of-memory killer), the job that it ran fails with a
/// [worker-died error](crate::JobError::is_worker_died), a new worker takes its place, and
/// nothing else is touched.
///
/// A worker's stdin is empty (`/dev/null`), its stdout is the engine's, and what it writes to
/// stderr goes to the engine's stderr, the last lines being kept for errors; but see
/// [`redirect_output`](Job::redirect_output).
///
/// ```
/// use executor_engine::prelude::*;
///
/// #[task]
/// fn add(a: i64, b: i64) -> i64 { a + b }
///
/// let engine = Engine::new()?;
/// let job = engine.submit(ProcessJob::new(add, (1, 2)))?;
/// assert_eq!(job.result()?, 3);
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub type ProcessJob<T> = Job<Process, T>;

impl<T: Send + 'static> Job<Process, T> {
    /// A job that calls the task with these arguments in a worker process. If the task returns
    /// a `Result`, an `Err` fails the job.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// #[task]
    /// fn parse(text: String) -> Result<u8, std::num::ParseIntError> { text.parse() }
    ///
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ProcessJob::new(parse, ("300".to_owned(),)))?;
    /// assert!(job.result().unwrap_err().is_failure());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn new<P, X>(task: P, args: X) -> Self
    where
        P: Task<Result = T>,
        X: IntoArgs<P::Args>,
    {
        let body = Remote { task, args: args.into_args() };
        Self::with_body(KindId::Process, body)
    }

    /// Gives the job a process of its own, started for it and ended after it: for tasks that
    /// leak, that change their process's state, or that must not share one.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// #[task]
    /// fn pid() -> u32 { std::process::id() }
    ///
    /// # let engine = Engine::new()?;
    /// let a = engine.submit(ProcessJob::new(pid, ()).fresh_process(true))?;
    /// let b = engine.submit(ProcessJob::new(pid, ()).fresh_process(true))?;
    /// assert_ne!(a.result()?, b.result()?);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn fresh_process(mut self, fresh: bool) -> Self {
        self.meta_mut().fresh_process = fresh;
        self
    }
}

/// The body of a process job.
struct Remote<P, A> {
    task: P,
    args: A,
}

impl<P, A> Body<P::Result> for Remote<P, A>
where
    P: Task,
    A: ArgPack<P::Args>,
{
    fn visit_upstream(&self, visit: &mut dyn FnMut(Arc<dyn AnyJob>)) {
        self.args.visit_upstream(&mut |upstream| visit(upstream.0));
    }

    fn call(&self, caller: Caller<'_>) -> Result<P::Result, JobError> {
        self.task.call(self.args.get(&caller)?)
    }

    fn task(&self) -> Option<&'static TaskDef> {
        Some(self.task.definition())
    }

    fn encode_args(&self, caller: Caller<'_>, out: &mut Vec<u8>) -> Result<(), JobError> {
        codec::encode(&self.args.get(&caller)?, out).map_err(|error| {
            JobError::codec(format!(
                "the arguments of task {} do not encode: {error}; give it types that serialize",
                self.task.name()
            ))
        })
    }

    fn decode_result(&self, bytes: &[u8]) -> Result<P::Result, JobError> {
        codec::decode(bytes).map_err(|error| {
            JobError::codec(format!(
                "the result of task {} does not decode: {error}; its type must deserialize \
                 what it serializes",
                self.task.name()
            ))
        })
    }
}
