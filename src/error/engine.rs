//! [`Error`]: what can go wrong in using the engine, apart from a job's own failure.

use std::fmt;

use super::job::JobError;
use crate::id::JobId;

/// The result of the engine's own calls.
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

#[derive(Debug)]
pub(crate) enum Kind {
    /// A builder setting makes no sense.
    InvalidSetting(String),
    /// A path that a job names is none.
    InvalidPath(JobId, String),
    /// The engine no longer takes jobs.
    ShutDown,
    /// Jobs remain that nothing can make ready.
    Stalled(Vec<StalledJob>),
    /// The job, or a job it depends on, belongs to another engine.
    OtherEngine(JobId),
    /// The job would wait for itself.
    Cycle(Vec<JobId>),
    /// The job wants more of a resource than there is.
    Impossible { resource: String, wanted: u64, total: Option<u64> },
    /// The condition of a job makes no sense.
    InvalidCondition(String),
    /// The condition names a job that this process did not make.
    ForeignJob(JobId),
    /// The task is not in the registry.
    UnknownTask(String),
    /// Two tasks have one name.
    DuplicateTask(String),
    /// No such job in the engine.
    UnknownJob(JobId),
    /// The call needs a finished job.
    NotFinished(JobId),
    /// The job was made to run once, or has let go of its function.
    RunsOnce(JobId),
    /// `Engine::wait` from inside one of its jobs.
    WaitInsideJob,
    /// The job runs in another process than its engine.
    Elsewhere,
    /// This process was started as a fork server but reached `main`.
    NotIntercepted,
    /// The operating system refused something.
    Io(String, std::io::Error),
    /// A job's own error.
    Job(JobError),
}

/// A job that can never become ready, and what it waits for.
///
/// ```
/// use executor_engine::prelude::*;
///
/// let engine = Engine::new()?;
/// let never = ThreadJob::new(|| 1, ());
/// let job = engine.submit(ThreadJob::new(|x: i32| x, (never.output(),)))?;
/// let error = engine.wait().unwrap_err();
/// let stalled = &error.stalled_jobs()[0];
/// assert_eq!(stalled.id(), job.id());
/// assert_eq!(stalled.waits_for(), [never.id()]);
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StalledJob {
    pub(crate) id: JobId,
    pub(crate) name: Option<String>,
    pub(crate) waits_for: Vec<JobId>,
    pub(crate) unsubmitted: Vec<JobId>,
}

impl StalledJob {
    /// The job.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Its name, if it was given one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The unfinished jobs that it waits for.
    #[must_use]
    pub fn waits_for(&self) -> &[JobId] {
        &self.waits_for
    }

    /// Those of them that were not submitted to the engine, or were removed from it and are known
    /// by their id only.
    #[must_use]
    pub fn unsubmitted(&self) -> &[JobId] {
        &self.unsubmitted
    }
}

