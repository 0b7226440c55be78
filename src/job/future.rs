//! Jobs that run a future to its end: async functions and async blocks, without a runtime.
//!
//! The thread that has the job polls the future and sleeps until it is woken. A job that is to stop
//! is woken, too, and drops its future: that is how futures are cancelled.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread as OsThread;

use parking_lot::Mutex;

use super::args::{ArgPack, Caller, IntoArgs};
use super::asleep::Asleep;
use super::builder::Job;
use super::cell::{AnyJob, Body};
use super::context::stop_error;
use super::kind::KindId;
use super::local::Local;
use super::thread::Thread;
use crate::error::{BoxError, JobError};
use crate::task::Callable;

/// Unparks a thread.
struct Unpark {
    thread: OsThread,
    woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.thread.unpark();
        }
    }
}

/// Polls the future to its end, unless `check` says between two polls that it is to stop.
fn drive<F: Future, E>(future: F, check: impl Fn() -> Result<(), E>) -> Result<F::Output, E> {
    let unpark = Arc::new(Unpark { thread: std::thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&unpark));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        check()?;
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Ok(output);
        }
        while !unpark.woken.swap(false, Ordering::AcqRel) {
            check()?;
            std::thread::park();
        }
    }
}

/// Runs a future to its end on this thread, which sleeps while the future waits. No runtime is
/// involved, so what the future waits for must not need one: other threads, channels, job handles,
/// not the timers and sockets of tokio, say.
///
/// For async code in tasks, and wherever else a plain function is wanted. In a job it does not see
/// a cancellation; [`ThreadJob::async_fn`](crate::ThreadJob) does.
///
/// ```
/// use executor_engine::prelude::*;
///
/// async fn double(x: u64) -> u64 { x * 2 }
///
/// #[task]
/// fn work(x: u64) -> u64 { executor_engine::block_on(double(x)) }
///
/// let engine = Engine::new()?;
/// assert_eq!(engine.submit(ProcessJob::new(work, (4,)))?.result()?, 8);
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    match drive(future, || Ok::<(), std::convert::Infallible>(())) {
        Ok(output) => output,
        Err(never) => match never {},
    }
}

/// Runs the future of a job.
fn run<F: Future>(caller: Caller<'_>, future: F) -> Result<F::Output, JobError> {
    let head = caller.0.head();
    let _asleep = Asleep::in_job(head.key());
    drive(future, || stop_error(head).map_or(Ok(()), Err))
}

/// How a job's future yields a result.
trait OutcomeOf<O>: Send + 'static {
    type Value: Send + 'static;
    fn of(output: O) -> Result<Self::Value, JobError>;
}

/// Whatever it is, is the result.
struct Plain;

/// An `Err` is the job's failure.
struct Trying;

impl<T: Send + 'static> OutcomeOf<T> for Plain {
    type Value = T;

    fn of(output: T) -> Result<T, JobError> {
        Ok(output)
    }
}

impl<T: Send + 'static, E: Into<BoxError>> OutcomeOf<Result<T, E>> for Trying {
    type Value = T;

    fn of(output: Result<T, E>) -> Result<T, JobError> {
        output.map_err(|error| JobError::failure(error.into()))
    }
}

/// The body of an async function.
struct AsyncFn<F, P, A, M> {
    function: F,
    args: P,
    types: PhantomData<fn(A) -> M>,
}

impl<F, P, A, M> Body<M::Value> for AsyncFn<F, P, A, M>
where
    F: Callable<A>,
    F::Output: Future,
    M: OutcomeOf<<F::Output as Future>::Output>,
    P: ArgPack<A>,
{
    fn visit_upstream(&self, visit: &mut dyn FnMut(Arc<dyn AnyJob>)) {
        self.args.visit_upstream(&mut |upstream| visit(upstream.0));
    }

    fn call(&self, caller: Caller<'_>) -> Result<M::Value, JobError> {
        let future = self.function.call(self.args.get(&caller)?)?;
        M::of(run(caller, future)?)
    }
}

/// The body of a future: it can be run once only.
struct Whole<F, M> {
    future: Mutex<Option<F>>,
    types: PhantomData<fn() -> M>,
}

impl<F, M> Body<M::Value> for Whole<F, M>
where
    F: Future + Send,
    M: OutcomeOf<F::Output>,
{
    fn visit_upstream(&self, _visit: &mut dyn FnMut(Arc<dyn AnyJob>)) {}

    fn call(&self, caller: Caller<'_>) -> Result<M::Value, JobError> {
        let future = self.future.lock().take();
        // It is started once: neither retries nor reruns are accepted.
        M::of(run(caller, future.ok_or_else(JobError::taken)?)?)
    }

    fn is_repeatable(&self) -> bool {
        false
    }
}

