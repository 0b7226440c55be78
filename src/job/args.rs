//! Arguments: a value, or the result of another job, which makes a dependency.

use std::cell::RefCell;
use std::sync::Arc;

use super::cell::{AnyJob, TypedJob};
use super::handle::JobHandle;
use super::panics::drop_quietly;
use crate::condition::{NamesJob, Target};
use crate::error::JobError;
use crate::status::Status;

/// The result of a job that need not be submitted yet, as an argument of another one.
///
/// Made by [`Job::output`](crate::Job::output). Cloning it names the same job.
///
/// ```
/// use executor_engine::prelude::*;
///
/// let engine = Engine::new()?;
/// let first = ThreadJob::new(|| 20, ());
/// let second = engine.submit(ThreadJob::new(|x: i32| x + 1, (first.output(),)))?;
/// engine.submit(first)?; // later than the job that needs it: the order is free
/// assert_eq!(second.result()?, 21);
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub struct Output<T> {
    pub(crate) job: Arc<dyn TypedJob<T>>,
}

impl<T> Clone for Output<T> {
    fn clone(&self) -> Self {
        Self { job: Arc::clone(&self.job) }
    }
}

impl<T> JobHandle<T> {
    /// The job's result as an argument of other jobs; the same as `&handle` there, but owned.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let a = engine.submit(ThreadJob::new(|| 1, ()))?;
    /// let b = engine.submit(ThreadJob::new(|x: i32| x + 1, (a.output(),)))?;
    /// assert_eq!(b.result()?, 2);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn output(&self) -> Output<T> {
        Output { job: Arc::clone(self.job()) }
    }
}

impl<T: 'static> NamesJob for Output<T> {
    fn target(&self) -> Target {
        Target::of(&self.job)
    }
}

impl<T> std::fmt::Debug for Output<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Output").field(&self.job.head().id()).finish()
    }
}

/// One argument of a job: a value, or where it will come from.
///
/// ```
/// # use executor_engine::prelude::*;
/// # use executor_engine::{Arg, IntoArg};
/// # let engine = Engine::new()?;
/// struct Port(JobHandle<u16>);
/// impl IntoArg<u16> for Port {
///     fn into_arg(self) -> Arg<u16> { (&self.0).into_arg() }
/// }
/// let port = Port(engine.submit(ThreadJob::new(|| 8080, ()))?);
/// assert_eq!(engine.submit(ThreadJob::new(|p: u16| p + 1, (port,)))?.result()?, 8081);
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub struct Arg<T>(Source<T>);

enum Source<T> {
    Value(T),
    Job { upstream: Upstream<T>, clone: fn(&T) -> T },
    Many(Box<dyn Gather<T>>),
}

/// Several jobs whose results make one argument, or what else is made when it is wanted.
pub(super) trait Gather<T>: Send {
    fn get(&self, caller: &Caller<'_>) -> Result<T, JobError>;
    fn visit(&self, visit: &mut dyn FnMut(Arc<dyn AnyJob>));
}

/// The results of jobs of one type, in a list.
struct All<E>(Vec<Upstream<E>>);

impl<E: Clone + Send + 'static> Gather<Vec<E>> for All<E> {
    fn get(&self, _caller: &Caller<'_>) -> Result<Vec<E>, JobError> {
        self.0.iter().map(|upstream| upstream.result(E::clone)).collect()
    }

    fn visit(&self, visit: &mut dyn FnMut(Arc<dyn AnyJob>)) {
        for upstream in &self.0 {
            visit(Arc::clone(upstream.job()).into_any_job());
        }
    }
}

impl<T> Arg<T> {
    /// An argument that is made when it is wanted.
    pub(super) fn made(gather: impl Gather<T> + 'static) -> Self {
        Self(Source::Many(Box::new(gather)))
    }

    fn of_job(job: Arc<dyn TypedJob<T>>) -> Self
    where
        T: Clone + 'static,
    {
        Self(Source::Job { upstream: Upstream(Some(job)), clone: T::clone })
    }

