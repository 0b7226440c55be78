//! The jobs that are streams: their bodies and constructors.

use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::any::AnyStream;
use super::channel::Channel;
use super::travel::Codec;
use super::yielder::{StreamStopped, Yield};
use crate::error::JobError;
use crate::job::args::{ArgPack, Caller, IntoArgs};
use crate::job::builder::Job;
use crate::job::cell::{AnyJob, Body};
use crate::job::kind::KindId;
use crate::job::local::Local;
use crate::job::process::Process;
use crate::job::thread::Thread;
use crate::task::{Callable, Fallible, Task, TaskDef, TryCallable};
use crate::wire::codec;

/// What a stream job's handle is a handle of: `JobHandle<Stream<Y, S>>`, for values of type `Y`
/// and answers of type `S`. It holds nothing: the values are read by
/// [`iter`](crate::JobHandle::iter), while the job runs.
///
/// ```
/// use executor_engine::{Stream, prelude::*};
///
/// let engine = Engine::new()?;
/// let count = |out: Yield<u32>, n: u32| (0..n).try_for_each(|i| out.send(i));
/// let job: JobHandle<Stream<u32>> = engine.submit(ThreadJob::stream(count, (5,)))?;
/// assert_eq!(job.iter().count(), 5);
/// # Ok::<(), executor_engine::Error>(())
/// ```
///
/// So as an argument of another job it says that the stream has ended, and no more. What is to have
/// the values is given a reader:
/// ```
/// # use executor_engine::prelude::*;
/// # let engine = Engine::new()?;
/// let count = |out: Yield<u64>, n: u64| (0..n).try_for_each(|i| out.send(i));
/// let job = engine.submit(ThreadJob::stream(count, (100,)))?;
/// let values = job.iter();
/// let sum = engine.submit(ThreadJob::try_once(move || values.sum::<Result<u64, JobError>>(), ()))?;
/// assert_eq!(sum.result()?, 4950);
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct Stream<Y, S = ()>(PhantomData<fn() -> (Y, S)>);

impl<Y, S> Clone for Stream<Y, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Y, S> Copy for Stream<Y, S> {}

/// The arguments of a stream's function: a tuple that begins with a [`Yield`]. Implemented for all
/// of them, up to twelve.
///
/// ```
/// # use executor_engine::prelude::*;
/// # use executor_engine::{Callable, Streaming};
/// # let engine = Engine::new()?;
/// fn first<F, A>(engine: &Engine, what: F) -> Result<A::Item, JobError>
/// where
///     F: Callable<A, Output = ()>,
///     A: Streaming<Answer = (), Rest = ()>,
/// {
///     engine.submit(ThreadJob::stream(what, ())).unwrap().iter().next().unwrap()
/// }
/// assert_eq!(first(&engine, |out: Yield<u8>| drop(out.send(7)))?, 7);
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub trait Streaming: Send + 'static {
    /// What the stream yields.
    type Item: Send + 'static;
    /// What readers answer.
    type Answer: Send + 'static;
    /// The other arguments.
    type Rest: 'static;

    /// Puts them together.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::Streaming;
    /// # let engine = Engine::new()?;
    /// let joins = |out: Yield<u8>| {
    ///     let (out, n) = <(Yield<u8>, u8)>::join(out, (7,));
    ///     out.send(n)
    /// };
    /// let job = engine.submit(ThreadJob::stream(joins, ()))?;
    /// assert_eq!(job.iter().next().unwrap()?, 7);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    fn join(out: Yield<Self::Item, Self::Answer>, rest: Self::Rest) -> Self;
}

