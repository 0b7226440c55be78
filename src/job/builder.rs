//! [`Job<K, T>`]: what every job has, plus `K`, what only its kind has.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::args::{ArgPack, Caller, IntoArgs, Output};
use super::cell::{AnyJob, Body, JobCell, TypedJob};
use super::head::Meta;
use super::kind::KindId;
use super::retry::Backoff;
use crate::condition::{Condition, NamesJob, Target};
use crate::error::JobError;
use crate::id::JobId;
use crate::info::JobInfo;
use crate::status::Status;
use crate::task::{Callable, TryCallableOnce};

/// A job that is not submitted yet: what to call, with which arguments, and options.
///
/// `K` is the kind ([`Local`](crate::Local), [`Thread`](crate::Thread),
/// [`Process`](crate::Process)), `T` the type of the result. Each kind has its constructors:
/// `Kind::new(what, args)`, and `try_new` for closures that return a `Result`.
///
/// ```
/// use executor_engine::prelude::*;
///
/// let engine = Engine::new()?;
/// let job: ThreadJob<i32> = ThreadJob::new(|a: i32, b: i32| a + b, (1, 2)).name("sum");
/// let handle: JobHandle<i32> = engine.submit(job)?;
/// assert_eq!(handle.result()?, 3);
/// assert_eq!(handle.name(), Some("sum"));
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[must_use = "a job does nothing until it is submitted"]
pub struct Job<K, T> {
    pub(crate) job: Arc<dyn TypedJob<T>>,
    pub(crate) meta: Option<Box<Meta>>,
    /// When it may run; the dispatcher's, once it is submitted.
    pub(crate) condition: Option<Condition>,
    kind: PhantomData<fn() -> K>,
}

impl<K, T> Job<K, T> {
    pub(crate) fn with_body<B>(kind: KindId, body: B) -> Self
    where
        T: Send + 'static,
        B: Body<T> + 'static,
    {
        Self { job: JobCell::shared(kind, body), meta: None, condition: None, kind: PhantomData }
    }