    /// The argument's value now: every job it comes from is done.
    fn get(&self, caller: &Caller<'_>) -> Result<T, JobError>
    where
        T: Clone,
    {
        match &self.0 {
            Source::Value(value) => Ok(value.clone()),
            Source::Job { upstream, clone } => upstream.result(*clone),
            Source::Many(jobs) => jobs.get(caller),
        }
    }

    fn visit(&self, visit: &mut dyn FnMut(Arc<dyn AnyJob>))
    where
        T: 'static,
    {
        match &self.0 {
            Source::Value(_) => {}
            Source::Job { upstream, .. } => visit(Arc::clone(upstream.job()).into_any_job()),
            Source::Many(jobs) => jobs.visit(visit),
        }
    }
}

impl<T> std::fmt::Debug for Arg<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Source::Value(_) => f.write_str("Arg::Value"),
            Source::Job { upstream, .. } => write!(f, "Arg::Job({})", upstream.job().head().id()),
            Source::Many(_) => f.write_str("Arg::Many"),
        }
    }
}

/// What can stand for an argument of type `T`: a `T`, a `&JobHandle<T>` or an [`Output<T>`].
///
/// ```
/// use executor_engine::prelude::*;
///
/// let engine = Engine::new()?;
/// let a = engine.submit(ThreadJob::new(|| 2.5_f64, ()))?;
/// let b = ThreadJob::new(|| "x".to_owned(), ());
/// let c = ThreadJob::new(|a: f64, b: String, n: u8| format!("{a}{b}{n}"), (&a, b.output(), 7));
/// let c = engine.submit(c)?;
/// engine.submit(b)?;
/// assert_eq!(c.result()?, "2.5x7");
/// # Ok::<(), executor_engine::Error>(())
/// ```
///
/// The types are checked by the compiler:
/// ```compile_fail,E0277
/// # use executor_engine::prelude::*;
/// # let engine = Engine::new().unwrap();
/// let text = engine.submit(ThreadJob::new(|| "text".to_owned(), ())).unwrap();
/// ThreadJob::new(|x: u64| x, (&text,)); // a String is no u64
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of type `{T}`",
    note = "give a value of that type, a `&JobHandle` of it, or `job.output()` of it; results \
            are cloned for each job that uses them, so they must be `Clone`"
)]
pub trait IntoArg<T> {
    /// Makes it an argument.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::{Arg, IntoArg};
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| 7_u8, ()))?;
    /// let arg: Arg<u8> = (&job).into_arg();
    /// assert_eq!(format!("{arg:?}"), format!("Arg::Job({})", job.id()));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    fn into_arg(self) -> Arg<T>;
}

impl<T> IntoArg<T> for T {
    fn into_arg(self) -> Arg<T> {
        Arg(Source::Value(self))
    }
}

impl<T: Clone + 'static> IntoArg<T> for &JobHandle<T> {
    fn into_arg(self) -> Arg<T> {
        Arg::of_job(Arc::clone(self.job()))
    }
}

impl<T: Clone + 'static> IntoArg<T> for Output<T> {
    fn into_arg(self) -> Arg<T> {
        Arg::of_job(self.job)
    }
}

/// A list of handles is the list of their results.
///
/// ```
/// use executor_engine::prelude::*;
///
/// let engine = Engine::new()?;
/// let parts = engine.submit_all((1..=4).map(|i| ThreadJob::new(|x: u64| x * x, (i,))))?;
/// let sum = engine.submit(ThreadJob::new(|parts: Vec<u64>| parts.iter().sum::<u64>(), (&parts,)))?;
/// assert_eq!(sum.result()?, 30);
/// # Ok::<(), executor_engine::Error>(())
/// ```
impl<T: Clone + Send + 'static> IntoArg<Vec<T>> for &[JobHandle<T>] {
    fn into_arg(self) -> Arg<Vec<T>> {
        let jobs = self.iter().map(|handle| Upstream(Some(Arc::clone(handle.job()))));
        Arg(Source::Many(Box::new(All(jobs.collect()))))
    }
}

