//! Conditions of the user's own.

use std::fmt;
use std::sync::Arc;

use super::parse::ParseError;
use super::period::Period;
use super::value::{Condition, Op};
use crate::id::JobId;
use crate::info::JobInfo;
use crate::status::Status;

/// A condition of one's own: holds when `holds` says so. It is asked when the job is submitted
/// and then each time that the interval named by [`every`](Custom::every) has passed, by one
/// thread for all custom conditions of the engine, so it should be quick. In between, its last
/// answer counts. It is not asked while the condition waits for other jobs and could not hold
/// whatever the answer.
///
/// A panic in it fails the job, as one in the job would.
///
/// ```
/// use executor_engine::prelude::*;
/// use executor_engine::condition::*;
/// use std::time::Duration;
///
/// let engine = Engine::new()?;
/// // a 20 % chance at each 5 ms
/// let lucky = custom(|_| rand::random::<f64>() < 0.2).every(Duration::from_millis(5));
/// let job = engine.submit(ThreadJob::new(|| "hi", ()).condition(lucky))?;
/// assert_eq!(job.result()?, "hi");
///
/// // the engine's jobs can be looked at
/// let quiet = custom(|view| view.count(Status::Running) == 0).every("10ms");
/// assert_eq!(engine.submit(ThreadJob::new(|| 1, ()).condition(quiet))?.result()?, 1);
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub fn custom(holds: impl Fn(&JobsView<'_>) -> bool + Send + Sync + 'static) -> Custom {
    Custom { holds: Arc::new(holds), interval: Period::ZERO }
}

/// A condition of one's own, which has yet to [name its interval](Self::every).
///
/// ```
/// # use executor_engine::prelude::*;
/// # use executor_engine::condition::*;
/// # let engine = Engine::new()?;
/// let open: Custom = custom(|_| true);
/// assert_eq!(engine.submit(ThreadJob::new(|| 1, ()).condition(open.every("1ms")))?.result()?, 1);
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "a custom condition must name its interval with `every`"]
pub struct Custom {
    holds: Arc<dyn Fn(&JobsView<'_>) -> bool + Send + Sync>,
    interval: Period,
}

impl Custom {
    /// At which interval it is asked, counted from its last answer.
    ///
    /// ```
    /// # use executor_engine::condition::*;
    /// let condition = custom(|_| std::path::Path::new("go").exists()).every("250ms");
    /// assert!(custom(|_| true).every("0s").check().is_err());
    /// ```
    pub fn every<P: TryInto<Period, Error: Into<ParseError>>>(mut self, interval: P) -> Condition {
        match interval.try_into() {
            Ok(interval) if interval.as_duration().is_zero() => Op::Invalid(
                "a custom condition asked every 0s would keep a CPU busy: give an interval, e.g. \
                 \"100ms\""
                    .into(),
            )
            .into(),
            Ok(interval) => {
                self.interval = interval;
                Op::Custom(self).into()
            }
            Err(error) => Condition::from(error.into()),
        }
    }

    pub(crate) fn interval(&self) -> Period {
        self.interval
    }

    /// Asks it. Foreign code: may panic.
    pub(crate) fn holds(&self, view: &JobsView<'_>) -> bool {
        (self.holds)(view)
    }
}

impl PartialEq for Custom {
    /// The same closure, asked at the same interval.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.holds, &other.holds) && self.interval == other.interval
    }
}

impl Eq for Custom {}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Custom").field("interval", &self.interval).finish_non_exhaustive()
    }
}

/// What a custom condition sees of the engine: its jobs, to look at.
///
/// ```
/// # use executor_engine::prelude::*;
/// # use executor_engine::condition::*;
/// # let engine = Engine::new()?;
/// fn nothing_failed(view: &JobsView<'_>) -> bool { view.count(Status::Failed) == 0 }
///
/// let job = ThreadJob::new(|| 1, ()).condition(custom(nothing_failed).every("1ms"));
/// assert_eq!(engine.submit(job)?.result()?, 1);
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub struct JobsView<'a> {
    id: JobId,
    jobs: &'a dyn Viewed,
}

/// The engine's jobs, to look at.
pub(crate) trait Viewed {
    fn get(&self, id: JobId) -> Option<JobInfo>;
    fn all(&self) -> Vec<JobInfo>;
    fn count(&self, status: Status) -> usize;
}

impl<'a> JobsView<'a> {
    pub(crate) fn new(id: JobId, jobs: &'a dyn Viewed) -> Self {
        Self { id, jobs }
    }

    /// The job whose condition is asked.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::condition::*;
    /// # let engine = Engine::new()?;
    /// let job = ThreadJob::new(|| (), ());
    /// let id = job.id();
    /// let own = custom(move |view| view.id() == id).every("10ms");
    /// engine.submit(job.condition(own))?.wait()?;
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn id(&self) -> JobId {
        self.id
    }

    /// What is known of that job.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::condition::*;
    /// # let engine = Engine::new()?;
    /// let first = engine.submit(ThreadJob::new(|| (), ()))?.id();
    /// let begun = custom(move |view| view.get(first).is_some_and(|job| job.attempt() > 0));
    /// engine.submit(ThreadJob::new(|| (), ()).condition(begun.every("5ms")))?.wait()?;
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn get(&self, id: JobId) -> Option<JobInfo> {
        self.jobs.get(id)
    }

    /// All jobs that the engine knows, as they stand now.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::condition::*;
    /// # let engine = Engine::new()?;
    /// engine.submit(ThreadJob::new(|| (), ()).name("load"))?;
    /// let loaded = custom(|view| {
    ///     view.jobs().iter().any(|job| job.name() == Some("load") && job.status().is_finished())
    /// });
    /// engine.submit(ThreadJob::new(|| (), ()).condition(loaded.every("5ms")))?.wait()?;
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn jobs(&self) -> Vec<JobInfo> {
        self.jobs.all()
    }

    /// How many jobs have that status.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::condition::*;
    /// # let engine = Engine::new()?;
    /// let calm = custom(|view| view.count(Status::Running) < 10).every("5ms");
    /// engine.submit(ThreadJob::new(|| (), ()).condition(calm))?.wait()?;
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn count(&self, status: Status) -> usize {
        self.jobs.count(status)
    }
}

impl fmt::Debug for JobsView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobsView").field("id", &self.id).finish_non_exhaustive()
    }
}
