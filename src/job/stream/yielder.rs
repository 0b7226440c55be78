//! [`Yield`]: the producer's end of a stream.

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::channel::Channel;
use crate::job::cell::AnyJob;
use crate::wire::codec::{self, CodecError};

/// The producer's end of a stream: the first argument of a stream job's function, which sends
/// values of type `Y` by it. Readers can answer with values of type `S`.
///
/// Cheap to clone; can be sent to other threads of the job. It is of use as long as the job's
/// function runs.
///
/// ```
/// use executor_engine::prelude::*;
///
/// let engine = Engine::new()?;
/// let squares = |out: Yield<u64>, n: u64| {
///     for i in 0..n {
///         out.send(i * i)?; // waits for room; fails when nobody reads any more
///     }
///     Ok(())
/// };
/// let job = engine.submit(ThreadJob::stream(squares, (4,)))?;
/// let values: Result<Vec<u64>, JobError> = job.iter().collect();
/// assert_eq!(values?, [0, 1, 4, 9]);
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub struct Yield<Y, S = ()>(Inner<Y, S>);

enum Inner<Y, S> {
    /// In the engine's process.
    Here { job: Arc<dyn AnyJob>, run: u32, channel: Arc<Channel<Y, S>> },
    /// On the way to a worker process.
    Sent { capacity: usize },
    /// In a worker process.
    There { pulled: bool, stream: u32, there: There<Y, S> },
}

/// How values and answers travel from and to a worker.
struct There<Y, S> {
    encode: fn(&Y, &mut Vec<u8>) -> Result<(), CodecError>,
    decode: fn(&[u8]) -> Result<Option<S>, CodecError>,
}

impl<Y, S> Clone for There<Y, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Y, S> Copy for There<Y, S> {}

/// Appends an encoded value.
pub(crate) type Encode<'a> = &'a mut dyn FnMut(&mut Vec<u8>) -> Result<(), CodecError>;

/// The encoded answer of a value, if one was asked for.
pub(crate) type Answered = Option<Vec<u8>>;

/// How streams send in a worker process.
#[derive(Clone, Copy)]
pub(crate) struct Outlet {
    /// The number of the stream that the process is at.
    pub(crate) current: fn() -> u32,
    /// Sends a value of that stream: at once if it is to be answered, and the answer comes back.
    pub(crate) send: fn(u32, Encode<'_>, asked: bool) -> Result<Answered, StreamStopped>,
}

static OUTLET: OnceLock<Outlet> = OnceLock::new();

/// From now on, streams in this worker process send so.
pub(crate) fn send_by(outlet: Outlet) {
    let _ = OUTLET.set(outlet);
}

/// Why a stream's producer can send no more: nobody reads it, or the job is to stop. Functions of
/// streams return it by `?`, and that is no failure: a job whose readers have gone is done when its
/// function has returned.
///
/// ```
/// use executor_engine::prelude::*;
///
/// let engine = Engine::new()?;
/// let endless = |out: Yield<u64>| {
///     for i in 0.. {
///         out.send(i)?;
///     }
///     Ok(())
/// };
/// let job = engine.submit(ThreadJob::stream(endless, ()))?;
/// let first: Vec<u64> = job.iter().take(3).map(Result::unwrap).collect();
/// assert_eq!(first, [0, 1, 2]);
/// job.wait()?; // `iter()` was dropped, so the producer ends
/// assert_eq!(job.status(), Status::Done);
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamStopped(pub(crate) Why);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// No reader is left.
    Unread,
    /// The job was cancelled, or takes too long.
    ToStop,
    /// The job's function has returned.
    Over,
    /// The value cannot travel.
    Codec(String),
}

impl StreamStopped {
    /// No reader is left.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let watch = |out: Yield<u8>| loop {
    ///     if let Err(stopped) = out.send(1) {
    ///         assert!(stopped.is_unread() && !stopped.is_cancelled());
    ///         return Err(stopped);
    ///     }
    /// };
    /// let job = engine.submit(ThreadJob::stream(watch, ()))?;
    /// drop(job.iter());
    /// job.take()?;
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_unread(&self) -> bool {
        self.0 == Why::Unread
    }

    /// The job is to stop: it was cancelled, or it takes too long.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let endless = move |out: Yield<u8>| {
    ///     let stopped = (0..).find_map(|_| out.send(1).err()).unwrap();
    ///     tell.send(stopped.is_cancelled()).unwrap();
    /// };
    /// let job = engine.submit(ThreadJob::stream(endless, ()))?;
    /// let mut values = job.iter();
    /// assert_eq!(values.next().unwrap()?, 1);
    /// job.cancel();
    /// assert!(told.recv().unwrap());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0 == Why::ToStop
    }
}