impl<T: Clone + Send + 'static> IntoArg<Vec<T>> for &Vec<JobHandle<T>> {
    fn into_arg(self) -> Arg<Vec<T>> {
        self.as_slice().into_arg()
    }
}

/// A tuple of [`IntoArg`]s that stands for the argument tuple `A`.
///
/// ```
/// # use executor_engine::prelude::*;
/// # use executor_engine::IntoArgs;
/// # let engine = Engine::new()?;
/// fn sum(engine: &Engine, args: impl IntoArgs<(u32, u32)>) -> Result<u32, JobError> {
///     engine.submit(ThreadJob::new(|x: u32, y: u32| x + y, args)).unwrap().result()
/// }
/// let one = engine.submit(ThreadJob::new(|| 1, ()))?;
/// assert_eq!(sum(&engine, (&one, 2))?, 3);
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub trait IntoArgs<A> {
    /// The arguments as the job keeps them.
    type Pack: ArgPack<A>;

    /// Makes them arguments.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::IntoArgs;
    /// let (x, y) = IntoArgs::<(u8, String)>::into_args((1, "one".to_owned()));
    /// assert_eq!(format!("{x:?} {y:?}"), "Arg::Value Arg::Value");
    /// ```
    fn into_args(self) -> Self::Pack;
}

/// The arguments of a job as it keeps them until it runs.
///
/// ```
/// # use executor_engine::prelude::*;
/// # use executor_engine::{Arg, ArgPack, IntoArgs};
/// fn keep<P: ArgPack<(u8, u8)>>(args: impl IntoArgs<(u8, u8), Pack = P>) -> P {
///     args.into_args()
/// }
/// assert_eq!(format!("{:?}", keep((1, 2)).0), "Arg::Value");
/// ```
pub trait ArgPack<A>: Send + 'static {
    /// The arguments' values; called when every job they come from is done.
    ///
    /// # Errors
    /// A result that was moved out before.
    fn get(&self, caller: &Caller<'_>) -> Result<A, JobError>;

    /// Visits the jobs that arguments come from.
    #[doc(hidden)]
    fn visit_upstream(&self, visit: &mut dyn FnMut(Upstreams));
}

/// The job whose arguments are wanted; opaque.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Caller<'a>(pub(crate) &'a Arc<dyn AnyJob>);

impl std::fmt::Debug for Caller<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Caller").field(&self.0.head().id()).finish()
    }
}

/// A job that an argument comes from; opaque.
#[doc(hidden)]
pub struct Upstreams(pub(crate) Arc<dyn AnyJob>);

impl std::fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Upstreams").field(&self.0.head().id()).finish()
    }
}

macro_rules! arg_tuple {
    ($($t:ident $x:ident)*) => {
        impl<$($t, $x),*> IntoArgs<($($t,)*)> for ($($x,)*)
        where
            $($t: Clone + Send + 'static, $x: IntoArg<$t>,)*
        {
            type Pack = ($(Arg<$t>,)*);

            #[allow(non_snake_case, clippy::unused_unit, reason = "one macro for all lengths")]
            fn into_args(self) -> Self::Pack {
                let ($($x,)*) = self;
                ($($x.into_arg(),)*)
            }
        }

        impl<$($t: Clone + Send + 'static),*> ArgPack<($($t,)*)> for ($(Arg<$t>,)*) {
            #[allow(
                non_snake_case,
                unused_variables,
                clippy::unused_unit,
                reason = "one macro for all lengths"
            )]
            fn get(&self, caller: &Caller<'_>) -> Result<($($t,)*), JobError> {
                let ($($x,)*) = self;
                Ok(($($x.get(caller)?,)*))
            }

            #[allow(non_snake_case, unused_variables, reason = "one macro for all lengths")]
            fn visit_upstream(&self, visit: &mut dyn FnMut(Upstreams)) {
                let ($($x,)*) = self;
                $($x.visit(&mut |job| visit(Upstreams(job)));)*
            }
        }
    };
}

