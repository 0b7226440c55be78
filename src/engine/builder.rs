//! [`EngineBuilder`]: every setting of an engine.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::front::Engine;
use crate::backend::{
    BlockingBackend, LocalBackend, ProcessBackend, ProcessSettings, ThreadBackend, ThreadSettings,
};
use crate::clock::{Clock, ManualClock};
use crate::condition::Zone;
use crate::dispatcher::{Backends, Core, Dispatcher};
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::forkserver;
use crate::job::{EngineId, JobKind, install_hook};

/// A longer grace than this is no different, and clocks could not count it.
const LONGEST_GRACE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The settings of an engine, each with a default that suits most programs.
///
/// ```
/// use executor_engine::prelude::*;
///
/// let engine = Engine::builder()
///     .max_thread_jobs(2)
///     .max_process_jobs(1)
///     .build()?;
/// assert_eq!(engine.submit(ThreadJob::new(|| 1, ()))?.result()?, 1);
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct EngineBuilder {
    pub(super) max_jobs: Option<usize>,
    pub(super) max_thread_jobs: usize,
    pub(super) max_blocking_jobs: usize,
    pub(super) max_process_jobs: usize,
    pub(super) max_jobs_per_worker: Option<u32>,
    pub(super) max_message_bytes: usize,
    pub(super) thread_stack_bytes: usize,
    pub(super) kill_grace: Duration,
    pub(super) keep_finished: usize,
    pub(super) worker_exe: Option<PathBuf>,
    pub(super) clock: Clock,
    pub(super) time_zone: Option<String>,
    pub(super) cache_dir: Option<PathBuf>,
    pub(super) priority_ageing: Duration,
    pub(super) resources: Vec<(String, u64)>,
    pub(super) kind_rates: Vec<(JobKind, u32, Duration)>,
    pub(super) tag_rates: Vec<(String, u32, Duration)>,
}

impl Default for EngineBuilder {
    fn default() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            max_jobs: None,
            max_thread_jobs: cpus,
            max_blocking_jobs: 256,
            max_process_jobs: cpus,
            max_jobs_per_worker: None,
            max_message_bytes: 1 << 30,
            thread_stack_bytes: 8 << 20,
            kill_grace: Duration::from_secs(5),
            keep_finished: 100_000,
            worker_exe: None,
            clock: Clock::System,
            time_zone: None,
            cache_dir: None,
            priority_ageing: Duration::from_secs(60),
            resources: Vec::new(),
            kind_rates: Vec::new(),
            tag_rates: Vec::new(),
        }
    }
}

impl Engine {
    /// An engine with default settings.
    ///
    /// # Errors
    /// As [`EngineBuilder::build`].
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::new()?;
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn new() -> Result<Self> {
        Self::builder().build()
    }

    /// The settings of an engine to be.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::builder().max_jobs(4).build()?;
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }
}

impl EngineBuilder {
    /// How many jobs of all kinds together may be in execution at once. Default: no limit but
    /// those of the kinds.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::builder().max_jobs(10).build()?;
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn max_jobs(mut self, jobs: usize) -> Self {
        self.max_jobs = Some(jobs);
        self
    }

