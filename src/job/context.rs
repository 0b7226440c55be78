//! [`JobContext`]: what a job's function can know and tell of its job.

use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::args::{Arg, Caller, Gather, IntoArg};
use super::asleep::Asleep;
use super::cell::AnyJob;
use super::head::{Attrs, Head, Meta, Stop};
use super::output;
use crate::error::{CancelReason, JobError};
use crate::id::JobId;
use crate::info::Progress;

/// Stands for the [`JobContext`] among a job's arguments.
///
/// ```
/// use executor_engine::prelude::*;
///
/// let engine = Engine::new()?;
/// let work = |ctx: JobContext, n: u32| format!("attempt {} with {n}", ctx.attempt());
/// let job = engine.submit(ThreadJob::new(work, (Context, 10)))?;
/// assert_eq!(job.result()?, "attempt 1 with 10");
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context;

/// What a job's function can know and tell of its job: passed to functions that take one, where
/// the caller passes [`Context`]. Cheap to clone; can be sent to other threads of the job. A thread
/// that outlives the job's function is told to stop, and what it tells of progress is ignored.
///
/// Tasks can take one too. In a worker process it knows the job's id, name, attempt,
/// attributes and cache directory, and tells its progress; a cancellation ends the process there, so it need not be
/// asked for.
///
/// ```
/// use executor_engine::prelude::*;
/// use std::time::Duration;
///
/// let engine = Engine::new()?;
/// let patient = ThreadJob::try_new(
///     |ctx: JobContext| -> Result<(), JobError> {
///         for step in 0..1000 {
///             ctx.progress(f64::from(step) / 1000.0, "waiting");
///             ctx.sleep(Duration::from_secs(3600))?; // ends early when the job is cancelled
///         }
///         Ok(())
///     },
///     (Context,),
/// );
/// let job = engine.submit(patient)?;
/// while job.info().progress().is_none() {
///     std::thread::yield_now();
/// }
/// job.cancel();
/// job.wait()?;
/// assert_eq!(job.status(), Status::Cancelled);
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone)]
pub struct JobContext(Inner);

#[derive(Clone)]
enum Inner {
    /// In the engine's process. It is of that run of the job, which it may outlive.
    Here { job: Arc<dyn AnyJob>, run: u32, attempt: u32 },
    /// In a worker process.
    There(Arc<Snapshot>),
}

/// What a worker is told of the job.
#[derive(Debug, Serialize, Deserialize)]
struct Snapshot {
    id: JobId,
    name: Option<String>,
    attempt: u32,
    /// As JSON text.
    attrs: Vec<(String, String)>,
    /// Where its cache directory is or would be, as bytes.
    cache: Option<Vec<u8>>,
    granted: Vec<(String, Vec<u32>)>,
    #[serde(skip)]
    parsed: OnceLock<Attrs>,
    /// The request that brought it.
    #[serde(skip, default = "current_request")]
    request: u32,
}

/// Why the job is to stop, if it is.
pub(super) fn stop_error(head: &Head) -> Option<JobError> {
    let limit = |which: fn(&Meta) -> Option<Duration>| {
        JobError::timed_out(head.meta().and_then(which).unwrap_or_default())
    };
    match head.stop() {
        Stop::No => None,
        Stop::Cancelled => Some(JobError::cancelled(CancelReason::Requested)),
        Stop::TimedOut => Some(limit(|meta| meta.timeout)),
        Stop::AttemptTimedOut => Some(limit(|meta| meta.attempt_timeout)),
    }
}

/// Why a thread that outlives its job's function is to stop.
const ENDED: &str = "the job has ended, or runs again; a thread that it started goes on";

/// How a worker process sends its job's progress.
#[derive(Clone, Copy)]
pub(crate) struct Teller {
    /// The number of the request that the process is at.
    pub(crate) current: fn() -> u32,
    /// Sends the progress of that request, if the process is at it still.
    pub(crate) tell: fn(u32, &Progress),
}

static TELLER: OnceLock<Teller> = OnceLock::new();

fn current_request() -> u32 {
    TELLER.get().map_or(0, |teller| (teller.current)())
}

/// That run of the job said how far it is. True if the engine's dispatcher is to be driven for that.
pub(crate) fn note_progress(job: &Arc<dyn AnyJob>, run: u32, progress: Progress) -> bool {
    let head = job.head();
    head.set_progress(run, progress) && head.link().is_some_and(|link| link.progressed(job, run))
}

/// From now on, contexts in this worker process tell progress so.
pub(crate) fn tell_progress_by(teller: Teller) {
    let _ = TELLER.set(teller);
}