    /// Names the job, for people: names need not be unique.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let handle = engine.submit(ThreadJob::new(|| (), ()).name("nightly"))?;
    /// assert_eq!(handle.name(), Some("nightly"));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.meta_mut().name = Some(name.into());
        self
    }

    /// When the job may run, beside having all its arguments. Given twice, both must hold.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// use executor_engine::condition::*;
    /// # let engine = Engine::new()?;
    /// let a = engine.submit(ThreadJob::new(|| println!("a"), ()))?;
    /// let soon = ThreadJob::new(|| println!("b"), ())
    ///     .condition(after_another(&a).done() & after_delay("10ms"));
    /// engine.submit(soon)?.wait()?;
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn condition(mut self, condition: Condition) -> Self {
        self.condition = Some(match self.condition.take() {
            Some(first) => first & condition,
            None => condition,
        });
        self
    }

    /// How often the job is tried again when it fails: when its function returns an error or
    /// panics, its worker process dies, or an [attempt](Self::attempt_timeout) takes too long. Not
    /// when it is cancelled. Default: never. Its dependents see the last attempt only.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// # let engine = Engine::new()?;
    /// let calls = AtomicU32::new(0);
    /// let third_time = move || match calls.fetch_add(1, Ordering::Relaxed) {
    ///     2 => Ok("charm"),
    ///     _ => Err("bad luck"),
    /// };
    /// let job = engine.submit(ThreadJob::try_new(third_time, ()).retries(5))?;
    /// assert_eq!(job.result()?, "charm");
    /// assert_eq!((job.attempt(), job.info().retry_remain()), (3, 3));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn retries(mut self, most: u32) -> Self {
        let retry = &mut self.meta_mut().retry;
        (retry.most, retry.counted) = (most, true);
        self
    }

    /// How long to wait before each retry; the same as [`backoff`](Self::backoff) with
    /// [`Backoff::fixed`]. Default: no time.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use std::time::Duration;
    /// let job = ThreadJob::try_new(|| std::fs::read("there"), ())
    ///     .retries(2)
    ///     .retry_delay(Duration::from_secs(1));
    /// ```
    pub fn retry_delay(self, delay: Duration) -> Self {
        self.backoff(Backoff::fixed(delay))
    }

    /// How long to wait before each retry, longer each time.
    ///
    /// ```
    /// # use executor_engine::{Backoff, prelude::*};
    /// # use std::time::Duration;
    /// let job = ThreadJob::try_new(|| std::fs::read("there"), ())
    ///     .retries(8)
    ///     .backoff(Backoff::exponential(Duration::from_millis(50)).full_jitter());
    /// ```
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.meta_mut().retry.backoff = backoff;
        self
    }

    /// Only errors of which this says yes are retried. It is asked once per failure, on the
    /// thread that saw it; if it panics, the job is not retried. For process jobs that thread hears of
    /// all of them, so an answer that takes long holds them up: it must not wait for jobs.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = ThreadJob::try_new(|| "x".parse::<u8>(), ())
    ///     .retries(9)
    ///     .retry_if(|error| error.message().contains("timed out"));
    /// let job = engine.submit(job)?;
    /// assert!(job.result().is_err());
    /// assert_eq!(job.attempt(), 1);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn retry_if(mut self, only_if: impl Fn(&JobError) -> bool + Send + Sync + 'static) -> Self {
        self.meta_mut().retry.only_if = Some(Arc::new(only_if));
        self
    }

    /// How long the job may take, from its first start to its end, with all its attempts and the
    /// time between them. The time in which it waits for its turn before that does not count.
    ///
    /// Then it is told to stop, as by a cancellation, and fails with a
    /// [timeout](JobError::is_timed_out) when it has: a process job's worker is ended, a thread
    /// job stays `Running` until its function returns.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use std::time::Duration;
    /// #[task]
    /// fn sleep(seconds: u64) { std::thread::sleep(Duration::from_secs(seconds)) }
    ///
    /// # let engine = Engine::new()?;
    /// let job = ProcessJob::new(sleep, (3600,)).timeout(Duration::from_millis(50));
    /// assert!(engine.submit(job)?.result().unwrap_err().is_timed_out());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.meta_mut().timeout = Some(limit);
        self
    }

    /// How long each attempt may take. One that takes longer is stopped, and has failed; then it
    /// is retried, if there are [`retries`](Self::retries).
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use std::time::Duration;
    /// #[task]
    /// fn sleep(seconds: u64) { std::thread::sleep(Duration::from_secs(seconds)) }
    ///
    /// # let engine = Engine::new()?;
    /// let job = ProcessJob::new(sleep, (3600,))
    ///     .attempt_timeout(Duration::from_millis(20))
    ///     .retries(1);
    /// let job = engine.submit(job)?;
    /// assert!(job.result().unwrap_err().is_timed_out());
    /// assert_eq!(job.attempt(), 2);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.meta_mut().attempt_timeout = Some(limit);
        self
    }

    /// Words by which jobs can be found, counted and cancelled together.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| 1, ()).tags(["nightly", "eu"]))?;
    /// assert_eq!(job.info().tags(), ["nightly", "eu"]);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn tags<S: Into<String>>(mut self, tags: impl IntoIterator<Item = S>) -> Self {
        self.meta_mut().tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Jobs of higher priority go before others that are ready. So that none waits for ever, a step
    /// of priority is worth as much as a time of waiting:
    /// [`priority_ageing`](crate::EngineBuilder::priority_ageing), a minute by default. Default: 0.
    ///
    /// What has begun goes on; and a busy worker may have been sent some process jobs ahead, if they
    /// are short, which stay with it.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// engine.submit(ThreadJob::new(|| println!("first"), ()).priority(10))?;
    /// engine.submit(ThreadJob::new(|| println!("whenever"), ()).priority(-10))?;
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn priority(mut self, priority: i32) -> Self {
        self.meta_mut().priority = priority;
        self
    }

    /// The job needs so many units of a named resource of the engine
    /// ([`EngineBuilder::resource`](crate::EngineBuilder::resource)) while it runs. It waits until
    /// they are free, and is told [which it has](crate::JobContext::resource); a process job, and
    /// what it starts, also by a variable of the environment: `EXECUTOR_RESOURCE_GPU=0,3`.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::builder().resource("gpu", 2).resource("memory", 16 << 30).build()?;
    /// let job = ThreadJob::new(|| 1, ()).resource("gpu", 1).resource("memory", 4 << 30);
    /// assert_eq!(engine.submit(job)?.result()?, 1);
    ///
    /// let greedy = ThreadJob::new(|| 1, ()).resource("gpu", 3);
    /// assert!(engine.submit(greedy).unwrap_err().is_impossible());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn resource(mut self, name: impl Into<String>, units: u64) -> Self {
        self.meta_mut().resources.insert(name.into(), units);
        self
    }

    /// Calls this with the job's result when it is done. See
    /// [`on_finished`](Self::on_finished).
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let job = ThreadJob::new(|| 6 * 7, ()).on_done(move |result| tell.send(*result).unwrap());
    /// engine.submit(job)?;
    /// assert_eq!(told.recv().unwrap(), 42);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn on_done(mut self, call: impl Fn(&T) + Send + Sync + 'static) -> Self
    where
        T: Clone + Send + 'static,
    {
        let job = Arc::clone(&self.job);
        self.meta_mut().callbacks.on_done(&job, call);
        self
    }

    /// Calls this with the job's error when it has failed for good, after its retries; not when
    /// it was cancelled. See [`on_finished`](Self::on_finished).
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let job = ThreadJob::try_new(|| "x".parse::<u8>(), ())
    ///     .on_failed(move |error| tell.send(error.message()).unwrap());
    /// engine.submit(job)?;
    /// assert_eq!(told.recv().unwrap(), "invalid digit found in string");
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn on_failed(mut self, call: impl Fn(&JobError) + Send + Sync + 'static) -> Self {
        self.meta_mut().callbacks.on_failed(call);
        self
    }

    /// Calls this when the job has ended, in whatever way.
    ///
    /// Callbacks are called once per end of the job, after its status is final, in the order of
    /// the ends, by one thread of the engine that does nothing else. So they cannot change the
    /// outcome, and one that takes long delays other callbacks only. Whoever waits for the job does
    /// not wait for them; [`Engine::shutdown`](crate::Engine::shutdown) does. A panic in one is
    /// logged.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let job = ThreadJob::new(|| 1, ())
    ///     .on_finished(move |info| tell.send((info.id(), info.status())).unwrap());
    /// let job = engine.submit(job)?;
    /// assert_eq!(told.recv().unwrap(), (job.id(), Status::Done));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn on_finished(mut self, call: impl Fn(&JobInfo) + Send + Sync + 'static) -> Self {
        self.meta_mut().callbacks.on_finished(call);
        self
    }

    /// Notes something with the job, for whoever looks at it, and for
    /// [the job itself](crate::JobContext::attr).
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| 1, ()).attr("customer", 17).attr("eu", true))?;
    /// assert_eq!(job.info().attr("customer").unwrap(), 17);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn attr(mut self, key: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        self.meta_mut().attrs.insert(key.into(), value.into());
        self
    }

    /// The job's id, which it keeps.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = ThreadJob::new(|| (), ());
    /// let id = job.id();
    /// assert_eq!(engine.submit(job)?.id(), id);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn id(&self) -> JobId {
        self.job.head().id()
    }

    /// [`Status::Created`]: everything else comes with submission.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// assert_eq!(ThreadJob::new(|| (), ()).status(), Status::Created);
    /// ```
    #[must_use]
    pub fn status(&self) -> Status {
        self.job.head().status()
    }

    /// The job's future result, as an argument of other jobs; this one can be submitted later
    /// than they.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let a = ThreadJob::new(|| 1, ());
    /// let b = engine.submit(ThreadJob::new(|x: i32| x + 1, (a.output(),)))?;
    /// engine.submit(a)?;
    /// assert_eq!(b.result()?, 2);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn output(&self) -> Output<T> {
        Output { job: Arc::clone(&self.job) }
    }

    pub(crate) fn meta_mut(&mut self) -> &mut Meta {
        self.meta.get_or_insert_default()
    }
}