    /// How many thread jobs may run at once: the number of threads of the engine's rayon pool.
    /// Default: the number of CPUs that the process may use.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::builder().max_thread_jobs(4).build()?;
    /// let threads = engine.submit(ThreadJob::new(rayon::current_num_threads, ()))?;
    /// assert_eq!(threads.result()?, 4);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn max_thread_jobs(mut self, jobs: usize) -> Self {
        self.max_thread_jobs = jobs;
        self
    }

    /// How many [blocking](crate::Job::blocking) thread jobs may run at once, each on a thread of
    /// its own. Default: 256.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::builder().max_blocking_jobs(16).build()?;
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn max_blocking_jobs(mut self, jobs: usize) -> Self {
        self.max_blocking_jobs = jobs;
        self
    }

    /// How many process jobs may run at once: the number of worker processes. Default: the
    /// number of CPUs that the process may use.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::builder().max_process_jobs(1).build()?;
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn max_process_jobs(mut self, jobs: usize) -> Self {
        self.max_process_jobs = jobs;
        self
    }

    /// After how many jobs a worker process is replaced by a new one: for tasks that leak.
    /// Default: never.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// #[task]
    /// fn pid() -> u32 { std::process::id() }
    ///
    /// let engine = Engine::builder().max_process_jobs(1).max_jobs_per_worker(1).build()?;
    /// let first = engine.submit(ProcessJob::new(pid, ()))?.result()?;
    /// let second = engine.submit(ProcessJob::new(pid, ()))?.result()?;
    /// assert_ne!(first, second);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn max_jobs_per_worker(mut self, jobs: u32) -> Self {
        self.max_jobs_per_worker = Some(jobs);
        self
    }

    /// The largest encoded arguments or result, in bytes, that go to or come from a worker
    /// process. A job beyond it fails. Default: 1 GiB.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// #[task]
    /// fn zeros(n: usize) -> Vec<u8> { vec![0; n] }
    ///
    /// let engine = Engine::builder().max_message_bytes(1 << 16).build()?;
    /// let job = engine.submit(ProcessJob::new(zeros, (1 << 20,)))?;
    /// assert!(job.result().is_err());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// The stack of each thread that runs jobs, in bytes. Default: 8 MiB, as a program's main
    /// thread has; memory is used only as far as a stack grows.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::builder().thread_stack_bytes(64 << 20).build()?;
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn thread_stack_bytes(mut self, bytes: usize) -> Self {
        self.thread_stack_bytes = bytes;
        self
    }

    /// How long a cancelled process job has between SIGTERM and SIGKILL, at most a year. Default: 5 seconds.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// use std::time::Duration;
    /// let engine = Engine::builder().kill_grace(Duration::from_millis(200)).build()?;
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn kill_grace(mut self, grace: Duration) -> Self {
        self.kill_grace = grace;
        self
    }

    /// How many finished jobs [`Engine::jobs`] still knows; beyond it the oldest are forgotten,
    /// so that an engine that runs for months does not grow. Handles keep their results
    /// whatever this is. Default: 100,000.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::builder().keep_finished(1).build()?;
    /// for i in 0..3 {
    ///     engine.submit(LocalJob::new(move || i, ()))?;
    /// }
    /// engine.wait()?;
    /// assert_eq!(engine.jobs().len(), 1);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn keep_finished(mut self, jobs: usize) -> Self {
        self.keep_finished = jobs;
        self
    }

    /// How long a job of priority 0 must have waited longer to go before one of priority 1.
    /// Default: a minute.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use std::time::Duration;
    /// let engine = Engine::builder().priority_ageing(Duration::from_secs(1)).build()?;
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn priority_ageing(mut self, step: Duration) -> Self {
        self.priority_ageing = step;
        self
    }

    /// A named resource of so many units, which jobs [ask for](crate::Job::resource). Jobs that run
    /// never have more of it together. Jobs get it in their order: one that wants much is not
    /// passed by for ever by others that want little.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::builder().resource("licence", 3).build()?;
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn resource(mut self, name: impl Into<String>, units: u64) -> Self {
        let name = name.into();
        self.resources.retain(|(other, _)| *other != name);
        self.resources.push((name, units));
        self
    }

    /// Jobs of a kind are started at this rate at most: so many in so much time, evenly, after a rest
    /// that many at once.
    ///
    /// ```
    /// # use executor_engine::{JobKind, prelude::*};
    /// # use std::time::Duration;
    /// let second = Duration::from_secs(1);
    /// let engine = Engine::builder().rate_limit(JobKind::Process, 50, second).build()?;
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn rate_limit(mut self, kind: JobKind, starts: u32, per: Duration) -> Self {
        self.kind_rates.push((kind, starts, per));
        self
    }

    /// The same for jobs with that tag, whatever their kind.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use std::time::Duration;
    /// let engine = Engine::builder().rate_limit_tag("api", 10, Duration::from_secs(1)).build()?;
    /// let call = ThreadJob::new(|| "answer", ()).tags(["api"]);
    /// assert_eq!(engine.submit(call)?.result()?, "answer");
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn rate_limit_tag(mut self, tag: impl Into<String>, starts: u32, per: Duration) -> Self {
        self.tag_rates.push((tag.into(), starts, per));
        self
    }

    /// The clock that the engine goes by: one that is moved by hand, for tests. Default: the
    /// system's.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::{ManualClock, condition::*};
    /// # use std::time::{Duration, SystemTime};
    /// let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
    /// let engine = Engine::builder().clock(&clock).build()?;
    /// let job = engine.submit(ThreadJob::new(|| 1, ()).condition(after_delay("1d")))?;
    /// clock.advance(Duration::from_secs(24 * 3600));
    /// assert_eq!(job.result()?, 1);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn clock(mut self, clock: &ManualClock) -> Self {
        self.clock = Clock::Manual(Arc::clone(clock.hands()));
        self
    }

    /// The time zone, by its IANA name, of the clocks and weekdays in conditions that name none.
    /// Default: the system's zone when the job is submitted.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::builder().time_zone("Europe/Berlin").build()?;
    /// assert!(Engine::builder().time_zone("Berlin").build().unwrap_err().is_invalid_setting());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn time_zone(mut self, name: impl Into<String>) -> Self {
        self.time_zone = Some(name.into());
        self
    }

    /// The program that serves worker processes. Default: this program itself, by
    /// `/proc/self/exe`, so that even a program whose file was replaced gets workers of its own
    /// build.
    ///
    /// Needed where this program's code is not in its executable (a plugin, an extension
    /// module). The other program must link the same tasks from the same sources: that it has the
    /// same version of this crate and the same tasks, by name and by the text of each function, is
    /// checked; what those functions call is not. And, where it cannot run code before `main`, call [`init`](crate::init) first
    /// thing in `main`.
    ///
    /// A relative path is taken against the directory in which the engine is made; a bare name is
    /// sought in `PATH`.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// #[task]
    /// fn one() -> u8 { 1 }
    ///
    /// let engine = Engine::builder().worker_exe("/bin/false").build()?;
    /// let error = engine.submit(ProcessJob::new(one, ()))?.result().unwrap_err();
    /// assert!(error.is_no_worker());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn worker_exe(mut self, program: impl Into<PathBuf>) -> Self {
        self.worker_exe = Some(program.into());
        self
    }

    /// Makes the engine. Threads and processes start with the first job that needs them, but
    /// for the dispatcher's thread.
    ///
    /// # Errors
    /// A setting of zero where that means that nothing could ever run; a fork server whose
    /// `main` was reached (see [`init`](crate::init)); a cache directory or a worker's program
    /// whose path is none; a thread that the system refuses.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::builder().build()?;
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn build(self) -> Result<Engine> {
        self.check()?;
        if forkserver::token_present() {
            return Err(Kind::NotIntercepted.into());
        }
        let cache = absolute("cache_dir", self.cache_dir.as_deref())?;
        // Its processes are started from wherever a thread happens to be. A bare name is sought.
        let is_path = |program: &&Path| program.components().nth(1).is_some();
        let worker_exe = match self.worker_exe.as_deref().filter(is_path) {
            Some(path) => absolute("worker_exe", Some(path))?,
            None => self.worker_exe.clone(),
        };
        install_hook();
        let engine = EngineId::next();
        let zone = self.time_zone.as_deref().map(Zone::named).transpose();
        let zone = zone.map_err(|error| Kind::InvalidSetting(error.to_string()))?;
        let (limits, names) = self.limits();
        let core = Core::new(limits, self.keep_finished, self.clock.moment());
        let dispatcher =
            Dispatcher::start(engine, core, self.clock, names, |reports| -> Backends {
                let threads = ThreadSettings {
                    threads: self.max_thread_jobs,
                    stack_size: self.thread_stack_bytes,
                };
                let processes = ProcessSettings {
                    limit: self.max_process_jobs,
                    max_jobs_per_worker: self.max_jobs_per_worker,
                    max_frame_bytes: self.max_message_bytes,
                    kill_grace: self.kill_grace.min(LONGEST_GRACE),
                    worker_exe,
                };
                [
                    Box::new(LocalBackend::new(engine, self.thread_stack_bytes, reports.clone())),
                    Box::new(ThreadBackend::new(engine, threads, reports.clone())),
                    Box::new(BlockingBackend::new(
                        engine,
                        self.max_blocking_jobs,
                        self.thread_stack_bytes,
                        reports.clone(),
                    )),
                    Box::new(ProcessBackend::new(processes, reports)),
                ]
            })
            .map_err(|error| Error::io("the dispatcher could not be started", error))?;
        Ok(Engine::new_with(dispatcher, zone, cache))
    }
}

/// The path of that setting, as it is meant where the engine is made.
fn absolute(setting: &str, path: Option<&Path>) -> Result<Option<PathBuf>> {
    let whole = path.map(files::absolute).transpose();
    whole.map_err(|why| Kind::InvalidSetting(format!("{setting}: {why}")).into())
}