arg_tuple!();
arg_tuple!(T1 X1);
arg_tuple!(T1 X1 T2 X2);
arg_tuple!(T1 X1 T2 X2 T3 X3);
arg_tuple!(T1 X1 T2 X2 T3 X3 T4 X4);
arg_tuple!(T1 X1 T2 X2 T3 X3 T4 X4 T5 X5);
arg_tuple!(T1 X1 T2 X2 T3 X3 T4 X4 T5 X5 T6 X6);
arg_tuple!(T1 X1 T2 X2 T3 X3 T4 X4 T5 X5 T6 X6 T7 X7);
arg_tuple!(T1 X1 T2 X2 T3 X3 T4 X4 T5 X5 T6 X6 T7 X7 T8 X8);
arg_tuple!(T1 X1 T2 X2 T3 X3 T4 X4 T5 X5 T6 X6 T7 X7 T8 X8 T9 X9);
arg_tuple!(T1 X1 T2 X2 T3 X3 T4 X4 T5 X5 T6 X6 T7 X7 T8 X8 T9 X9 T10 X10);
arg_tuple!(T1 X1 T2 X2 T3 X3 T4 X4 T5 X5 T6 X6 T7 X7 T8 X8 T9 X9 T10 X10 T11 X11);
arg_tuple!(T1 X1 T2 X2 T3 X3 T4 X4 T5 X5 T6 X6 T7 X7 T8 X8 T9 X9 T10 X10 T11 X11 T12 X12);

/// A reference from an argument to its job.
///
/// Jobs refer to jobs, so the last reference to the end of a chain would drop the chain by
/// recursion and overflow the stack at some hundred thousand jobs. Instead, dropping one puts
/// the job into a list of this thread, and the outermost drop empties the list in a loop.
struct Upstream<T>(Option<Arc<dyn TypedJob<T>>>);

impl<T> Upstream<T> {
    fn job(&self) -> &Arc<dyn TypedJob<T>> {
        self.0.as_ref().expect("an upstream is there until it is dropped")
    }

    /// The job's result. The dispatcher starts a job only when its upstreams are done; a result
    /// can be gone since by `take`, or because the job runs again.
    fn result(&self, clone: fn(&T) -> T) -> Result<T, JobError> {
        let mut value = None;
        self.job().with_result(&mut |result| value = result.map(clone));
        value.ok_or_else(|| {
            let head = self.job().head();
            match head.status() {
                Status::Done => JobError::taken(),
                status => JobError::without_argument(head.id(), status),
            }
        })
    }
}

/// Jobs that wait to be let go by the outermost drop of this thread.
struct Dropping {
    jobs: Vec<Arc<dyn AnyJob>>,
    active: bool,
}

thread_local! {
    static DROPPING: RefCell<Dropping> = const {
        RefCell::new(Dropping { jobs: Vec::new(), active: false })
    };
}

impl<T> Drop for Upstream<T> {
    fn drop(&mut self) {
        let Some(job) = self.0.take() else { return };
        let job: Arc<dyn AnyJob> = job.into_any_job();
        let outermost = DROPPING.try_with(|list| {
            let mut list = list.borrow_mut();
            list.jobs.push(job);
            !std::mem::replace(&mut list.active, true)
        });
        if outermost != Ok(true) {
            return;
        }
        while let Ok(Some(next)) = DROPPING.try_with(|list| list.borrow_mut().jobs.pop()) {
            // A panic in one value's drop must not keep the rest.
            drop_quietly(next);
        }
        let _ = DROPPING.try_with(|list| list.borrow_mut().active = false);
    }
}
