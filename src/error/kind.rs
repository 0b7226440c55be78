//! The kinds of [`Error`](super::Error), and what each says.

use std::fmt;

use super::job::JobError;
use super::stalled::{StalledJob, stalled_text};
use crate::id::JobId;

/// What an [`Error`](super::Error) is about.
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

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidSetting(text) => f.write_str(text),
            Self::InvalidPath(id, why) => write!(f, "job {id} was not accepted: {why}"),
            Self::ShutDown => {
                f.write_str("the engine was shut down and takes no more jobs: make a new one")
            }
            Self::Stalled(jobs) => stalled_text(jobs, f),
            Self::OtherEngine(id) => write!(
                f,
                "job {id} belongs to another engine: submit both jobs to one engine, or pass its \
                 result as a value"
            ),
            Self::Cycle(ids) => {
                f.write_str("the job would wait for itself: ")?;
                for id in ids {
                    write!(f, "{id} waits for ")?;
                }
                match ids.first() {
                    Some(first) => write!(f, "{first}: remove one of these dependencies"),
                    None => f.write_str("remove one of its dependencies"),
                }
            }
            Self::Impossible { resource, wanted, total: Some(total) } => write!(
                f,
                "the job wants {wanted} units of resource {resource}, and the engine has {total}: ask \
                 for less, or build the engine with more"
            ),
            Self::Impossible { resource, wanted, total: None } => write!(
                f,
                "the job wants {wanted} units of resource {resource}, which the engine does not have: \
                 name it with Engine::builder().resource({resource:?}, ..)"
            ),
            Self::InvalidCondition(text) => f.write_str(text),
            Self::ForeignJob(id) => write!(
                f,
                "the condition names job {id}, which another process made: a job can wait for jobs \
                 of its own engine only"
            ),
            Self::UnknownTask(name) => write!(
                f,
                "task {name} is not in this program's registry: mark the function #[task], and \
                 if it is, refer to its crate from the program (`use that_crate as _;`) so that \
                 the linker keeps it"
            ),
            Self::DuplicateTask(name) => {
                write!(f, "two tasks are named {name}: rename one, or give it `#[task(name = ..)]`")
            }
            Self::UnknownJob(id) => write!(
                f,
                "the engine has no job {id}: it was never submitted to it, or was removed"
            ),
            Self::NotFinished(id) => {
                write!(f, "job {id} is not finished: cancel it or wait for it first")
            }
            Self::RunsOnce(id) => write!(
                f,
                "job {id} cannot run again: a job made by `once` gives its function away, and one \
                 that nobody has kept a handle of has let go of it; make it by `new` or `try_new`, \
                 and keep a handle"
            ),
            Self::WaitInsideJob => f.write_str(
                "Engine::wait inside one of the engine's own jobs would wait for that job itself: \
                 wait for the jobs you need with JobHandle::wait",
            ),
            Self::Elsewhere => f.write_str(
                "the job runs in a worker process, and its engine in another one: submit jobs from a \
                 thread or local job, or return what is to be done next",
            ),
            Self::NotIntercepted => f.write_str(
                "this process was started to serve worker processes, but reached main: call \
                 executor_engine::init() as the first line of main, or name another program with \
                 Engine::builder().worker_exe(..)",
            ),
            Self::Io(doing, error) => write!(f, "{doing}: {error}"),
            Self::Job(error) => fmt::Display::fmt(error, f),
        }
    }
}