impl<K, T: 'static> NamesJob for Job<K, T> {
    fn target(&self) -> Target {
        Target::of(&self.job)
    }
}

impl<K, T> std::fmt::Debug for Job<K, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job")
            .field("id", &self.id())
            .field("kind", &self.job.head().kind().name())
            .field("name", &self.meta.as_ref().and_then(|meta| meta.name.as_deref()))
            .finish_non_exhaustive()
    }
}

/// The body of every job whose function runs in the engine's own process.
pub(crate) struct InProcess<F, P, A> {
    function: F,
    args: P,
    types: PhantomData<fn(A)>,
}

impl<F, P, A> InProcess<F, P, A> {
    pub(crate) fn new<X>(function: F, args: X) -> Self
    where
        X: IntoArgs<A, Pack = P>,
    {
        Self { function, args: args.into_args(), types: PhantomData }
    }
}

impl<F, P, A> Body<F::Output> for InProcess<F, P, A>
where
    F: Callable<A>,
    P: ArgPack<A>,
{
    fn visit_upstream(&self, visit: &mut dyn FnMut(Arc<dyn AnyJob>)) {
        self.args.visit_upstream(&mut |upstream| visit(upstream.0));
    }

    fn call(&self, caller: Caller<'_>) -> Result<F::Output, JobError> {
        self.function.call(self.args.get(&caller)?)
    }
}

/// The body of a job whose function can be called once only.
pub(crate) struct Once<F, P, A> {
    function: Mutex<Option<F>>,
    args: P,
    types: PhantomData<fn(A)>,
}

impl<F, P, A> Once<F, P, A> {
    pub(crate) fn new<X>(function: F, args: X) -> Self
    where
        X: IntoArgs<A, Pack = P>,
    {
        Self { function: Mutex::new(Some(function)), args: args.into_args(), types: PhantomData }
    }
}

impl<F, P, A> Body<F::Output> for Once<F, P, A>
where
    F: TryCallableOnce<A>,
    P: ArgPack<A>,
{
    fn visit_upstream(&self, visit: &mut dyn FnMut(Arc<dyn AnyJob>)) {
        self.args.visit_upstream(&mut |upstream| visit(upstream.0));
    }

    fn call(&self, caller: Caller<'_>) -> Result<F::Output, JobError> {
        let args = self.args.get(&caller)?;
        let function = self.function.lock().take();
        // It is started once: neither retries nor reruns are accepted.
        function.ok_or_else(JobError::taken)?.try_call_once(args)
    }

    fn is_repeatable(&self) -> bool {
        false
    }
}
