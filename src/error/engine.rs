//! [`Error`]: what can go wrong in using the engine, apart from a job's own failure.

use std::fmt;

use super::job::JobError;
use super::kind::Kind;
use super::stalled::StalledJob;
use crate::id::JobId;

/// The result of the engine's own calls.
///
/// ```
/// # use executor_engine::prelude::*;
/// fn double(x: u32) -> executor_engine::Result<u32> {
///     let engine = Engine::new()?;
///     Ok(engine.submit(ThreadJob::new(|x: u32| x * 2, (x,)))?.result()?)
/// }
/// assert_eq!(double(21)?, 42);
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Misuse of the engine, or trouble of its own.
///
/// Why one *job* has no result is a [`JobError`]; it converts into this type, so that `?`
/// works on both in one function.
///
/// ```
/// use executor_engine::prelude::*;
///
/// let error = Engine::builder().max_jobs(0).build().unwrap_err();
/// assert!(error.is_invalid_setting());
/// assert_eq!(error.to_string(), "max_jobs is 0, so no job could ever run: give at least 1");
/// ```
pub struct Error(Box<Kind>);

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self(Box::new(kind))
    }
}

impl From<JobError> for Error {
    fn from(error: JobError) -> Self {
        Kind::Job(error).into()
    }
}

impl Error {
    pub(crate) fn io(doing: impl Into<String>, error: std::io::Error) -> Self {
        Kind::Io(doing.into(), error).into()
    }

    /// A setting of the builder, or an option of a job, makes no sense.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// assert!(Engine::builder().max_jobs(0).build().unwrap_err().is_invalid_setting());
    /// ```
    #[must_use]
    pub fn is_invalid_setting(&self) -> bool {
        matches!(*self.0, Kind::InvalidSetting(_))
    }

