//! Jobs that nothing can make ready: [`StalledJob`].

use std::fmt;

use crate::id::JobId;

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
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Its name, if it was given one.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let never = ThreadJob::new(|| 1, ());
    /// engine.submit(ThreadJob::new(|x: i32| x, (never.output(),)).name("stuck"))?;
    /// let error = engine.wait().unwrap_err();
    /// assert_eq!(error.stalled_jobs()[0].name(), Some("stuck"));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The unfinished jobs that it waits for.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let never = ThreadJob::new(|| 1, ());
    /// engine.submit(ThreadJob::new(|x: i32| x, (never.output(),)))?;
    /// let error = engine.wait().unwrap_err();
    /// assert_eq!(error.stalled_jobs()[0].waits_for(), [never.id()]);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn waits_for(&self) -> &[JobId] {
        &self.waits_for
    }

    /// Those of them that were not submitted to the engine, or were removed from it and are known
    /// by their id only.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let never = ThreadJob::new(|| 1, ());
    /// let waits = engine.submit(ThreadJob::new(|x: i32| x, (never.output(),)))?;
    /// engine.submit(ThreadJob::new(|x: i32, y: i32| x + y, (never.output(), &waits)))?;
    /// let error = engine.wait().unwrap_err();
    /// assert!(error.stalled_jobs().iter().all(|job| job.unsubmitted() == [never.id()]));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
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

/// At most this many stalled jobs, and of each this many that it waits for, are named in the text;
/// the error holds them all.
const STALLED_NAMED: usize = 8;

/// What an error says of its stalled jobs.
pub(super) fn stalled_text(jobs: &[StalledJob], f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
