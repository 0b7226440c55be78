//! What can be done to jobs by their id, or to many at once, and to the engine as a whole.

use std::time::{Duration, Instant};

use super::front::{Engine, Shutdown};
use crate::dispatcher::{Patience, Payload};
use crate::error::{CancelReason, Kind, Result};
use crate::event::Events;
use crate::id::JobId;
use crate::info::JobInfo;
use crate::job::{Hold, JobKind, KindId, drop_quietly};

impl Engine {
    /// Cancels that job; the same as [`JobHandle::cancel`](crate::JobHandle::cancel), by id.
    ///
    /// # Errors
    /// The engine has no such job.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::condition::after_delay;
    /// let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| 1, ()).condition(after_delay("1h")))?;
    /// engine.cancel(job.id())?;
    /// assert_eq!(job.status(), Status::Cancelled);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn cancel(&self, id: JobId) -> Result<()> {
        let job = self.find(id).ok_or(Kind::UnknownJob(id))?;
        cancel(&job);
        Ok(())
    }

    /// Cancels every unfinished job. The engine stays as it is, and takes new ones.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::condition::after_delay;
    /// let engine = Engine::new()?;
    /// engine.submit_all((0..9).map(|i| ThreadJob::new(move || i, ()).condition(after_delay("1h"))))?;
    /// engine.cancel_all();
    /// engine.wait()?;
    /// assert_eq!(engine.jobs().count(Status::Cancelled), 9);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn cancel_all(&self) {
        self.dispatcher().cancel_all(CancelReason::Requested);
    }

    /// Cancels the unfinished jobs of which this says yes, e.g. by their name or tag, and says how
    /// many those were.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::condition::after_delay;
    /// let engine = Engine::new()?;
    /// let job = |tag: &str| ThreadJob::new(|| 1, ()).tags([tag]).condition(after_delay("1h"));
    /// engine.submit_all([job("eu"), job("us"), job("eu")])?;
    /// assert_eq!(engine.cancel_where(|job| job.has_tag("eu")), 2);
    /// assert_eq!(engine.stats().unfinished, 1);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn cancel_where(&self, mut which: impl FnMut(&JobInfo) -> bool) -> usize {
        let unfinished = self.jobs().snapshot(|job| !job.head().status().is_finished());
        let chosen = unfinished.iter().filter(|job| which(&JobInfo::of(&***job)));
        chosen.inspect(|job| cancel(job)).count()
    }

    /// Starts no more jobs until [`resume`](Self::resume). Jobs that run go on; so do process jobs
    /// that were sent to a worker already. Submissions are accepted. [`wait`](Self::wait) waits for
    /// somebody to resume, if jobs are ready. A [drain](Shutdown::Drain) resumes, and an engine that
    /// is shut down is not paused any more.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::new()?;
    /// engine.pause();
    /// let job = engine.submit(ThreadJob::new(|| 1, ()))?;
    /// assert_eq!(job.status(), Status::Pending);
    /// engine.resume();
    /// assert_eq!(job.result()?, 1);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn pause(&self) {
        self.dispatcher().pause(&KindId::ALL, true);
    }

    /// Starts jobs again, of every kind.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::new()?;
    /// engine.pause();
    /// engine.resume();
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn resume(&self) {
        self.dispatcher().pause(&KindId::ALL, false);
    }

    /// [`pause`](Self::pause) for the jobs of one kind.
    ///
    /// ```
    /// # use executor_engine::{JobKind, prelude::*};
    /// let engine = Engine::new()?;
    /// engine.pause_kind(JobKind::Local);
    /// let held = engine.submit(LocalJob::new(|| 1, ()))?;
    /// assert_eq!(engine.submit(ThreadJob::new(|| 2, ()))?.result()?, 2);
    /// assert_eq!(held.status(), Status::Pending);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn pause_kind(&self, kind: JobKind) {
        self.dispatcher().pause(&[kind], true);
    }

    /// Starts jobs of that kind again.
    ///
    /// ```
    /// # use executor_engine::{JobKind, prelude::*};
    /// let engine = Engine::new()?;
    /// engine.pause_kind(JobKind::Thread);
    /// engine.resume_kind(JobKind::Thread);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn resume_kind(&self, kind: JobKind) {
        self.dispatcher().pause(&[kind], false);
    }

    /// What happens to the engine's jobs from now on, to be read at leisure: up to 4,096 events may
    /// wait for it.
    ///
    /// ```
    /// # use executor_engine::{JobEvent, prelude::*};
    /// let engine = Engine::new()?;
    /// let events = engine.events();
    /// let job = engine.submit(ThreadJob::new(|| 1, ()))?;
    /// let end = events.iter().find(|event| matches!(event, JobEvent::Finished { .. })).unwrap();
    /// assert_eq!(end, JobEvent::Finished { id: job.id(), status: Status::Done });
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn events(&self) -> Events {
        self.events_with_capacity(4096)
    }

    /// The same, with room for so many events that were not read. While somebody listens, each
    /// job costs the engine a little more.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::new()?;
    /// let events = engine.events_with_capacity(100_000);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn events_with_capacity(&self, capacity: usize) -> Events {
        self.dispatcher().subscribe(capacity)
    }

    /// Runs a finished job once more; the same as [`JobHandle::rerun`](crate::JobHandle::rerun), by
    /// id. Somebody must have a handle of the job: with the last one it lets go of its function, so
    /// that nothing in there (a channel's end, a file) is held for as long as the engine lists the
    /// job.
    ///
    /// # Errors
    /// The engine has no such job; nobody has a handle of it
    /// ([`is_runs_once`](crate::Error::is_runs_once)); as
    /// [`JobHandle::rerun`](crate::JobHandle::rerun).
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| 1, ()))?;
    /// engine.wait()?;
    /// engine.rerun(job.id())?;
    /// engine.wait()?;
    /// assert_eq!(engine.stats().done, 2);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn rerun(&self, id: JobId) -> Result<()> {
        let job = self.find(id).ok_or(Kind::UnknownJob(id))?;
        // Until it is on its way, the last handle's end does not take its function away.
        let _hold = Hold::of(&job).ok_or(Kind::RunsOnce(id))?;
        match job.head().link() {
            Some(link) => link.rerun_job(&job),
            None => Err(Kind::ShutDown.into()),
        }
    }

    /// Forgets a finished job. Handles keep its result.
    ///
    /// # Errors
    /// The engine has no such job, or it is not finished.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| 1, ()))?;
    /// engine.wait()?;
    /// engine.remove(job.id())?;
    /// assert!(engine.jobs().get(job.id()).is_none());
    /// assert_eq!(job.result()?, 1);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn remove(&self, id: JobId) -> Result<()> {
        let key = id.count_here().ok_or(Kind::UnknownJob(id))?;
        match self.dispatcher().ask(|core| core.remove(key)) {
            Ok(job) => {
                drop_quietly(job);
                Ok(())
            }
            Err(true) => Err(Kind::NotFinished(id).into()),
            Err(false) => Err(Kind::UnknownJob(id).into()),
        }
    }

    /// Shuts the engine down: it takes no more jobs, finishes or cancels what it has, joins its
    /// threads and reaps its processes. A further call waits for the same end, and, if it is to cancel,
    /// cancels what is still drained; the drop does nothing more. Functions that run on threads, and
    /// callbacks, are waited for: one that never returns keeps this from returning, too.
    ///
    /// From inside one of the engine's own jobs or callbacks it returns at once, and the rest happens
    /// when that one has returned.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::new()?;
    /// engine.shutdown(Shutdown::Cancel);
    /// assert!(engine.submit(ThreadJob::new(|| 1, ())).unwrap_err().is_shut_down());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn shutdown(&self, how: Shutdown) {
        self.owner().shutdown(match how {
            Shutdown::Drain => Patience::Endless,
            Shutdown::Cancel => Patience::No,
        });
    }

    /// Drains the engine as [`shutdown`](Self::shutdown) does, but not for longer than that: what is
    /// unfinished then is cancelled. Says whether everything was finished in time.
    ///
    /// Functions that run on threads, and callbacks, cannot be ended; they are waited for, after the
    /// functions were told.
    ///
    /// From inside one of the engine's own jobs or callbacks it returns `false` at once, for not
    /// everything is finished yet, and the engine is drained all the same, for no longer than that.
    /// A job that asks is itself among those that are waited for.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::condition::after_delay;
    /// # use std::time::Duration;
    /// let engine = Engine::new()?;
    /// let now = engine.submit(ThreadJob::new(|| 1, ()))?;
    /// let later = engine.submit(ThreadJob::new(|| 2, ()).condition(after_delay("1h")))?;
    /// assert!(!engine.drain_for(Duration::from_millis(50)));
    /// assert_eq!((now.status(), later.status()), (Status::Done, Status::Cancelled));
    ///
    /// // A job that ends the engine, but not what was submitted before.
    /// let engine = Engine::new()?;
    /// let ends = |ctx: JobContext| ctx.engine().map(|all| all.drain_for(Duration::from_secs(60)));
    /// let ends = ThreadJob::try_new(ends, (Context,));
    /// let next = engine.submit(ThreadJob::new(|drained: bool| drained, (ends.output(),)))?;
    /// engine.submit(ends)?;
    /// assert!(!next.result()?);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn drain_for(&self, time: Duration) -> bool {
        // A time beyond what the clock can count is no limit.
        let patience = Instant::now().checked_add(time).map_or(Patience::Endless, Patience::Until);
        self.owner().shutdown(patience)
    }
}

fn cancel(job: &Payload) {
    if let Some(link) = job.head().link() {
        link.cancel_job(job, CancelReason::Requested);
    }
}
