//! [`JobInfo`]: what is known of a job.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::error::JobError;
use crate::id::JobId;
use crate::status::Status;

/// What is known of a job at one moment.
///
/// ```
/// use executor_engine::prelude::*;
///
/// let engine = Engine::new()?;
/// let handle = engine.submit(LocalJob::new(|| (), ()).name("tidy"))?;
/// handle.wait()?;
/// let info = handle.info();
/// assert_eq!((info.name(), info.kind(), info.status()), (Some("tidy"), "local", Status::Done));
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct JobInfo {
    pub(crate) id: JobId,
    pub(crate) name: Option<String>,
    pub(crate) kind: &'static str,
    pub(crate) status: Status,
    pub(crate) attempt: u32,
    pub(crate) retries: u32,
    pub(crate) tags: Vec<String>,
    /// By the monotonic clock: submitted, started, finished.
    pub(crate) times: [Option<Duration>; 3],
    pub(crate) error: Option<JobError>,
    pub(crate) progress: Option<Progress>,
    pub(crate) attrs: BTreeMap<String, serde_json::Value>,
    pub(crate) output: [Option<PathBuf>; 2],
}

/// How far a job is, by its own word; see [`JobContext::progress`](crate::JobContext::progress).
///
/// ```
/// # use executor_engine::prelude::*;
/// # let engine = Engine::new()?;
/// let half = |ctx: JobContext| ctx.progress(0.5, "half of it");
/// let job = engine.submit(ThreadJob::new(half, (Context,)))?;
/// job.wait()?;
/// let info = job.info();
/// let progress = info.progress().unwrap();
/// assert_eq!((progress.fraction(), progress.message()), (0.5, "half of it"));
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    fraction: f64,
    message: String,
}

impl Progress {
    /// What is no number counts as nothing.
    pub(crate) fn new(fraction: f64, message: String) -> Self {
        let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        Self { fraction, message }
    }

    /// From 0 to 1.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|ctx: JobContext| ctx.progress(7.0, ""), (Context,)))?;
    /// job.wait()?;
    /// assert_eq!(job.info().progress().unwrap().fraction(), 1.0);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn fraction(&self) -> f64 {
        self.fraction
    }

    /// The job's word on it.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|ctx: JobContext| ctx.progress(0.1, "reads"), (Context,)))?;
    /// job.wait()?;
    /// assert_eq!(job.info().progress().unwrap().message(), "reads");
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl JobInfo {
    /// The job's id.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| 1, ()))?;
    /// assert_eq!(job.info().id(), job.id());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn id(&self) -> JobId {
        self.id
    }

    /// The job's name, if it was given one.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let named = engine.submit(ThreadJob::new(|| 1, ()).name("one"))?;
    /// let unnamed = engine.submit(ThreadJob::new(|| 1, ()))?;
    /// assert_eq!((named.info().name(), unnamed.info().name()), (Some("one"), None));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// `"local"`, `"thread"`, `"blocking"` or `"process"`.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| 1, ()).blocking())?;
    /// assert_eq!(job.info().kind(), "blocking");
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Where the job stood.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| 1, ()))?;
    /// job.wait()?;
    /// assert_eq!(job.info().status(), Status::Done);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// How often it was started.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::try_new(|| Err::<(), _>("no"), ()).retries(2))?;
    /// job.wait()?;
    /// assert_eq!(job.info().attempt(), 3);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// How many retries it has left.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| 1, ()).retries(2))?;
    /// job.wait()?;
    /// assert_eq!(job.info().retry_remain(), 2); // the first attempt did it
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn retry_remain(&self) -> u32 {
        self.retries.saturating_sub(self.attempt.saturating_sub(1))
    }

    /// Its tags.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| 1, ()).tags(["nightly", "io"]))?;
    /// assert_eq!(job.info().tags(), ["nightly", "io"]);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// Whether it has that tag.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| 1, ()).tags(["nightly"]))?;
    /// assert!(job.info().has_tag("nightly") && !job.info().has_tag("night"));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own == tag)
    }

    /// How far it is, if it has said so.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let silent = engine.submit(ThreadJob::new(|| 1, ()))?;
    /// let job = engine.submit(ThreadJob::new(|ctx: JobContext| ctx.progress(0.5, ""), (Context,)))?;
    /// engine.wait()?;
    /// assert!(silent.info().progress().is_none() && job.info().progress().is_some());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn progress(&self) -> Option<&Progress> {
        self.progress.as_ref()
    }

    /// What it was given by [`Job::attr`](crate::Job::attr) under that key.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| 1, ()).attr("customer", 17))?;
    /// assert_eq!(job.info().attr("customer"), Some(&17.into()));
    /// assert_eq!(job.info().attr("order"), None);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn attr(&self, key: &str) -> Option<&serde_json::Value> {
        self.attrs.get(key)
    }

    /// The file that its stdout goes to; see [`redirect_output`](crate::Job::redirect_output).
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| 1, ()).redirect_output(CacheDir))?;
    /// assert!(job.info().stdout_path().unwrap().ends_with("stdout.txt"));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn stdout_path(&self) -> Option<&Path> {
        self.output[0].as_deref()
    }

    /// The file that its stderr goes to; see [`redirect_output`](crate::Job::redirect_output).
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| 1, ()).redirect_output(CacheDir))?;
    /// assert!(job.info().stderr_path().unwrap().ends_with("stderr.txt"));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn stderr_path(&self) -> Option<&Path> {
        self.output[1].as_deref()
    }

    /// Why it has no result, if it is finished without one.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::try_new(|| Err::<(), _>("no luck"), ()))?;
    /// job.wait()?;
    /// assert_eq!(job.info().error().unwrap().message(), "no luck");
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn error(&self) -> Option<&JobError> {
        self.error.as_ref()
    }

    /// When it was submitted. All times are taken by the monotonic clock and told by the wall
    /// clock as the two stood to each other when the process first asked for one, so steps of the
    /// wall clock since then do not show.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| 1, ()))?;
    /// job.wait()?;
    /// let info = job.info();
    /// assert!(info.submitted_at().unwrap() <= info.started_at().unwrap());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn submitted_at(&self) -> Option<SystemTime> {
        self.times[0].map(clock::wall)
    }

    /// When it was last started.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// engine.pause();
    /// let job = engine.submit(ThreadJob::new(|| 1, ()))?;
    /// assert_eq!(job.info().started_at(), None);
    /// engine.resume();
    /// job.wait()?;
    /// assert!(job.info().started_at().is_some());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn started_at(&self) -> Option<SystemTime> {
        self.times[1].map(clock::wall)
    }

    /// When it was finished.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| 1, ()))?;
    /// job.wait()?;
    /// let info = job.info();
    /// assert!(info.finished_at().unwrap() >= info.started_at().unwrap());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn finished_at(&self) -> Option<SystemTime> {
        self.times[2].map(clock::wall)
    }

    /// How long it ran, from start to finish, by the monotonic clock.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use std::time::Duration;
    /// # let engine = Engine::new()?;
    /// let nap = Duration::from_millis(2);
    /// let job = engine.submit(ThreadJob::new(std::thread::sleep, (nap,)))?;
    /// job.wait()?;
    /// assert!(job.info().run_time().unwrap() >= nap);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn run_time(&self) -> Option<Duration> {
        self.times[2]?.checked_sub(self.times[1]?)
    }

    /// How long it took from submission to finish, by the monotonic clock.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| 1, ()))?;
    /// job.wait()?;
    /// assert!(job.info().total_time() >= job.info().run_time());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn total_time(&self) -> Option<Duration> {
        self.times[2]?.checked_sub(self.times[0]?)
    }
}
