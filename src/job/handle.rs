//! [`JobHandle`]: what a user holds of a submitted job.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::cell::{AnyJob, TypedJob};
use super::head::Token;
use super::hold::let_go;
use crate::condition::{NamesJob, Target};
use crate::error::{CancelReason, JobError, Kind, Result};
use crate::id::JobId;
use crate::info::JobInfo;
use crate::status::Status;

/// A submitted job: its status, its result when there is one, and the means to wait for it.
///
/// Cheap to clone; all clones are the same job. A handle does not keep the engine alive; it
/// does keep the result.
///
/// It is also a [`Future`] of the result, woken by the engine, so `.await` works under any
/// async runtime. Poll `&mut handle` in a `select` or a timeout, again and again if need be: the
/// handle keeps the waker of its last poll and no other. Dropping the handle lets go of that waker;
/// it does not [`cancel`](Self::cancel) the job. A clone awaits the job on its own.
///
/// Awaiting is for code outside the engine's own jobs: a job that awaits a handle puts its thread
/// to sleep where the engine does not see it, and a full pool of such jobs stands still. In a job
/// use [`result`](Self::result). Nor is a future told that nothing can make its job ready; it stays
/// pending.
///
/// ```
/// use executor_engine::prelude::*;
///
/// let engine = Engine::new()?;
/// let handle = engine.submit(ThreadJob::new(|| "hello", ()))?;
/// assert_eq!(handle.result()?, "hello");
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub struct JobHandle<T> {
    job: Arc<dyn TypedJob<T>>,
    /// Of its place among those who wait for the job, once it was polled.
    token: Option<Token>,
}

/// Millions of handles are kept in lists.
const _: () = assert!(size_of::<JobHandle<()>>() <= 24);

impl<T> Clone for JobHandle<T> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.job))
    }
}

impl<T> Drop for JobHandle<T> {
    fn drop(&mut self) {
        if let Some(token) = self.token {
            self.job.head().remove_task(token);
        }
        let_go(&*self.job, || Arc::clone(&self.job).into_any_job());
    }
}

impl<T> JobHandle<T> {
    pub(crate) fn new(job: Arc<dyn TypedJob<T>>) -> Self {
        job.head().add_handle();
        Self { job, token: None }
    }

    pub(crate) fn job(&self) -> &Arc<dyn TypedJob<T>> {
        &self.job
    }

