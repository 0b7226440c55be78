//! [`Engine`]: submit, wait, look, shut down.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::context;
use crate::clock;
use crate::condition::{Condition, Plan, Zone};
use crate::dispatcher::{
    Attempts, Dispatcher, Impossible, Need, Nested, Patience, Payload, Refusal, Rules, Submission,
};
use crate::error::{Error, Kind, Result};
use crate::files::Cache;
use crate::id::JobId;
use crate::job::{Job, JobHandle, KindId, Meta};
use crate::record::record;
use crate::status::Status;
use crate::task;

/// A job engine: a dispatcher, a serial lane, a rayon pool, worker processes.
///
/// Clones share one engine. When the last one is dropped, the engine is shut down: unfinished
/// jobs are cancelled, every thread is joined and every process reaped.
///
/// ```
/// use executor_engine::prelude::*;
///
/// let engine = Engine::new()?;
/// let a = engine.submit(LocalJob::new(|| 3_i64, ()))?;
/// let b = engine.submit(ThreadJob::new(|x: i64, y: i64| x * y, (&a, 4)))?;
/// engine.wait()?;
/// assert_eq!(b.result()?, 12);
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone)]
pub struct Engine {
    owner: Arc<Owner>,
}

/// How many moments are looked at to see whether the parts of a condition can ever hold together.
const MOST_LOOKS: usize = 4000;

/// What all clones of an [`Engine`] share; its drop is the engine's end.
pub(super) struct Owner {
    dispatcher: Arc<Dispatcher>,
    /// Of the clocks and weekdays in conditions that name none; the system's, if `None`.
    zone: Option<Zone>,
    /// The last reference that goes, so that a directory for the time being goes last.
    cache: Arc<Cache>,
}

impl Owner {
    pub(super) fn shutdown(&self, patience: Patience) -> bool {
        Arc::clone(&self.dispatcher).shutdown(patience)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        context::unregister(self.dispatcher.engine());
        // A job may have asked for a drain, which then goes on.
        let asked = self.dispatcher.is_end_asked();
        self.shutdown(if asked { Patience::Endless } else { Patience::No });
    }
}

/// What [`Engine::shutdown`] does with unfinished jobs.
///
/// ```
/// use executor_engine::prelude::*;
///
/// let engine = Engine::new()?;
/// let job = engine.submit(ThreadJob::new(|| 1, ()))?;
/// engine.shutdown(Shutdown::Drain);
/// assert_eq!(job.status(), Status::Done);
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Finish them, however long that takes: a job whose condition waits for tomorrow is waited for
    /// until tomorrow, and one whose [custom](crate::condition::custom) condition never says yes
    /// for ever; cancel such jobs before. Those that can never start are cancelled. A
    /// [paused](Engine::pause) engine starts its jobs again.
    Drain,
    /// Cancel them: pending jobs at once, process jobs by ending their workers; functions that
    /// run on threads are waited for.
    Cancel,
}

/// Numbers of an engine at one moment.
///
/// ```
/// use executor_engine::prelude::*;
///
/// let engine = Engine::new()?;
/// engine.submit(ThreadJob::new(|| (), ()))?;
/// engine.wait()?;
/// let stats = engine.stats();
/// assert_eq!((stats.unfinished, stats.done), (0, 1));
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Jobs submitted and not finished.
    pub unfinished: usize,
    /// Of these, jobs that run or are next in line at a pool.
    pub dispatched: usize,
    /// Jobs that ended with a result, since the engine was made.
    pub done: u64,
    /// Jobs that failed, since the engine was made.
    pub failed: u64,
    /// Jobs that were cancelled, since the engine was made.
    pub cancelled: u64,
}

impl Engine {
    pub(super) fn new_with(
        dispatcher: Arc<Dispatcher>,
        zone: Option<Zone>,
        cache: Option<PathBuf>,
    ) -> Self {
        let engine = dispatcher.engine();
        let cache = Cache::register(engine.number(), cache);
        let owner = Arc::new(Owner { dispatcher, zone, cache });
        context::register(engine, &owner);
        Self { owner }
    }

    pub(super) fn owned_by(owner: Arc<Owner>) -> Self {
        Self { owner }
    }

    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    pub(super) fn cache(&self) -> &Cache {
        &self.owner.cache
    }

    /// Settles what the paths that the job names mean, from where the calling thread is.
    fn settle<K, T>(&self, job: &mut Job<K, T>) -> Result<()> {
        let id = job.id();
        match job.meta.as_mut().and_then(|meta| meta.surroundings.as_mut()) {
            None => Ok(()),
            Some(surroundings) => surroundings
                .settle(&self.owner.cache, id)
                .map_err(|why| Kind::InvalidPath(id, why).into()),
        }
    }

    pub(crate) fn dispatcher(&self) -> &Dispatcher {
        &self.owner.dispatcher
    }