    /// A path that the job names for its output or its directory is none: it is empty, or holds a
    /// NUL byte.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let error = engine.submit(ThreadJob::new(|| 1, ()).change_dir("")).unwrap_err();
    /// assert!(error.is_invalid_path());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_invalid_path(&self) -> bool {
        matches!(*self.0, Kind::InvalidPath(..))
    }

    /// The engine was shut down and takes no more jobs.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// engine.shutdown(Shutdown::Drain);
    /// assert!(engine.submit(ThreadJob::new(|| 1, ())).unwrap_err().is_shut_down());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        matches!(*self.0, Kind::ShutDown)
    }

    /// Jobs remain that nothing can make ready; [`stalled_jobs`](Self::stalled_jobs) names them.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let never = ThreadJob::new(|| 1, ());
    /// engine.submit(ThreadJob::new(|x: i32| x, (never.output(),)))?;
    /// let error = engine.wait().unwrap_err();
    /// assert!(error.is_stalled());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        matches!(*self.0, Kind::Stalled(_))
    }

    /// The job, or a job whose result it needs, belongs to another engine.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let other = Engine::new()?;
    /// let theirs = other.submit(ThreadJob::new(|| 1, ()))?;
    /// let error = engine.submit(ThreadJob::new(|x: i32| x, (&theirs,))).unwrap_err();
    /// assert!(error.is_other_engine());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_other_engine(&self) -> bool {
        matches!(*self.0, Kind::OtherEngine(_))
    }

    /// The job would have to wait for itself.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::condition::*;
    /// # let engine = Engine::new()?;
    /// let job = ThreadJob::new(|| 1, ());
    /// let id = job.id();
    /// let error = engine.submit(job.condition(after_another(id))).unwrap_err();
    /// assert!(error.is_cycle());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_cycle(&self) -> bool {
        matches!(*self.0, Kind::Cycle(_))
    }

    /// The job wants more of a resource than the engine has, so it could never run.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::builder().resource("gpu", 2).build()?;
    /// let error = engine.submit(ThreadJob::new(|| 1, ()).resource("gpu", 3)).unwrap_err();
    /// assert!(error.is_impossible());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_impossible(&self) -> bool {
        matches!(*self.0, Kind::Impossible { .. })
    }

    /// The job's condition makes no sense; the text says what would.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::condition::*;
    /// # let engine = Engine::new()?;
    /// let never_asked = custom(|_| true).every("0s");
    /// let error = engine.submit(ThreadJob::new(|| 1, ()).condition(never_asked)).unwrap_err();
    /// assert!(error.is_invalid_condition());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_invalid_condition(&self) -> bool {
        matches!(*self.0, Kind::InvalidCondition(_) | Kind::ForeignJob(_))
    }

    /// The task is not in this program's registry.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::{Callable, __private::TaskDef};
    /// # #[derive(Clone, Copy)]
    /// # struct Unregistered;
    /// # impl Callable<()> for Unregistered {
    /// #     type Output = ();
    /// #     fn call(&self, (): ()) -> Result<(), JobError> { Ok(()) }
    /// # }
    /// # impl Task for Unregistered {
    /// #     type Args = ();
    /// #     type Result = ();
    /// #     fn definition(&self) -> &'static TaskDef {
    /// #         static TASK: TaskDef = TaskDef::new("unregistered", 0, |_, _| Ok(()));
    /// #         &TASK
    /// #     }
    /// # }
    /// # let engine = Engine::new()?;
    /// let error = engine.submit(ProcessJob::new(Unregistered, ())).unwrap_err();
    /// assert!(error.is_unknown_task()); // made without the attribute
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_unknown_task(&self) -> bool {
        matches!(*self.0, Kind::UnknownTask(_))
    }

    /// Two tasks of this program have the same name.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// #[task(name = "twin")]
    /// fn one() -> u8 { 1 }
    /// #[task(name = "twin")]
    /// fn two() -> u8 { 2 }
    ///
    /// let error = engine.submit(ProcessJob::new(one, ())).unwrap_err();
    /// assert!(error.is_duplicate_task());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_duplicate_task(&self) -> bool {
        matches!(*self.0, Kind::DuplicateTask(_))
    }

    /// The engine has no job of that id.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let never = ThreadJob::new(|| 1, ());
    /// assert!(engine.wait_job(never.id()).unwrap_err().is_unknown_job());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_unknown_job(&self) -> bool {
        matches!(*self.0, Kind::UnknownJob(_))
    }

    /// The call needs a finished job, and this one is not.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// engine.pause();
    /// let job = engine.submit(ThreadJob::new(|| 1, ()))?;
    /// assert!(engine.remove(job.id()).unwrap_err().is_not_finished());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_not_finished(&self) -> bool {
        matches!(*self.0, Kind::NotFinished(_))
    }

    /// The job cannot run again: it was made by a `once` constructor, or nobody has kept a handle
    /// of it.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = ThreadJob::once(|| 1, ()).retries(1);
    /// assert!(engine.submit(job).unwrap_err().is_runs_once());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_runs_once(&self) -> bool {
        matches!(*self.0, Kind::RunsOnce(_))
    }

    /// `Engine::wait` was called from inside one of the engine's jobs.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let waits = |ctx: JobContext| ctx.engine().and_then(|engine| engine.wait()).unwrap_err();
    /// let job = engine.submit(ThreadJob::new(waits, (Context,)))?;
    /// assert!(job.take()?.is_wait_inside_job());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_wait_inside_job(&self) -> bool {
        matches!(*self.0, Kind::WaitInsideJob)
    }

    /// The job runs in a worker process, where its engine is not.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// #[task]
    /// fn asks(ctx: JobContext) -> bool { ctx.engine().unwrap_err().is_elsewhere() }
    ///
    /// assert!(engine.submit(ProcessJob::new(asks, (Context,)))?.result()?);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        matches!(*self.0, Kind::Elsewhere)
    }

    /// This process is a fork server whose `main` was reached; see [`init`](crate::init).
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// match Engine::new() {
    ///     Err(error) if error.is_not_intercepted() => panic!("call executor_engine::init() first"),
    ///     engine => assert_eq!(engine?.submit(ThreadJob::new(|| 1, ()))?.result()?, 1),
    /// }
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_not_intercepted(&self) -> bool {
        matches!(*self.0, Kind::NotIntercepted)
    }

    /// The operating system's error, if one is behind this.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::builder().cache_dir("/dev/null/below").build()?;
    /// assert!(engine.cache_dir().unwrap_err().io_error().is_some());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn io_error(&self) -> Option<&std::io::Error> {
        match &*self.0 {
            Kind::Io(_, error) => Some(error),
            _ => None,
        }
    }

    /// A job's own error, if that is what this is.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// fn fails(engine: &Engine) -> executor_engine::Result<u8> {
    ///     Ok(engine.submit(ThreadJob::try_new(|| "x".parse(), ()))?.result()?)
    /// }
    /// assert!(fails(&engine).unwrap_err().job_error().unwrap().is_failure());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn job_error(&self) -> Option<&JobError> {
        match &*self.0 {
            Kind::Job(error) => Some(error),
            _ => None,
        }
    }

    /// The jobs that can never become ready, if [`is_stalled`](Self::is_stalled).
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let never = ThreadJob::new(|| 1, ());
    /// let job = engine.submit(ThreadJob::new(|x: i32| x, (never.output(),)))?;
    /// let error = engine.wait().unwrap_err();
    /// assert_eq!(error.stalled_jobs()[0].id(), job.id());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn stalled_jobs(&self) -> &[StalledJob] {
        match &*self.0 {
            Kind::Stalled(jobs) => jobs,
            _ => &[],
        }
    }

    /// The jobs of the cycle in order, if [`is_cycle`](Self::is_cycle).
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::condition::*;
    /// # let engine = Engine::new()?;
    /// let job = ThreadJob::new(|| 1, ());
    /// let id = job.id();
    /// let error = engine.submit(job.condition(after_another(id))).unwrap_err();
    /// assert_eq!(error.cycle(), [id]);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn cycle(&self) -> &[JobId] {
        match &*self.0 {
            Kind::Cycle(jobs) => jobs,
            _ => &[],
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&*self.0, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &*self.0 {
            Kind::Io(_, error) => Some(error),
            Kind::Job(error) => Some(error),
            _ => None,
        }
    }
}