    /// The job's id.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let handle = engine.submit(ThreadJob::new(|| (), ()))?;
    /// assert_eq!(handle.id(), handle.clone().id());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn id(&self) -> JobId {
        self.job.head().id()
    }

    /// The job's name, if it was given one.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// assert_eq!(engine.submit(ThreadJob::new(|| (), ()))?.name(), None);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.job.head().name()
    }

    /// Where the job stands now.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let handle = engine.submit(ThreadJob::new(|| (), ()))?;
    /// engine.wait()?;
    /// assert_eq!(handle.status(), Status::Done);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn status(&self) -> Status {
        self.job.head().status()
    }

    /// How often the job was started: 0 before the first time.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let handle = engine.submit(ThreadJob::new(|| (), ()))?;
    /// handle.wait()?;
    /// assert_eq!(handle.attempt(), 1);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.job.head().attempt()
    }

    /// Blocks until the job is finished, in whatever way.
    ///
    /// Inside another job of the same engine this cannot deadlock the pool: a job that has not
    /// started is run by the waiting thread itself.
    ///
    /// # Errors
    /// [Stalled](crate::Error::is_stalled) if nothing runs and nothing can make the job ready:
    /// it waits for a job that was never submitted.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let handle = engine.submit(ThreadJob::new(|| (), ()))?;
    /// handle.wait()?;
    /// assert!(handle.status().is_finished());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn wait(&self) -> Result<()> {
        self.wait_until(None).map(drop)
    }

    /// Blocks until the job is finished (`true`) or the time is up (`false`).
    ///
    /// Inside a job it is as with [`wait`](Self::wait): a job that has not begun may be run on this
    /// thread, and is then run to its end, whatever the time.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// use std::time::Duration;
    /// # let engine = Engine::new()?;
    /// let (send, receive) = std::sync::mpsc::channel::<()>();
    /// let receive = std::sync::Mutex::new(receive);
    /// let handle = engine.submit(ThreadJob::new(move || drop(receive.lock().unwrap().recv()), ()))?;
    /// assert!(!handle.wait_timeout(Duration::from_millis(1))?);
    /// drop(send);
    /// assert!(handle.wait_timeout(Duration::from_secs(60))?);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool> {
        // A timeout beyond what the clock can count is no timeout.
        match Instant::now().checked_add(timeout) {
            Some(deadline) => self.wait_until(Some(deadline)),
            None => self.wait_until(None),
        }
    }

    fn wait_until(&self, deadline: Option<Instant>) -> Result<bool> {
        if self.status().is_finished() {
            return Ok(true);
        }
        match self.job.head().link() {
            Some(link) => {
                let job: Arc<dyn AnyJob> = Arc::clone(&self.job) as _;
                link.wait_job(&job, deadline)
            }
            // An engine finishes its jobs before it goes.
            None if self.status().is_finished() => Ok(true),
            None => Err(Kind::ShutDown.into()),
        }
    }

    /// Waits for the job and gives a clone of its result. [`take`](Self::take) moves it out, and
    /// [`with_result`](Self::with_result) lends it, for results that are not `Clone`.
    ///
    /// # Errors
    /// Why the job has no result.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let handle = engine.submit(ThreadJob::new(|| vec![1, 2], ()))?;
    /// assert_eq!(handle.result()?, [1, 2]);
    /// assert_eq!(handle.result()?, [1, 2]);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn result(&self) -> Result<T, JobError>
    where
        T: Clone,
    {
        self.with_result(T::clone)
    }

    /// Waits for the job and calls `f` with its result.
    ///
    /// `f` must not wait for jobs or use this job's result again: other readers of the result, and a
    /// run that has a new one, wait for `f`. Nobody else does.
    ///
    /// # Errors
    /// Why the job has no result.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let handle = engine.submit(ThreadJob::new(|| vec![0_u8; 1 << 20], ()))?;
    /// assert_eq!(handle.with_result(Vec::len)?, 1 << 20); // not cloned
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn with_result<R>(&self, f: impl FnOnce(&T) -> R) -> Result<R, JobError> {
        self.wait_or_stalled()?;
        self.with_stored(f)
    }

    /// Calls `f` with the result that is there.
    fn with_stored<R>(&self, f: impl FnOnce(&T) -> R) -> Result<R, JobError> {
        let mut f = Some(f);
        let mut answer = None;
        self.job.with_result(&mut |result| {
            if let (Some(result), Some(f)) = (result, f.take()) {
                answer = Some(f(result));
            }
        });
        answer.ok_or_else(|| self.job.error().unwrap_or_else(JobError::taken))
    }

    /// Waits for the job and moves its result out. Later calls, and jobs that have the result
    /// as an argument and have not started, find it [taken](JobError::is_taken).
    ///
    /// # Errors
    /// Why the job has no result.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let file = engine.submit(ThreadJob::try_new(|| std::fs::File::open("Cargo.toml"), ()))?;
    /// let file: std::fs::File = file.take()?;
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn take(&self) -> Result<T, JobError> {
        self.wait_or_stalled()?;
        self.job.take_result()
    }

    fn wait_or_stalled(&self) -> Result<(), JobError> {
        match self.wait_until(None) {
            Ok(_) => Ok(()),
            Err(error) if error.is_shut_down() => Err(JobError::cancelled(CancelReason::Shutdown)),
            Err(error) => Err(JobError::stalled(error.to_string())),
        }
    }

    /// Why the job has no result, if it failed or was cancelled; `None` while it is unfinished
    /// and when it is done. Does not wait.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let handle = engine.submit(ThreadJob::new(|| -> u8 { panic!("oh") }, ()))?;
    /// handle.wait()?;
    /// let error = handle.exception().unwrap();
    /// assert!(error.is_panic());
    /// assert_eq!(error.message(), "oh");
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn exception(&self) -> Option<JobError> {
        if self.status().is_finished() { self.job.error() } else { None }
    }

    /// Calls the job off. A pending job is cancelled at once. A running process job's worker is
    /// ended; a running thread or local job stays `Running` until its function returns, and
    /// then becomes `Cancelled`. A finished job stays as it is.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let other = ThreadJob::new(|| 1, ());
    /// let handle = engine.submit(ThreadJob::new(|x: i32| x, (other.output(),)))?;
    /// handle.cancel();
    /// assert_eq!(handle.status(), Status::Cancelled);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn cancel(&self) {
        if let Some(link) = self.job.head().link() {
            let job: Arc<dyn AnyJob> = Arc::clone(&self.job) as _;
            link.cancel_job(&job, CancelReason::Requested);
        }
    }

    /// Runs a finished job once more: it goes back to `Pending` and ends anew, its result or error
    /// replaced. Jobs that have used its result, or were cancelled for want of it, stay as they
    /// are; those that have not begun get the new result, and fail if there is none. Its arguments and its condition are not waited for again; attempts are counted anew.
    ///
    /// # Errors
    /// The job is not finished; it was made by a `once` constructor; the engine was shut down.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// # let engine = Engine::new()?;
    /// let count = AtomicU32::new(1);
    /// let job = engine.submit(ThreadJob::new(move || count.fetch_add(1, Ordering::Relaxed), ()))?;
    /// assert_eq!(job.result()?, 1);
    /// job.rerun()?;
    /// assert_eq!(job.result()?, 2);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn rerun(&self) -> Result<()> {
        let job: Arc<dyn AnyJob> = Arc::clone(&self.job) as _;
        match self.job.head().link() {
            Some(link) => link.rerun_job(&job),
            None => Err(Kind::ShutDown.into()),
        }
    }

    /// What the job waits for, in words: other jobs, its condition with all its parts, or its turn,
    /// and then what has no room for it. For people; the form is not fixed.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::condition::*;
    /// # let engine = Engine::new()?;
    /// let other = ThreadJob::new(|| 1, ()).name("load");
    /// let job = ThreadJob::new(|| 2, ()).condition(after_another(&other) & after_delay("1h"));
    /// let job = engine.submit(job)?;
    /// println!("{}", job.explain());
    /// // job 6f0… is pending: it waits for
    /// //   job 6f0…, which was not submitted, to be finished
    /// //   1h to pass since its submission: in 59m59s
    /// assert!(job.explain().contains("not submitted"));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn explain(&self) -> String {
        let job: Arc<dyn AnyJob> = Arc::clone(&self.job) as _;
        match self.job.head().link() {
            Some(link) => link.explain_job(&job),
            None => format!("job {} is {}; its engine has ended", self.id(), self.status()),
        }
    }

    /// What is known of the job: id, name, kind, status, attempt and times.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let handle = engine.submit(ThreadJob::new(|| (), ()))?;
    /// handle.wait()?;
    /// let info = handle.info();
    /// assert_eq!(info.kind(), "thread");
    /// assert!(info.submitted_at() <= info.started_at());
    /// assert!(info.run_time() <= info.total_time());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn info(&self) -> JobInfo {
        JobInfo::of(&*self.job)
    }
}

