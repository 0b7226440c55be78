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
    #[must_use]
    pub fn fraction(&self) -> f64 {
        self.fraction
    }

    /// The job's word on it.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl JobInfo {
    /// The job's id.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.id
    }

    /// The job's name, if it was given one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// `"local"`, `"thread"`, `"blocking"` or `"process"`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Where the job stood.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// How often it was started.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// How many retries it has left.
    #[must_use]
    pub fn retry_remain(&self) -> u32 {
        self.retries.saturating_sub(self.attempt.saturating_sub(1))
    }

    /// Its tags.
    #[must_use]
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// Whether it has that tag.
    #[must_use]
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own == tag)
    }

    /// How far it is, if it has said so.
    #[must_use]
    pub fn progress(&self) -> Option<&Progress> {
        self.progress.as_ref()
    }

    /// What it was given by [`Job::attr`](crate::Job::attr) under that key.
    #[must_use]
    pub fn attr(&self, key: &str) -> Option<&serde_json::Value> {
        self.attrs.get(key)
    }

    /// The file that its stdout goes to; see [`redirect_output`](crate::Job::redirect_output).
    #[must_use]
    pub fn stdout_path(&self) -> Option<&Path> {
        self.output[0].as_deref()
    }

    /// The file that its stderr goes to; see [`redirect_output`](crate::Job::redirect_output).
    #[must_use]
    pub fn stderr_path(&self) -> Option<&Path> {
        self.output[1].as_deref()
    }

    /// Why it has no result, if it is finished without one.
    #[must_use]
    pub fn error(&self) -> Option<&JobError> {
        self.error.as_ref()
    }

    /// When it was submitted. All times are taken by the monotonic clock and told by the wall
    /// clock as the two stood to each other when the process first asked for one, so steps of the
    /// wall clock since then do not show.
    #[must_use]
    pub fn submitted_at(&self) -> Option<SystemTime> {
        self.times[0].map(clock::wall)
    }

    /// When it was last started.
    #[must_use]
    pub fn started_at(&self) -> Option<SystemTime> {
        self.times[1].map(clock::wall)
    }

    /// When it was finished.
    #[must_use]
    pub fn finished_at(&self) -> Option<SystemTime> {
        self.times[2].map(clock::wall)
    }

    /// How long it ran, from start to finish, by the monotonic clock.
    #[must_use]
    pub fn run_time(&self) -> Option<Duration> {
        self.times[2]?.checked_sub(self.times[1]?)
    }

    /// How long it took from submission to finish, by the monotonic clock.
    #[must_use]
    pub fn total_time(&self) -> Option<Duration> {
        self.times[2]?.checked_sub(self.times[0]?)
    }
}
