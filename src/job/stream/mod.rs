//! Streams: jobs that yield many values, which are read while the job runs.
//!
//! | module | holds |
//! |---|---|
//! | [`any`] | a stream, whatever its types |
//! | [`channel`] | what a stream's producer and its readers share: values, room, answers |
//! | [`travel`] | how values and answers travel between processes |
//! | [`yielder`] | [`Yield`], the producer's end |
//! | [`reader`] | [`Reader`], the other end, and what a handle of a stream can do |
//! | [`producer`] | the jobs: their bodies and constructors |

mod any;
mod channel;
mod producer;
mod questions;
mod reader;
mod travel;
mod yielder;

pub use producer::{Stream, StreamEnd, Streaming};
pub use reader::Reader;
pub use yielder::{StreamStopped, Yield};

pub(crate) use any::{AnyStream, Opening, Says, Word};
pub(crate) use yielder::{Encode, Outlet, Why, send_by};
