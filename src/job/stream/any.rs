//! A stream, whatever its types.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::job::cell::AnyJob;

/// What a reader tells the worker that has the stream. One that has it only since then is not meant.
#[derive(Debug)]
pub(crate) struct Word {
    /// The number of the [`Opening`].
    pub(crate) opening: u32,
    pub(crate) says: Says,
}

/// What is told.
#[derive(Debug)]
pub(crate) enum Says {
    /// It may send so many values more.
    Credit(usize),
    /// What came back for the value that was sent with this number.
    Answer(u32, Vec<u8>),
    /// Nobody reads it any more.
    Close,
}

/// What a worker is told when it is given the job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    /// Which opening of this stream it is.
    pub(crate) number: u32,
    pub(crate) credit: usize,
    pub(crate) closed: bool,
}

/// A stream, whatever its types: what the engine and its backends hold.
pub(crate) trait AnyStream: fmt::Debug + Send + Sync {
    /// The stream is given to a worker: what that may send, as things stand.
    fn opening(&self) -> Opening;

    /// Takes values that a worker sent, one or more, each behind its length. False if they do not
    /// decode; then this run takes no more.
    fn accept(&self, opening: u32, bytes: &[u8]) -> bool;

    /// Takes a value that a worker sent with a number, to be answered.
    fn accept_asked(&self, opening: u32, bytes: &[u8]) -> bool;

    /// Whether there is more than one reader.
    fn is_shared(&self) -> bool;

    /// Wakes those who wait in the producer: the job is to stop.
    fn wake_producers(&self);

    /// The last handle is gone. If the stream is closed by that, gives what its worker is to be told.
    fn handle_gone(&self) -> Option<Word>;

    /// The job runs again: if somebody can read the stream, it is open again.
    fn reopen(&self, job: &dyn AnyJob);

    /// How many values may wait.
    fn set_buffer(&self, values: usize);

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}
