//! [`Job<K, T>`]: what every job has, plus `K`, what only its kind has.

use std::marker::PhantomData;
use std::sync::Arc;

use super::args::{ArgPack, IntoArgs, Output};
use super::cell::{AnyJob, Body, JobCell, TypedJob};
use super::head::{KindId, Meta};
use crate::condition::{Condition, NamesJob, Target};
use crate::error::JobError;
use crate::id::JobId;
use crate::status::Status;
use crate::task::Callable;

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
    kind: PhantomData<fn() -> K>,
}

impl<K, T> Job<K, T> {
    pub(crate) fn with_body<B>(kind: KindId, body: B) -> Self
    where
        T: Send + 'static,
        B: Body<T> + 'static,
    {
        Self { job: JobCell::shared(kind, body), meta: None, kind: PhantomData }
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
        let meta = self.meta_mut();
        meta.condition = Some(match meta.condition.take() {
            Some(first) => first & condition,
            None => condition,
        });
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

    /// The condition, which the dispatcher is to have.
    pub(crate) fn take_condition(&mut self) -> Option<Condition> {
        self.meta.as_mut()?.condition.take()
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

    fn call(&self) -> Result<F::Output, JobError> {
        self.function.call(self.args.get()?)
    }
}