macro_rules! streaming {
    ($($t:ident)*) => {
        impl<Y: Send + 'static, S: Send + 'static, $($t: Send + 'static),*> Streaming
            for (Yield<Y, S>, $($t,)*)
        {
            type Item = Y;
            type Answer = S;
            type Rest = ($($t,)*);

            #[allow(non_snake_case, reason = "the type parameters name the arguments")]
            fn join(out: Yield<Y, S>, ($($t,)*): ($($t,)*)) -> Self {
                (out, $($t,)*)
            }
        }
    };
}

streaming!();
streaming!(A1);
streaming!(A1 A2);
streaming!(A1 A2 A3);
streaming!(A1 A2 A3 A4);
streaming!(A1 A2 A3 A4 A5);
streaming!(A1 A2 A3 A4 A5 A6);
streaming!(A1 A2 A3 A4 A5 A6 A7);
streaming!(A1 A2 A3 A4 A5 A6 A7 A8);
streaming!(A1 A2 A3 A4 A5 A6 A7 A8 A9);
streaming!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10);
streaming!(A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11);

/// What the function of a stream returns: nothing, or `Result<(), StreamStopped>`, so that `?` does
/// on its sends. Implemented for these two.
///
/// ```
/// # use executor_engine::prelude::*;
/// # let engine = Engine::new()?;
/// let silent = |_: Yield<u8>| (); // nothing
/// let one = |out: Yield<u8>| out.send(1); // a `Result<(), StreamStopped>`
/// assert_eq!(engine.submit(ThreadJob::stream(silent, ()))?.iter().count(), 0);
/// assert_eq!(engine.submit(ThreadJob::stream(one, ()))?.iter().count(), 1);
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "a stream's function cannot return `{Self}`",
    note = "return `Result<(), StreamStopped>`, as `out.send(..)?` and `Ok(())` make it; for a \
            function that can fail in other ways there is `try_stream`"
)]
pub trait StreamEnd {
    /// How the function ended.
    ///
    /// # Errors
    /// It was stopped.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::StreamEnd;
    /// assert!(().end().is_ok());
    /// assert!(Ok::<(), StreamStopped>(()).end().is_ok());
    /// ```
    fn end(self) -> Result<(), StreamStopped>;
}

impl StreamEnd for () {
    fn end(self) -> Result<(), StreamStopped> {
        Ok(())
    }
}

impl StreamEnd for Result<(), StreamStopped> {
    fn end(self) -> Result<(), StreamStopped> {
        self
    }
}

/// The body of a stream.
struct Producer<F, P, A: Streaming> {
    function: F,
    args: P,
    channel: Arc<Channel<A::Item, A::Answer>>,
}

impl<F, P, A> Producer<F, P, A>
where
    F: Callable<A>,
    F::Output: StreamEnd,
    P: ArgPack<A::Rest>,
    A: Streaming,
{
    fn run(&self, caller: Caller<'_>) -> Result<Stream<A::Item, A::Answer>, JobError> {
        struct End<'a, Y: Send + 'static, S: Send + 'static>(&'a Channel<Y, S>);
        impl<Y: Send + 'static, S: Send + 'static> Drop for End<'_, Y, S> {
            fn drop(&mut self) {
                self.0.end();
            }
        }
        let rest = self.args.get(&caller)?;
        let out = Yield::here(caller.0, &self.channel);
        self.channel.begin(caller.0.head().run());
        let _end = End(&self.channel);
        let ended = self
            .function
            .call(A::join(out, rest))
            .and_then(|end| end.end().map_err(|stopped| JobError::failure(Box::new(stopped))));
        match ended {
            Err(error) if !(error.is_caused_by::<StreamStopped>() && self.channel.is_closed()) => {
                Err(error)
            }
            // That nobody reads on is no failure.
            _ => Ok(Stream(PhantomData)),
        }
    }
}

impl<F, P, A> Body<Stream<A::Item, A::Answer>> for Producer<F, P, A>
where
    F: Callable<A>,
    F::Output: StreamEnd,
    P: ArgPack<A::Rest>,
    A: Streaming,
{
    fn visit_upstream(&self, visit: &mut dyn FnMut(Arc<dyn AnyJob>)) {
        self.args.visit_upstream(&mut |upstream| visit(upstream.0));
    }

    fn call(&self, caller: Caller<'_>) -> Result<Stream<A::Item, A::Answer>, JobError> {
        self.run(caller)
    }
}