    /// Submits a job. It starts as soon as the jobs that it depends on are done, which may be
    /// submitted later, its condition holds, and its kind has room.
    ///
    /// # Errors
    /// The engine was shut down; a job that it depends on belongs to another engine; it would
    /// wait for itself; its condition makes no sense; its task is not in the registry, or twice; a
    /// path that it names is none.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::new()?;
    /// let handle = engine.submit(ThreadJob::new(|| 6 * 7, ()))?;
    /// assert_eq!(handle.result()?, 42);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn submit<K, T: 'static>(&self, mut job: Job<K, T>) -> Result<JobHandle<T>> {
        let now = clock::now();
        self.settle(&mut job)?;
        let condition = job.condition.take();
        let attempts = self.attempts(job.meta.as_deref())?;
        let submission = self.admit(&job.job.clone().into_any_job(), condition, attempts, now)?;
        if let Some(meta) = job.meta {
            job.job.head().set_meta(meta);
        }
        // There before the job can end, for a job that nobody has a handle of is let go of.
        let handle = JobHandle::new(job.job);
        log_submission(&handle);
        match self.dispatcher().submit_one(now, submission) {
            Ok(()) => Ok(handle),
            Err(refusal) => {
                handle.job().head().unsubmit();
                Err(refused(handle.id(), refusal))
            }
        }
    }

    /// Submits many jobs in one go, which is cheaper than one by one.
    ///
    /// # Errors
    /// As [`submit`](Self::submit), for the first job at fault; none of the jobs is accepted then. A
    /// circle of jobs that need each other is found as they are accepted: those before it are
    /// cancelled, and may have begun.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::new()?;
    /// let handles = engine.submit_all((0..100).map(|i| ThreadJob::new(|x: u64| x * x, (i,))))?;
    /// let squares: Result<Vec<u64>, JobError> = handles.iter().map(JobHandle::result).collect();
    /// assert_eq!(squares?.iter().sum::<u64>(), 328_350);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn submit_all<K, T: 'static>(
        &self,
        jobs: impl IntoIterator<Item = Job<K, T>>,
    ) -> Result<Vec<JobHandle<T>>> {
        let now = clock::now();
        let jobs = jobs.into_iter();
        let mut handles = Vec::with_capacity(jobs.size_hint().0);
        let mut submissions = Vec::with_capacity(jobs.size_hint().0);
        for mut job in jobs {
            let condition = job.condition.take();
            let admitted = self
                .settle(&mut job)
                .and_then(|()| self.attempts(job.meta.as_deref()))
                .and_then(|attempts| {
                    self.admit(&job.job.clone().into_any_job(), condition, attempts, now)
                });
            match admitted {
                Ok(submission) => submissions.push(submission),
                Err(error) => {
                    take_back(&handles, 0);
                    return Err(error);
                }
            }
            if let Some(meta) = job.meta {
                job.job.head().set_meta(meta);
            }
            handles.push(JobHandle::new(job.job));
        }
        handles.iter().for_each(log_submission);
        match self.dispatcher().submit_all(now, submissions) {
            Ok(()) => Ok(handles),
            Err((accepted, refusal)) => {
                handles[..accepted].iter().for_each(JobHandle::cancel);
                take_back(&handles, accepted);
                Err(refused(handles[accepted].id(), refusal))
            }
        }
    }

    /// Checks a job and makes it this engine's.
    fn admit(
        &self,
        job: &Payload,
        condition: Option<Condition>,
        attempts: Option<Box<Attempts>>,
        now: u64,
    ) -> Result<Submission<Payload>> {
        let head = job.head();
        let engine = self.dispatcher().engine();
        // A job that will be refused must not make those it needs this engine's.
        if self.dispatcher().is_closed() {
            return Err(Kind::ShutDown.into());
        }
        let plan = condition.map(|condition| self.plan(condition)).transpose()?;
        let mut foreign = None;
        job.visit_upstream(&mut |up| {
            if up.head().is_of_another(engine) {
                foreign = foreign.or(Some(up.head().id()));
            }
        });
        if let Some(named) = plan.iter().flat_map(Plan::named).find(|named| {
            named.watched.as_ref().is_some_and(|job| job.is_of_another(engine.number()))
        }) {
            foreign = foreign.or(Some(named.id));
        }
        if let Some(id) = foreign {
            return Err(Kind::OtherEngine(id).into());
        }
        if !head.tie(engine) {
            return Err(Kind::OtherEngine(head.id()).into());
        }
        if head.kind() == KindId::Process
            && let Some(definition) = job.task()
        {
            task::find(definition.name())?;
        }
        let mut needs = SmallVec::new();
        job.visit_upstream(&mut |up| {
            let head = up.head();
            if !head.tie(engine) {
                foreign = foreign.or(Some(head.id()));
            }
            if head.status() == Status::Created {
                self.dispatcher().note_named(head.key());
            }
            needs.push(Need::argument(head));
        });
        for named in plan.iter().flat_map(Plan::named) {
            if named.watched.as_ref().is_some_and(|job| !job.tie(engine.number())) {
                foreign = foreign.or(Some(named.id));
            }
            if named.watched.as_ref().is_none_or(|job| job.status() == Status::Created) {
                self.dispatcher().note_named(named.key);
            }
        }
        if let Some(id) = foreign {
            return Err(Kind::OtherEngine(id).into());
        }
        let mut nested = None;
        if let Some(Plan { edges, tree, named }) = plan {
            needs.extend(edges.into_iter().map(|(job, wanted)| Need::condition(job, Some(wanted))));
            nested = tree.map(|mut tree| {
                let moment = self.dispatcher().moment();
                // Delays count from now.
                tree.begin(moment);
                let possible = tree.can_ever_hold(moment, MOST_LOOKS);
                let jobs = named.into_iter().map(|job| Need::condition(job, None)).collect();
                Box::new(Nested { tree, jobs, possible })
            });
        }
        let retries = attempts.as_ref().is_some_and(|attempts| attempts.rules.retries > 0);
        if retries && !job.can_run_again() {
            return Err(Kind::RunsOnce(head.id()).into());
        }
        head.submit(now);
        let (key, kind, payload) = (head.key(), head.kind(), Arc::clone(job));
        Ok(Submission { key, kind, needs, nested, attempts, accepted: false, payload })
    }

    /// What a job says of its attempts and its turn, as this engine understands it.
    fn attempts(&self, meta: Option<&Meta>) -> Result<Option<Box<Attempts>>> {
        let Some(meta) = meta else { return Ok(None) };
        if meta.retry.is_idle() {
            let text = "retry_delay, backoff and retry_if do nothing without retries: say how many \
                        with retries(n)";
            return Err(Kind::InvalidSetting(text.into()).into());
        }
        match self.dispatcher().demands(meta) {
            Ok(demands) => Ok(Rules::of(meta, &demands)),
            Err(Impossible { resource, wanted, total }) => {
                Err(Kind::Impossible { resource, wanted, total }.into())
            }
        }
    }

    /// What a condition means for this engine.
    fn plan(&self, condition: Condition) -> Result<Plan> {
        condition.into_plan(&|| self.owner.zone.clone().unwrap_or_else(Zone::system))
    }

    /// Blocks until every job is finished, in whatever way.
    ///
    /// # Errors
    /// [Stalled](Error::is_stalled), naming each job and what it waits for, if nothing runs and
    /// nothing can ever become ready; called from inside one of the engine's jobs.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::new()?;
    /// let handle = engine.submit(ThreadJob::new(|| 1, ()))?;
    /// engine.wait()?;
    /// assert_eq!(handle.status(), Status::Done);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn wait(&self) -> Result<()> {
        self.dispatcher().wait_all(None).map(drop)
    }

    /// Blocks until every job is finished (`true`) or the time is up (`false`).
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// use std::time::Duration;
    /// let engine = Engine::new()?;
    /// engine.submit(ThreadJob::new(|| 1, ()))?;
    /// assert!(engine.wait_timeout(Duration::from_secs(60))?);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool> {
        // A timeout beyond what the clock can count is no timeout.
        self.dispatcher().wait_all(Instant::now().checked_add(timeout))
    }

    /// Blocks until that job is finished; the same as [`JobHandle::wait`], by id.
    ///
    /// # Errors
    /// The engine has no such job; as [`JobHandle::wait`].
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::new()?;
    /// let handle = engine.submit(ThreadJob::new(|| 1, ()))?;
    /// engine.wait_job(handle.id())?;
    /// assert_eq!(handle.status(), Status::Done);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn wait_job(&self, id: JobId) -> Result<()> {
        let job = self.find(id).ok_or(Kind::UnknownJob(id))?;
        if job.head().status().is_finished() {
            return Ok(());
        }
        match job.head().link() {
            Some(link) => link.wait_job(&job, None).map(drop),
            None => Err(Kind::ShutDown.into()),
        }
    }

    pub(super) fn find(&self, id: JobId) -> Option<Payload> {
        let key = id.count_here()?;
        self.dispatcher().ask(|core| core.get(key).cloned())
    }

    /// Numbers of the engine, at next to no cost.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::new()?;
    /// assert_eq!(engine.stats().unfinished, 0);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counts = self.dispatcher().ask(|core| core.counts());
        Stats {
            unfinished: counts.unfinished,
            dispatched: counts.out,
            done: counts.done,
            failed: counts.failed,
            cancelled: counts.cancelled,
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Before it is so, for what comes after is told by others.
fn log_submission<T>(handle: &JobHandle<T>) {
    let head = handle.job().head();
    record!(Debug, "executor_engine::job", "{} is submitted", head.label());
}

/// Marks jobs as not submitted again, from `from` on.
fn take_back<T>(handles: &[JobHandle<T>], from: usize) {
    for handle in &handles[from..] {
        handle.job().head().unsubmit();
    }
}

pub(super) fn refused(id: JobId, refusal: Refusal) -> Error {
    let error: Error = match refusal {
        Refusal::Closed => Kind::ShutDown.into(),
        Refusal::NotFinished => Kind::NotFinished(id).into(),
        Refusal::Cycle(keys) => {
            Kind::Cycle(keys.into_iter().map(JobId::from_count).collect()).into()
        }
    };
    record!(Debug, "executor_engine::job", "job {id} is refused: {error}");
    error
}
