//! [`Jobs`]: a view of the engine's jobs.

use super::front::Engine;
use crate::dispatcher::Payload;
use crate::id::JobId;
use crate::info::JobInfo;
use crate::job::drop_quietly;
use crate::status::Status;

/// The jobs that an engine knows: all unfinished ones, and as many finished ones as
/// [`keep_finished`](crate::EngineBuilder::keep_finished) says.
///
/// ```
/// use executor_engine::prelude::*;
///
/// let engine = Engine::new()?;
/// engine.submit(ThreadJob::new(|| 1, ()))?;
/// engine.submit(ThreadJob::try_new(|| Err::<(), _>("no"), ()))?;
/// engine.wait()?;
/// let jobs = engine.jobs();
/// assert_eq!(jobs.len(), 2);
/// assert_eq!(jobs.with_status(Status::Failed)[0].error().unwrap().message(), "no");
/// jobs.clear_finished();
/// assert!(jobs.is_empty());
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct Jobs<'a> {
    engine: &'a Engine,
}

impl Engine {
    /// The engine's jobs: look at them, count them, remove finished ones.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::new()?;
    /// let handle = engine.submit(ThreadJob::new(|| 1, ()).name("one"))?;
    /// engine.wait()?;
    /// assert_eq!(engine.jobs().get(handle.id()).unwrap().name(), Some("one"));
    /// assert_eq!(engine.jobs().count(Status::Done), 1);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn jobs(&self) -> Jobs<'_> {
        Jobs::new(self)
    }
}

impl<'a> Jobs<'a> {
    fn new(engine: &'a Engine) -> Self {
        Self { engine }
    }

    /// The job of that id.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let handle = engine.submit(ThreadJob::new(|| 1, ()))?;
    /// assert_eq!(engine.jobs().get(handle.id()).unwrap().id(), handle.id());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn get(&self, id: JobId) -> Option<JobInfo> {
        self.engine.find(id).map(|job| JobInfo::of(&*job))
    }

    /// All jobs as they stand now, in the order in which they were made.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// engine.submit_all((0..3).map(|i| LocalJob::new(move || i, ())))?;
    /// let ids: Vec<JobId> = engine.jobs().iter().map(|job| job.id()).collect();
    /// assert!(ids.is_sorted());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = JobInfo> + use<> {
        self.snapshot(|_| true).into_iter().map(|job| JobInfo::of(&*job))
    }

    /// The jobs with that status.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// engine.submit(ThreadJob::new(|| 1, ()))?;
    /// engine.wait()?;
    /// assert_eq!(engine.jobs().with_status(Status::Done).len(), 1);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn with_status(&self, status: Status) -> Vec<JobInfo> {
        let jobs = self.snapshot(|job| job.head().status() == status);
        jobs.iter().map(|job| JobInfo::of(&**job)).collect()
    }

    /// How many jobs have that status; takes time in proportion to all jobs.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// assert_eq!(engine.jobs().count(Status::Running), 0);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn count(&self, status: Status) -> usize {
        let dispatcher = self.engine.dispatcher();
        dispatcher.ask(|core| core.iter().filter(|job| job.head().status() == status).count())
    }

    /// How many jobs the engine knows.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// engine.submit(ThreadJob::new(|| 1, ()))?;
    /// assert_eq!(engine.jobs().len(), 1);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.engine.dispatcher().ask(|core| core.len())
    }

    /// Whether the engine knows no job.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// assert!(engine.jobs().is_empty());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all finished jobs, and says how many these were.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// engine.submit(ThreadJob::new(|| 1, ()))?;
    /// engine.wait()?;
    /// assert_eq!(engine.jobs().clear_finished(), 1);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn clear_finished(&self) -> usize {
        let jobs = self.engine.dispatcher().ask(|core| core.remove_finished());
        let count = jobs.len();
        jobs.into_iter().for_each(drop_quietly);
        count
    }

    pub(super) fn snapshot(&self, wanted: impl Fn(&Payload) -> bool) -> Vec<Payload> {
        let dispatcher = self.engine.dispatcher();
        dispatcher.ask(|core| core.iter().filter(|job| wanted(job)).cloned().collect())
    }
}