fn of_function<K, M, F, A, X>(kind: KindId, what: F, args: X) -> Job<K, M::Value>
where
    F: Callable<A>,
    F::Output: Future,
    M: OutcomeOf<<F::Output as Future>::Output>,
    X: IntoArgs<A>,
    A: 'static,
{
    let body: AsyncFn<_, _, A, M> =
        AsyncFn { function: what, args: args.into_args(), types: PhantomData };
    Job::with_body(kind, body)
}

fn of_future<K, M, F>(kind: KindId, future: F) -> Job<K, M::Value>
where
    F: Future + Send + 'static,
    M: OutcomeOf<F::Output>,
{
    let body: Whole<F, M> = Whole { future: Mutex::new(Some(future)), types: PhantomData };
    Job::with_body(kind, body)
}

impl<T: Send + 'static> Job<Thread, T> {
    /// A job that calls an async function and runs its future to the end.
    ///
    /// It needs no runtime, and has none: the future is polled by the job's thread, which sleeps
    /// while the future waits. So it runs on one of the threads for [blocking](Job::blocking)
    /// jobs. A cancelled job, or one that takes too long, drops its future the next time that it
    /// waits.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// async fn add_one(x: u64) -> u64 { x + 1 }
    ///
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::async_fn(add_one, (1,)))?;
    /// assert_eq!(job.result()?, 2);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn async_fn<F, A, X>(what: F, args: X) -> Self
    where
        F: Callable<A>,
        F::Output: Future<Output = T>,
        X: IntoArgs<A>,
        A: 'static,
    {
        of_function::<_, Plain, _, _, _>(KindId::Blocking, what, args)
    }

    /// As [`async_fn`](Self::async_fn), for a function whose future yields a `Result`; an `Err`
    /// fails the job.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let parse = |text: String| async move { text.parse::<u8>() };
    /// let job = engine.submit(ThreadJob::try_async_fn(parse, ("7".to_owned(),)))?;
    /// assert_eq!(job.result()?, 7);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn try_async_fn<F, A, X, E>(what: F, args: X) -> Self
    where
        F: Callable<A>,
        F::Output: Future<Output = Result<T, E>>,
        E: Into<BoxError> + 'static,
        X: IntoArgs<A>,
        A: 'static,
    {
        of_function::<_, Trying, _, _, _>(KindId::Blocking, what, args)
    }

    /// A job that runs this future to the end, as [`async_fn`](Self::async_fn) does. A future can be
    /// run once only, so the job can be neither retried nor rerun.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let first = engine.submit(ThreadJob::new(|| 20, ()))?;
    /// let job = engine.submit(ThreadJob::future(async move { first.await.map(|x| x + 1) }))?;
    /// assert_eq!(job.take()??, 21);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn future<F>(future: F) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        of_future::<_, Plain, _>(KindId::Blocking, future)
    }

    /// As [`future`](Self::future), for one that yields a `Result`; an `Err` fails the job.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = ThreadJob::try_future(async { "x".parse::<u8>() });
    /// assert!(engine.submit(job)?.result().unwrap_err().is_failure());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn try_future<F, E>(future: F) -> Self
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        of_future::<_, Trying, _>(KindId::Blocking, future)
    }
}

impl<T: Send + 'static> Job<Local, T> {
    /// A job that calls an async function and runs its future to the end, on the lane, which does
    /// nothing else until then. [`ThreadJob::async_fn`](crate::ThreadJob) has the details.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// async fn add_one(x: u64) -> u64 { x + 1 }
    ///
    /// # let engine = Engine::new()?;
    /// assert_eq!(engine.submit(LocalJob::async_fn(add_one, (1,)))?.result()?, 2);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn async_fn<F, A, X>(what: F, args: X) -> Self
    where
        F: Callable<A>,
        F::Output: Future<Output = T>,
        X: IntoArgs<A>,
        A: 'static,
    {
        of_function::<_, Plain, _, _, _>(KindId::Local, what, args)
    }

    /// As [`async_fn`](Self::async_fn), for a function whose future yields a `Result`; an `Err`
    /// fails the job.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = LocalJob::try_async_fn(|| async { Err::<u8, _>("no") }, ());
    /// assert_eq!(engine.submit(job)?.result().unwrap_err().message(), "no");
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn try_async_fn<F, A, X, E>(what: F, args: X) -> Self
    where
        F: Callable<A>,
        F::Output: Future<Output = Result<T, E>>,
        E: Into<BoxError> + 'static,
        X: IntoArgs<A>,
        A: 'static,
    {
        of_function::<_, Trying, _, _, _>(KindId::Local, what, args)
    }
}
