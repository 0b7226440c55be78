//! A stream, whatever its types.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// What a reader tells the worker that has the stream.
#[derive(Debug)]
pub(crate) enum Word {
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
    pub(crate) credit: usize,
    pub(crate) closed: bool,
}

/// A stream, whatever its types: what the engine and its backends hold.
pub(crate) trait AnyStream: fmt::Debug + Send + Sync {
    /// What a worker may send, as things stand.
    fn opening(&self) -> Opening;

    /// Takes values that a worker sent, one or more, each behind its length. False if they do not
    /// decode; then the stream is closed.
    fn accept(&self, bytes: &[u8]) -> bool;

    /// Takes a value that a worker sent with a number, to be answered.
    fn accept_asked(&self, bytes: &[u8]) -> bool;

    /// Wakes those who wait in the producer: the job is to stop.
    fn wake_producers(&self);

    /// The last handle is gone; true if the stream is closed by that.
    fn handle_gone(&self) -> bool;

    /// How many values may wait.
    fn set_buffer(&self, values: usize);

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}