impl<T: 'static> NamesJob for JobHandle<T> {
    fn target(&self) -> Target {
        Target::of(&self.job)
    }
}

impl<T> fmt::Debug for JobHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("status", &self.status())
            .finish()
    }
}

impl<T: Clone> Future for JobHandle<T> {
    type Output = Result<T, JobError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let head = this.job.head();
        if !head.status().is_finished() && head.add_task(&mut this.token, cx.waker()) {
            return Poll::Pending;
        }
        // The end was seen. If the job runs again by now, that is not waited for.
        Poll::Ready(this.with_stored(T::clone))
    }
}

impl JobInfo {
    pub(crate) fn of<J: AnyJob + ?Sized>(job: &J) -> Self {
        let head = job.head();
        let status = head.status();
        Self {
            id: head.id(),
            name: head.name().map(Into::into),
            kind: head.kind().name(),
            status,
            attempt: head.attempt(),
            retries: head.meta().map_or(0, |meta| meta.retry.most),
            tags: head.meta().map_or_else(Vec::new, |meta| meta.tags.clone()),
            times: head.times(),
            error: if status.is_finished() { job.error() } else { None },
            progress: head.progress(),
            attrs: head.meta().map_or_else(BTreeMap::new, |meta| meta.attrs.clone()),
            output: head.surroundings().map_or([None, None], |surroundings| {
                let place = surroundings.place();
                [place.stdout(), place.stderr()].map(|path| path.map(Into::into))
            }),
        }
    }
}