/// The body of a stream in a worker process.
struct Remote<P, A>
where
    P: Task<Result = ()>,
    P::Args: Streaming,
{
    task: P,
    args: A,
    channel: Arc<Channel<Item<P>, Answer<P>>>,
}

type Item<P> = <<P as Task>::Args as Streaming>::Item;
type Answer<P> = <<P as Task>::Args as Streaming>::Answer;
type Rest<P> = <<P as Task>::Args as Streaming>::Rest;

impl<P, A> Body<Stream<Item<P>, Answer<P>>> for Remote<P, A>
where
    P: Task<Result = ()>,
    P::Args: Streaming,
    A: ArgPack<Rest<P>>,
{
    fn visit_upstream(&self, visit: &mut dyn FnMut(Arc<dyn AnyJob>)) {
        self.args.visit_upstream(&mut |upstream| visit(upstream.0));
    }

    fn call(&self, _caller: Caller<'_>) -> Result<Stream<Item<P>, Answer<P>>, JobError> {
        Err(JobError::codec("this job runs in a worker process".into()))
    }

    fn task(&self) -> Option<&'static TaskDef> {
        Some(self.task.definition())
    }

    fn encode_args(&self, caller: Caller<'_>, out: &mut Vec<u8>) -> Result<(), JobError> {
        let args = P::Args::join(Yield::sent(&self.channel), self.args.get(&caller)?);
        codec::encode(&args, out).map_err(|error| {
            JobError::codec(format!(
                "the arguments of task {} do not encode: {error}; give it types that serialize",
                self.task.name()
            ))
        })
    }

    fn decode_result(&self, _bytes: &[u8]) -> Result<Stream<Item<P>, Answer<P>>, JobError> {
        match self.channel.fault() {
            Some(error) => Err(error),
            None => Ok(Stream(PhantomData)),
        }
    }
}

fn in_process<K, F, A, X>(kind: KindId, what: F, args: X) -> Job<K, Stream<A::Item, A::Answer>>
where
    F: Callable<A>,
    F::Output: StreamEnd,
    A: Streaming,
    X: IntoArgs<A::Rest>,
{
    let channel = Channel::shared(None);
    let body: Producer<_, _, A> =
        Producer { function: what, args: args.into_args(), channel: Arc::clone(&channel) };
    Job::with_body(kind, body).streaming(channel)
}

impl<K, T> Job<K, T> {
    fn streaming(mut self, channel: Arc<dyn AnyStream>) -> Self {
        self.meta_mut().stream = Some(channel);
        self
    }
}

impl<Y: Send + 'static, S: Send + 'static> Job<Thread, Stream<Y, S>> {
    /// A stream: the function gets a [`Yield`] as its first argument and sends values by it, which
    /// [`JobHandle::iter`](crate::JobHandle::iter) reads while it runs.
    ///
    /// The function may only end by itself, or because a send says that it is to; for one that can
    /// fail otherwise there is [`try_stream`](Self::try_stream). Tasks do in either case.
    ///
    /// It runs on a thread of its own, one of those for [blocking](Job::blocking) jobs, since it
    /// waits for its reader; while it does so, other jobs may run in its stead. So streams never fill
    /// the pool, and any number of them can be read in turn.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let count = |out: Yield<u64>, n: u64| {
    ///     for i in 0..n {
    ///         out.send(i)?;
    ///     }
    ///     Ok(())
    /// };
    /// let job = engine.submit(ThreadJob::stream(count, (10,)))?;
    /// let values = job.iter().collect::<Result<Vec<u64>, JobError>>()?;
    /// assert_eq!(values, (0..10).collect::<Vec<_>>());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn stream<F, A, X>(what: F, args: X) -> Self
    where
        F: Callable<A>,
        F::Output: StreamEnd,
        A: Streaming<Item = Y, Answer = S>,
        X: IntoArgs<A::Rest>,
    {
        in_process(KindId::Blocking, what, args)
    }