impl fmt::Display for StreamStopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Why::Unread => f.write_str("nobody reads the stream any more"),
            Why::ToStop => f.write_str("the stream's job is to stop"),
            Why::Over => f.write_str("the stream's job has ended"),
            Why::Codec(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for StreamStopped {}

impl<Y: Send + 'static, S: Send + 'static> Yield<Y, S> {
    pub(super) fn here(job: &Arc<dyn AnyJob>, channel: &Arc<Channel<Y, S>>) -> Self {
        let run = job.head().run();
        Self(Inner::Here { job: Arc::clone(job), run, channel: Arc::clone(channel) })
    }

    pub(super) fn sent(channel: &Channel<Y, S>) -> Self {
        Self(Inner::Sent { capacity: channel.capacity() })
    }

    /// Sends a value. Blocks until there is room for it in the [buffer](crate::Job::buffer); with
    /// a buffer of 0, until a reader comes for the value after it.
    ///
    /// # Errors
    /// Nobody reads the stream any more, or the job is to stop: return.
    ///
    /// In a worker process also if the value cannot travel: it does not encode, or is larger than
    /// [`max_message_bytes`](crate::EngineBuilder::max_message_bytes). Then it takes no room, and
    /// other values can be sent after it.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let words = |out: Yield<String>| {
    ///     out.send("one".into())?;
    ///     out.send("two".into())
    /// };
    /// let job = engine.submit(ThreadJob::stream(words, ()))?;
    /// assert_eq!(job.iter().last().unwrap()?, "two");
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn send(&self, value: Y) -> Result<(), StreamStopped> {
        match &self.0 {
            Inner::Here { job, run, channel } => channel.send(job, *run, value, false).map(drop),
            Inner::There { pulled, stream, there } => {
                there.send(*stream, &value, *pulled).map(drop)
            }
            Inner::Sent { .. } => Err(StreamStopped(Why::Over)),
        }
    }

    /// Sends a value and blocks until a reader comes for the next one; gives what it
    /// [sent](super::Reader::send), or `None` if it only came for the next.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let total = |out: Yield<i64, i64>| {
    ///     let mut sum = 0;
    ///     while let Some(next) = out.ask(sum)? {
    ///         sum += next;
    ///     }
    ///     Ok(())
    /// };
    /// let job = engine.submit(ThreadJob::stream(total, ()))?;
    /// let mut reader = job.iter();
    /// assert_eq!(reader.next().unwrap()?, 0);
    /// assert_eq!(reader.send(5).unwrap()?, 5);
    /// assert_eq!(reader.send(2).unwrap()?, 7);
    /// assert!(reader.next().is_none());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn ask(&self, value: Y) -> Result<Option<S>, StreamStopped> {
        match &self.0 {
            Inner::Here { job, run, channel } => channel.send(job, *run, value, true),
            Inner::There { stream, there, .. } => there.send(*stream, &value, true),
            Inner::Sent { .. } => Err(StreamStopped(Why::Over)),
        }
    }
}

impl<Y, S> There<Y, S> {
    fn send(&self, stream: u32, value: &Y, asked: bool) -> Result<Option<S>, StreamStopped> {
        let outlet = OUTLET.get().ok_or(StreamStopped(Why::Over))?;
        match (outlet.send)(stream, &mut |out| (self.encode)(value, out), asked)? {
            Some(bytes) => (self.decode)(&bytes).map_err(|error| {
                StreamStopped(Why::Codec(format!("the answer does not decode: {error}")))
            }),
            None => Ok(None),
        }
    }
}

impl<Y, S> Clone for Yield<Y, S> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Inner::Here { job, run, channel } => {
                Inner::Here { job: Arc::clone(job), run: *run, channel: Arc::clone(channel) }
            }
            Inner::Sent { capacity } => Inner::Sent { capacity: *capacity },
            Inner::There { pulled, stream, there } => {
                Inner::There { pulled: *pulled, stream: *stream, there: *there }
            }
        })
    }
}

/// A stream's end travels to its own worker process, and nowhere else.
impl<Y, S> Serialize for Yield<Y, S> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        match &self.0 {
            Inner::Sent { capacity } => (*capacity == 0).serialize(serializer),
            _ => Err(serde::ser::Error::custom("a stream's end stays where its producer runs")),
        }
    }
}

impl<'de, Y: Serialize, S: DeserializeOwned> Deserialize<'de> for Yield<Y, S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let there = There { encode: |value, out| codec::encode(value, out), decode: codec::decode };
        let stream = OUTLET.get().map_or(0, |outlet| (outlet.current)());
        Ok(Self(Inner::There { pulled: bool::deserialize(deserializer)?, stream, there }))
    }
}

impl<Y, S> fmt::Debug for Yield<Y, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Yield").finish_non_exhaustive()
    }
}
