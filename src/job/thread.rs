//! Thread jobs: closures and tasks on the engine's rayon pool, or on threads for blocking work.

use super::args::IntoArgs;
use super::builder::{InProcess, Job, Once};
use super::kind::KindId;
use crate::task::{Callable, CallableOnce, Fallible, Infallible, TryCallable, TryCallableOnce};

/// The kind of jobs that run on threads of the engine.
///
/// ```
/// # use executor_engine::prelude::*;
/// # use executor_engine::{Job, Thread};
/// # let engine = Engine::new()?;
/// let job: Job<Thread, u8> = ThreadJob::new(|| 1, ());
/// assert_eq!(engine.submit(job)?.info().kind(), "thread");
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Thread {}

/// A job on the engine's rayon pool.
///
/// `par_iter`, `rayon::join` and the like inside it use the engine's pool. A job that waits
/// (for a socket, a lock, a child) keeps a pool thread from computing: make it
/// [`blocking`](Job::blocking).
///
/// Threads cannot be killed: a thread job that is cancelled while its function runs stays
/// `Running` until the function returns, and then becomes `Cancelled`.
///
/// ```
/// use executor_engine::prelude::*;
///
/// let engine = Engine::new()?;
/// let sum = engine.submit(ThreadJob::new(|v: Vec<u64>| v.iter().sum::<u64>(), (vec![1, 2, 3],)))?;
/// assert_eq!(sum.result()?, 6);
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub type ThreadJob<T> = Job<Thread, T>;

impl<T: Send + 'static> Job<Thread, T> {
    /// A job that calls `what(args)` on the pool; whatever it returns is the result.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|x: u8, y: u8| x.max(y), (3, 4)))?;
    /// assert_eq!(job.result()?, 4);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn new<F, A, X>(what: F, args: X) -> Self
    where
        F: Callable<A, Output = T>,
        X: IntoArgs<A>,
        A: 'static,
    {
        Self::with_body(KindId::Thread, InProcess::new(what, args))
    }

    /// A job that calls a closure returning a `Result`; an `Err` fails the job.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::try_new(|| "7".parse::<u8>(), ()))?;
    /// assert_eq!(job.result()?, 7);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn try_new<F, A, X>(what: F, args: X) -> Self
    where
        F: TryCallable<A, Output = T>,
        X: IntoArgs<A>,
        A: 'static,
    {
        Self::with_body(KindId::Thread, InProcess::new(Fallible(what), args))
    }

    /// A job that calls a closure which can be called once only, for it gives away what it holds.
    /// So it can be neither retried nor rerun: that is refused.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let list = vec![1, 2];
    /// let job = ThreadJob::once(move || list.into_iter().sum::<i32>(), ());
    /// assert_eq!(engine.submit(job)?.result()?, 3);
    ///
    /// let list = vec![1, 2];
    /// let job = ThreadJob::once(move || drop(list), ()).retries(1);
    /// assert!(engine.submit(job).unwrap_err().is_runs_once());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn once<F, A, X>(what: F, args: X) -> Self
    where
        F: CallableOnce<A, Output = T>,
        X: IntoArgs<A>,
        A: 'static,
    {
        Self::with_body(KindId::Thread, Once::new(Infallible(what), args))
    }

    /// As [`once`](Self::once), for a closure returning a `Result`; an `Err` fails the job.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let bytes = vec![0xFF];
    /// let job = engine.submit(ThreadJob::try_once(move || String::from_utf8(bytes), ()))?;
    /// assert!(job.result().unwrap_err().is_failure());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn try_once<F, A, X>(what: F, args: X) -> Self
    where
        F: TryCallableOnce<A, Output = T>,
        X: IntoArgs<A>,
        A: 'static,
    {
        Self::with_body(KindId::Thread, Once::new(what, args))
    }

    /// Runs the job on an operating-system thread outside the pool, one of a cached set with a
    /// limit of its own ([`max_blocking_jobs`](crate::EngineBuilder::max_blocking_jobs)): for
    /// functions that wait rather than compute.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = ThreadJob::try_new(|| std::fs::read_to_string("Cargo.toml"), ()).blocking();
    /// assert!(engine.submit(job)?.result()?.contains("executor-engine"));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn blocking(self) -> Self {
        self.job.head().set_kind(KindId::Blocking);
        self
    }
}