impl JobContext {
    /// The job's id.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|ctx: JobContext| ctx.id(), (Context,)))?;
    /// assert_eq!(job.result()?, job.id());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn id(&self) -> JobId {
        match &self.0 {
            Inner::Here { job, .. } => job.head().id(),
            Inner::There(snapshot) => snapshot.id,
        }
    }

    /// The job's name, if it was given one.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let named = ThreadJob::new(|ctx: JobContext| ctx.name().map(str::to_owned), (Context,));
    /// assert_eq!(engine.submit(named.name("x"))?.result()?.as_deref(), Some("x"));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match &self.0 {
            Inner::Here { job, .. } => job.head().name(),
            Inner::There(snapshot) => snapshot.name.as_deref(),
        }
    }

    /// Which attempt this is: 1 for the first.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let third = |ctx: JobContext| if ctx.attempt() < 3 { Err("not yet") } else { Ok(()) };
    /// engine.submit(ThreadJob::try_new(third, (Context,)).retries(2))?.result()?;
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn attempt(&self) -> u32 {
        match &self.0 {
            Inner::Here { attempt, .. } => *attempt,
            Inner::There(snapshot) => snapshot.attempt,
        }
    }

    /// What the job was given by [`Job::attr`](crate::Job::attr) under that key.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let region = |ctx: JobContext| ctx.attr("region").and_then(|v| v.as_str().map(str::to_owned));
    /// let job = engine.submit(ThreadJob::new(region, (Context,)).attr("region", "eu"))?;
    /// assert_eq!(job.result()?.as_deref(), Some("eu"));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn attr(&self, key: &str) -> Option<&serde_json::Value> {
        match &self.0 {
            Inner::Here { job, .. } => job.head().meta()?.attrs.get(key),
            Inner::There(snapshot) => snapshot.attrs().get(key),
        }
    }

    /// Which units of that [resource](crate::Job::resource) the job has, counted from 0: for a
    /// resource that stands for things, such as graphics cards, to pick the right ones. Empty for
    /// one of more than 1,024 units, which are not told apart.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::builder().resource("gpu", 2).build()?;
    /// let which = ThreadJob::new(|ctx: JobContext| ctx.resource("gpu"), (Context,));
    /// assert_eq!(engine.submit(which.resource("gpu", 1))?.result()?, [0]);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn resource(&self, name: &str) -> Vec<u32> {
        match &self.0 {
            // They are another's when it is over.
            Inner::Here { job, run, .. } if job.head().is_over(*run) => Vec::new(),
            Inner::Here { job, .. } => job.head().granted(name),
            Inner::There(snapshot) => {
                let of_name = snapshot.granted.iter().find(|(own, _)| own == name);
                of_name.map_or_else(Vec::new, |(_, units)| units.clone())
            }
        }
    }

    /// Whether the job is to stop: it was cancelled, or it takes too long. A function that looks
    /// now and then can return early; the job's status then follows.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let endless = |ctx: JobContext| while !ctx.is_cancelled() { std::thread::yield_now() };
    /// let job = engine.submit(ThreadJob::new(endless, (Context,)))?;
    /// job.cancel();
    /// job.wait()?;
    /// assert_eq!(job.status(), Status::Cancelled);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        match &self.0 {
            Inner::Here { job, run, .. } => {
                job.head().stop() != Stop::No || job.head().is_over(*run)
            }
            Inner::There(_) => false,
        }
    }

    /// [`is_cancelled`](Self::is_cancelled), as an error to return with `?`.
    ///
    /// # Errors
    /// The job is to stop.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let endless = |ctx: JobContext| -> Result<(), JobError> {
    ///     loop {
    ///         ctx.check_cancelled()?;
    ///         std::thread::yield_now();
    ///     }
    /// };
    /// let job = engine.submit(ThreadJob::try_new(endless, (Context,)))?;
    /// job.cancel();
    /// assert!(job.result().unwrap_err().is_cancelled());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn check_cancelled(&self) -> Result<(), JobError> {
        match &self.0 {
            Inner::Here { job, run, .. } => {
                let over = job.head().is_over(*run);
                // What a run after it is told is not meant.
                let told = if job.head().run() == *run { stop_error(job.head()) } else { None };
                match told {
                    Some(error) => Err(error),
                    None if over => Err(JobError::failure_text(ENDED.into())),
                    None => Ok(()),
                }
            }
            Inner::There(_) => Ok(()),
        }
    }

    /// Sleeps for that long by the system's clock, or until the job is to stop.
    ///
    /// # Errors
    /// The job is to stop.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use std::time::Duration;
    /// # let engine = Engine::new()?;
    /// let nap = |ctx: JobContext| ctx.sleep(Duration::from_secs(3600));
    /// let job = engine.submit(ThreadJob::try_new(nap, (Context,)).blocking())?;
    /// job.cancel();
    /// assert!(job.result().unwrap_err().is_cancelled());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn sleep(&self, time: Duration) -> Result<(), JobError> {
        let Inner::Here { job, .. } = &self.0 else {
            std::thread::sleep(time);
            return Ok(());
        };
        let deadline = Instant::now().checked_add(time);
        let me = std::thread::current();
        let _asleep = Asleep::in_job(job.head().key());
        // A thread that the job leaves behind is woken by its end.
        job.head().add_thread(&me);
        let slept = loop {
            // Looked at after the thread is on the lists, so that no word is missed.
            if let Err(error) = self.check_cancelled() {
                break Err(error);
            }
            match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => break Ok(()),
                Some(left) => std::thread::park_timeout(left),
                None => std::thread::park(),
            }
        };
        job.head().remove_thread(&me);
        slept
    }

    /// Tells how far the job is: a fraction, from 0 to 1, and a word on it. The last one is in
    /// [`JobInfo::progress`](crate::JobInfo::progress).
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// #[task]
    /// fn half(ctx: JobContext) { ctx.progress(0.5, "half way") } // from a worker process, too
    ///
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ProcessJob::new(half, (Context,)))?;
    /// job.wait()?;
    /// let info = job.info();
    /// let progress = info.progress().unwrap();
    /// assert_eq!((progress.fraction(), progress.message()), (0.5, "half way"));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn progress(&self, fraction: f64, message: impl Into<String>) {
        let progress = Progress::new(fraction, message.into());
        match &self.0 {
            Inner::Here { job, run, .. } => {
                if note_progress(job, *run, progress)
                    && let Some(link) = job.head().link()
                {
                    link.take_in_news();
                }
            }
            Inner::There(snapshot) => {
                if let Some(teller) = TELLER.get() {
                    (teller.tell)(snapshot.request, &progress);
                }
            }
        }
    }

    /// Where the job's cache directory is or would be, if it runs in a worker process.
    pub(super) fn cache_from_afar(&self) -> Option<&[u8]> {
        match &self.0 {
            Inner::Here { .. } => None,
            Inner::There(snapshot) => snapshot.cache.as_deref(),
        }
    }

    /// The job, if it runs in its engine's own process.
    pub(crate) fn job(&self) -> Option<&Arc<dyn AnyJob>> {
        match &self.0 {
            Inner::Here { job, .. } => Some(job),
            Inner::There(_) => None,
        }
    }
}