impl fmt::Display for StalledJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " ({name})")?;
        }
        f.write_str(" waits for ")?;
        for (i, id) in self.waits_for.iter().take(STALLED_NAMED).enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{id}")?;
            if self.unsubmitted.contains(id) {
                f.write_str(", which was not submitted")?;
            }
        }
        match self.waits_for.len().saturating_sub(STALLED_NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

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

    /// A setting of the builder makes no sense.
    #[must_use]
    pub fn is_invalid_setting(&self) -> bool {
        matches!(*self.0, Kind::InvalidSetting(_))
    }

    /// A path that the job names for its output or its directory is none: it is empty, or holds a
    /// NUL byte.
    #[must_use]
    pub fn is_invalid_path(&self) -> bool {
        matches!(*self.0, Kind::InvalidPath(..))
    }

    /// The engine was shut down and takes no more jobs.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        matches!(*self.0, Kind::ShutDown)
    }

    /// Jobs remain that nothing can make ready; [`stalled_jobs`](Self::stalled_jobs) names them.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        matches!(*self.0, Kind::Stalled(_))
    }

    /// The job, or a job whose result it needs, belongs to another engine.
    #[must_use]
    pub fn is_other_engine(&self) -> bool {
        matches!(*self.0, Kind::OtherEngine(_))
    }

    /// The job would have to wait for itself.
    #[must_use]
    pub fn is_cycle(&self) -> bool {
        matches!(*self.0, Kind::Cycle(_))
    }

    /// The job wants more of a resource than the engine has, so it could never run.
    #[must_use]
    pub fn is_impossible(&self) -> bool {
        matches!(*self.0, Kind::Impossible { .. })
    }

    /// The job's condition makes no sense; the text says what would.
    #[must_use]
    pub fn is_invalid_condition(&self) -> bool {
        matches!(*self.0, Kind::InvalidCondition(_) | Kind::ForeignJob(_))
    }

    /// The task is not in this program's registry.
    #[must_use]
    pub fn is_unknown_task(&self) -> bool {
        matches!(*self.0, Kind::UnknownTask(_))
    }

    /// Two tasks of this program have the same name.
    #[must_use]
    pub fn is_duplicate_task(&self) -> bool {
        matches!(*self.0, Kind::DuplicateTask(_))
    }

    /// The engine has no job of that id.
    #[must_use]
    pub fn is_unknown_job(&self) -> bool {
        matches!(*self.0, Kind::UnknownJob(_))
    }

    /// The call needs a finished job, and this one is not.
    #[must_use]
    pub fn is_not_finished(&self) -> bool {
        matches!(*self.0, Kind::NotFinished(_))
    }

    /// The job cannot run again: it was made by a `once` constructor, or nobody has kept a handle
    /// of it.
    #[must_use]
    pub fn is_runs_once(&self) -> bool {
        matches!(*self.0, Kind::RunsOnce(_))
    }

    /// `Engine::wait` was called from inside one of the engine's jobs.
    #[must_use]
    pub fn is_wait_inside_job(&self) -> bool {
        matches!(*self.0, Kind::WaitInsideJob)
    }

    /// The job runs in a worker process, where its engine is not.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        matches!(*self.0, Kind::Elsewhere)
    }

    /// This process is a fork server whose `main` was reached; see [`init`](crate::init).
    #[must_use]
    pub fn is_not_intercepted(&self) -> bool {
        matches!(*self.0, Kind::NotIntercepted)
    }

    /// The operating system's error, if one is behind this.
    #[must_use]
    pub fn io_error(&self) -> Option<&std::io::Error> {
        match &*self.0 {
            Kind::Io(_, error) => Some(error),
            _ => None,
        }
    }

    /// A job's own error, if that is what this is.
    #[must_use]
    pub fn job_error(&self) -> Option<&JobError> {
        match &*self.0 {
            Kind::Job(error) => Some(error),
            _ => None,
        }
    }

    /// The jobs that can never become ready, if [`is_stalled`](Self::is_stalled).
    #[must_use]
    pub fn stalled_jobs(&self) -> &[StalledJob] {
        match &*self.0 {
            Kind::Stalled(jobs) => jobs,
            _ => &[],
        }
    }

    /// The jobs of the cycle in order, if [`is_cycle`](Self::is_cycle).
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
        match &*self.0 {
            Kind::InvalidSetting(text) => f.write_str(text),
            Kind::InvalidPath(id, why) => write!(f, "job {id} was not accepted: {why}"),
            Kind::ShutDown => {
                f.write_str("the engine was shut down and takes no more jobs: make a new one")
            }
            Kind::Stalled(jobs) => stalled_text(jobs, f),
            Kind::OtherEngine(id) => write!(
                f,
                "job {id} belongs to another engine: submit both jobs to one engine, or pass its \
                 result as a value"
            ),
            Kind::Cycle(ids) => {
                f.write_str("the job would wait for itself: ")?;
                for id in ids {
                    write!(f, "{id} waits for ")?;
                }
                match ids.first() {
                    Some(first) => write!(f, "{first}: remove one of these dependencies"),
                    None => f.write_str("remove one of its dependencies"),
                }
            }
            Kind::Impossible { resource, wanted, total: Some(total) } => write!(
                f,
                "the job wants {wanted} units of resource {resource}, and the engine has {total}: ask \
                 for less, or build the engine with more"
            ),
            Kind::Impossible { resource, wanted, total: None } => write!(
                f,
                "the job wants {wanted} units of resource {resource}, which the engine does not have: \
                 name it with Engine::builder().resource({resource:?}, ..)"
            ),
            Kind::InvalidCondition(text) => f.write_str(text),
            Kind::ForeignJob(id) => write!(
                f,
                "the condition names job {id}, which another process made: a job can wait for jobs \
                 of its own engine only"
            ),
            Kind::UnknownTask(name) => write!(
                f,
                "task {name} is not in this program's registry: mark the function #[task], and \
                 if it is, refer to its crate from the program (`use that_crate as _;`) so that \
                 the linker keeps it"
            ),
            Kind::DuplicateTask(name) => {
                write!(f, "two tasks are named {name}: rename one, or give it `#[task(name = ..)]`")
            }
            Kind::UnknownJob(id) => write!(
                f,
                "the engine has no job {id}: it was never submitted to it, or was removed"
            ),
            Kind::NotFinished(id) => {
                write!(f, "job {id} is not finished: cancel it or wait for it first")
            }
            Kind::RunsOnce(id) => write!(
                f,
                "job {id} cannot run again: a job made by `once` gives its function away, and one \
                 that nobody has kept a handle of has let go of it; make it by `new` or `try_new`, \
                 and keep a handle"
            ),
            Kind::WaitInsideJob => f.write_str(
                "Engine::wait inside one of the engine's own jobs would wait for that job itself: \
                 wait for the jobs you need with JobHandle::wait",
            ),
            Kind::Elsewhere => f.write_str(
                "the job runs in a worker process, and its engine in another one: submit jobs from a \
                 thread or local job, or return what is to be done next",
            ),
            Kind::NotIntercepted => f.write_str(
                "this process was started to serve worker processes, but reached main: call \
                 executor_engine::init() as the first line of main, or name another program with \
                 Engine::builder().worker_exe(..)",
            ),
            Kind::Io(doing, error) => write!(f, "{doing}: {error}"),
            Kind::Job(error) => fmt::Display::fmt(error, f),
        }
    }
}

/// At most this many stalled jobs, and of each this many that it waits for, are named in the text;
/// the error holds them all.
const STALLED_NAMED: usize = 8;

fn stalled_text(jobs: &[StalledJob], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "nothing runs, and {} can never start: ",
        match jobs.len() {
            1 => "1 job".to_owned(),
            n => format!("{n} jobs"),
        }
    )?;
    for (i, job) in jobs.iter().take(STALLED_NAMED).enumerate() {
        if i > 0 {
            f.write_str("; ")?;
        }
        write!(f, "{job}")?;
    }
    if jobs.len() > STALLED_NAMED {
        write!(f, "; and {} more", jobs.len() - STALLED_NAMED)?;
    }
    f.write_str(": submit what they wait for, or cancel them")
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