    /// As [`stream`](Self::stream), for a closure returning a `Result` of any error; an `Err` fails
    /// the job, and is what the reader gets after the values.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// type Boxed = Box<dyn std::error::Error + Send + Sync>;
    /// let lines = |out: Yield<u32>| -> Result<(), Boxed> {
    ///     for text in ["1", "2", "x"] {
    ///         out.send(text.parse()?)?;
    ///     }
    ///     Ok(())
    /// };
    /// let job = engine.submit(ThreadJob::try_stream(lines, ()))?;
    /// let values: Vec<_> = job.iter().collect();
    /// assert_eq!(values.len(), 3);
    /// assert_eq!(values[2].as_ref().unwrap_err().message(), "invalid digit found in string");
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn try_stream<F, A, X>(what: F, args: X) -> Self
    where
        F: TryCallable<A, Output = ()>,
        A: Streaming<Item = Y, Answer = S>,
        X: IntoArgs<A::Rest>,
    {
        in_process(KindId::Blocking, Fallible(what), args)
    }
}

impl<Y: Send + 'static, S: Send + 'static> Job<Local, Stream<Y, S>> {
    /// A stream whose function runs on the lane: [`ThreadJob::stream`](crate::ThreadJob)
    /// has the details. It has the lane until its end: no other local job runs meanwhile, so two
    /// local streams cannot be read in turn, and a local job that reads a local stream is told
    /// that it would wait for ever.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let count = |out: Yield<u32>, n: u32| (0..n).try_for_each(|i| out.send(i));
    /// let job = engine.submit(LocalJob::stream(count, (3,)))?;
    /// assert_eq!(job.iter().sum::<Result<u32, JobError>>()?, 3);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn stream<F, A, X>(what: F, args: X) -> Self
    where
        F: Callable<A>,
        F::Output: StreamEnd,
        A: Streaming<Item = Y, Answer = S>,
        X: IntoArgs<A::Rest>,
    {
        in_process(KindId::Local, what, args)
    }

    /// As [`stream`](Self::stream), for a closure returning a `Result` of any error; an `Err` fails
    /// the job, and is what the reader gets after the values.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let bad = |_: Yield<u32>| Err::<(), _>("nothing to send");
    /// let job = engine.submit(LocalJob::try_stream(bad, ()))?;
    /// assert_eq!(job.iter().next().unwrap().unwrap_err().message(), "nothing to send");
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn try_stream<F, A, X>(what: F, args: X) -> Self
    where
        F: TryCallable<A, Output = ()>,
        A: Streaming<Item = Y, Answer = S>,
        X: IntoArgs<A::Rest>,
    {
        in_process(KindId::Local, Fallible(what), args)
    }
}

impl<Y: Send + 'static, S: Send + 'static> Job<Process, Stream<Y, S>> {
    /// A stream from a worker process: a task that takes a [`Yield`] as its first argument.
    ///
    /// The worker sends as many values ahead as the [buffer](Job::buffer) has room for, several at
    /// once if they come fast, and serves no other job meanwhile. While it waits for the reader it
    /// does not count as busy, so another worker may run, if need be one more than the limit.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// #[task]
    /// fn count(out: Yield<u64>, n: u64) -> Result<(), StreamStopped> {
    ///     for i in 0..n {
    ///         out.send(i)?;
    ///     }
    ///     Ok(())
    /// }
    ///
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ProcessJob::stream(count, (1000,)))?;
    /// assert_eq!(job.iter().sum::<Result<u64, JobError>>()?, 499_500);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn stream<P, X>(task: P, args: X) -> Self
    where
        P: Task<Result = ()>,
        P::Args: Streaming<Item = Y, Answer = S>,
        X: IntoArgs<Rest<P>>,
        Y: DeserializeOwned,
        S: Serialize,
    {
        let channel = Channel::shared(Some(Codec::new()));
        let body = Remote { task, args: args.into_args(), channel: Arc::clone(&channel) };
        Self::with_body(KindId::Process, body).streaming(channel)
    }
}