impl Snapshot {
    fn of(job: &dyn AnyJob) -> Self {
        let head = job.head();
        let attrs = head.meta().map(|meta| meta.attrs.iter()).into_iter().flatten();
        let resources = head.meta().map(|meta| meta.resources.keys()).into_iter().flatten();
        Self {
            id: head.id(),
            name: head.name().map(Into::into),
            // It is encoded before it begins.
            attempt: head.attempt() + 1,
            attrs: attrs.map(|(key, value)| (key.clone(), value.to_string())).collect(),
            cache: output::cache_of(head)
                .map(|cache| cache.path_of(head.id()).into_os_string().into_vec()),
            granted: resources.map(|name| (name.clone(), head.granted(name))).collect(),
            parsed: OnceLock::new(),
            request: 0,
        }
    }

    fn attrs(&self) -> &Attrs {
        self.parsed.get_or_init(|| {
            let parse = |text: &String| serde_json::from_str(text).unwrap_or_default();
            self.attrs.iter().map(|(key, text)| (key.clone(), parse(text))).collect()
        })
    }
}

impl IntoArg<JobContext> for Context {
    fn into_arg(self) -> Arg<JobContext> {
        Arg::made(self)
    }
}

impl Gather<JobContext> for Context {
    fn get(&self, caller: &Caller<'_>) -> Result<JobContext, JobError> {
        let (job, head) = (Arc::clone(caller.0), caller.0.head());
        Ok(JobContext(Inner::Here { job, run: head.run(), attempt: head.attempt() }))
    }

    fn visit(&self, _visit: &mut dyn FnMut(Arc<dyn AnyJob>)) {}
}

/// On its way to a worker process a context is what is known of the job.
impl Serialize for JobContext {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Inner::Here { job, .. } => Snapshot::of(&**job).serialize(serializer),
            Inner::There(snapshot) => snapshot.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for JobContext {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Inner::There(Arc::new(Snapshot::deserialize(deserializer)?))))
    }
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContext")
            .field("id", &self.id())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}
