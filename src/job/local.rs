//! Local jobs: one after the other, in the order of submission, on one thread of the engine.

use super::args::IntoArgs;
use super::builder::{InProcess, Job, Once};
use super::kind::KindId;
use crate::task::{Callable, CallableOnce, Fallible, Infallible, TryCallable, TryCallableOnce};

/// The kind of jobs that run on the engine's serial lane.
///
/// ```
/// # use executor_engine::prelude::*;
/// # use executor_engine::{Job, Local};
/// # let engine = Engine::new()?;
/// let job: Job<Local, u8> = LocalJob::new(|| 1, ());
/// assert_eq!(engine.submit(job)?.info().kind(), "local");
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Local {}

/// A job on the engine's serial lane: one thread, one job at a time, in the order in which they
/// became ready, which for jobs without dependencies is the order of submission.
///
/// For work on something that only one job may use at a time, without a lock.
///
/// ```
/// use executor_engine::prelude::*;
/// use std::sync::{Arc, Mutex};
///
/// let engine = Engine::new()?;
/// let order = Arc::new(Mutex::new(Vec::new()));
/// for i in 0..3 {
///     let order = Arc::clone(&order);
///     engine.submit(LocalJob::new(move || order.lock().unwrap().push(i), ()))?;
/// }
/// engine.wait()?;
/// assert_eq!(*order.lock().unwrap(), [0, 1, 2]);
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub type LocalJob<T> = Job<Local, T>;

impl<T: Send + 'static> Job<Local, T> {
    /// A job that calls `what(args)` on the lane; whatever it returns is the result.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(LocalJob::new(|| 3_i64, ()))?;
    /// assert_eq!(job.result()?, 3);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn new<F, A, X>(what: F, args: X) -> Self
    where
        F: Callable<A, Output = T>,
        X: IntoArgs<A>,
        A: 'static,
    {
        Self::with_body(KindId::Local, InProcess::new(what, args))
    }

    /// A job that calls a closure returning a `Result`; an `Err` fails the job.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(LocalJob::try_new(|| Err::<(), _>("no luck"), ()))?;
    /// assert_eq!(job.result().unwrap_err().message(), "no luck");
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn try_new<F, A, X>(what: F, args: X) -> Self
    where
        F: TryCallable<A, Output = T>,
        X: IntoArgs<A>,
        A: 'static,
    {
        Self::with_body(KindId::Local, InProcess::new(Fallible(what), args))
    }

    /// A job that calls a closure which can be called once only, for it gives away what it holds.
    /// So it can be neither retried nor rerun: that is refused.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let list = vec![1, 2];
    /// let job = LocalJob::once(move || list.into_iter().sum::<i32>(), ());
    /// assert_eq!(engine.submit(job)?.result()?, 3);
    ///
    /// let list = vec![1, 2];
    /// let job = LocalJob::once(move || drop(list), ()).retries(1);
    /// assert!(engine.submit(job).unwrap_err().is_runs_once());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn once<F, A, X>(what: F, args: X) -> Self
    where
        F: CallableOnce<A, Output = T>,
        X: IntoArgs<A>,
        A: 'static,
    {
        Self::with_body(KindId::Local, Once::new(Infallible(what), args))
    }

    /// As [`once`](Self::once), for a closure returning a `Result`; an `Err` fails the job.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let bytes = vec![0xFF];
    /// let job = engine.submit(LocalJob::try_once(move || String::from_utf8(bytes), ()))?;
    /// assert!(job.result().unwrap_err().is_failure());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn try_once<F, A, X>(what: F, args: X) -> Self
    where
        F: TryCallableOnce<A, Output = T>,
        X: IntoArgs<A>,
        A: 'static,
    {
        Self::with_body(KindId::Local, Once::new(what, args))
    }
}
