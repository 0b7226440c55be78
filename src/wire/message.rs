//! What engine and fork server say to each other, and the kinds of frames.
//!
//! Engine and worker speak in frames whose bytes need no further wrapping: a request is the
//! task's name and the encoded arguments, a reply the encoded result or a text. Engine and fork
//! server speak rarely, in encoded messages.

use serde::{Deserialize, Serialize};

use super::codec::{self, CodecError};
use super::frame::{HEADER, Header};

/// The version of everything in this module, [`frame`](super::frame) and
/// [`claims`](super::claims).
pub(crate) const PROTOCOL: u32 = 4;

/// The longest control message: what a process's environment can hold, and some.
pub(crate) const CONTROL_CAP: u64 = 16 << 20;

/// A frame with a control message.
pub(crate) const CONTROL: u8 = 0x10;

/// A request: the name of a task, of `extra` bytes, and its encoded arguments. Its kind may have
/// [`PLACED`] and [`STREAM`] in it.
pub(crate) const REQUEST: u8 = 0x20;
/// In a request's kind: it has a place to run in. Between name and arguments there is the length of
/// an encoded [`Place`](crate::files::Place), in four bytes, and that.
pub(crate) const PLACED: u8 = 0b01;
/// In a request's kind: its task is a stream. Until its reply, only words on the stream follow it.
pub(crate) const STREAM: u8 = 0b10;

/// A word on a stream: so many values more may be sent; a number of 32 bits.
pub(crate) const STREAM_CREDIT: u8 = 0x28;
/// A word on a stream: the number of a value, 32 bits, and what its sender is answered, encoded.
pub(crate) const STREAM_ANSWER: u8 = 0x29;
/// A word on a stream: nobody reads it any more.
pub(crate) const STREAM_CLOSE: u8 = 0x2A;

/// Whether it is a request.
pub(crate) fn is_request(kind: u8) -> bool {
    kind & !(PLACED | STREAM) == REQUEST
}

/// Whether it is a word on a stream, which comes too late if that has ended.
pub(crate) fn is_stream_word(kind: u8) -> bool {
    matches!(kind, STREAM_CREDIT | STREAM_ANSWER | STREAM_CLOSE)
}

/// A reply: the encoded result.
pub(crate) const REPLY_OK: u8 = 0x30;
/// A reply: the task returned an error; its text.
pub(crate) const REPLY_FAILED: u8 = 0x31;
/// A reply: the task panicked; an encoded [`PanicInfo`](crate::error::PanicInfo).
pub(crate) const REPLY_PANICKED: u8 = 0x32;
/// A reply: arguments or result could not be decoded or encoded; a text.
pub(crate) const REPLY_CODEC: u8 = 0x33;
/// A reply: the request was taken back and did not run.
pub(crate) const REPLY_SKIPPED: u8 = 0x34;
/// A reply: the request's place could not be had, and the task was not called; a text.
pub(crate) const REPLY_NO_PLACE: u8 = 0x35;

/// No reply, but a word before it: how far the job is, an encoded
/// [`Progress`](crate::info::Progress).
pub(crate) const NOTE_PROGRESS: u8 = 0x40;
/// No reply, but `extra` values of a stream, each behind its length, a number of 32 bits.
pub(crate) const NOTE_VALUES: u8 = 0x41;
/// No reply, but one value of a stream, behind a number of 32 bits under which it is to be answered.
pub(crate) const NOTE_ASKING: u8 = 0x42;

/// What the engine tells the fork server.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToServer {
    /// The first message. One descriptor: the file of the shared page.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
        /// Which tasks the program has; see [`task::build_id`](crate::task::build_id).
        build_id: u64,
        /// How many numbers the shared page has.
        slots: u32,
    },
    /// Start a worker. Four descriptors: its socket, stdout, stderr, working directory.
    Spawn {
        /// What to call it from now on.
        worker: u64,
        /// Its number in the shared page.
        slot: u32,
        /// Its environment, if that is not what the last worker's was.
        environment: Option<Vec<u8>>,
        /// Its umask.
        umask: u32,
        /// The longest reply it may send.
        frame_cap: u64,
    },
    /// End a worker and its process group.
    Kill {
        /// Which one.
        worker: u64,
        /// Whether to send SIGTERM now.
        term: bool,
        /// When to send SIGKILL, in milliseconds from now.
        grace: u64,
    },
    /// The engine shuts down: end when all workers have ended.
    Bye {
        /// When to send SIGKILL to those that have not, in milliseconds from now.
        grace: u64,
    },
}

/// How many descriptors come with [`ToServer::Hello`].
pub(crate) const HELLO_FDS: u16 = 1;
/// How many descriptors come with [`ToServer::Spawn`].
pub(crate) const SPAWN_FDS: u16 = 4;

/// What the fork server tells the engine.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FromServer {
    /// The first message, the answer to [`ToServer::Hello`].
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
        /// Which tasks the program has.
        build_id: u64,
    },
    /// A worker was started.
    Spawned {
        /// Which one.
        worker: u64,
        /// Its process, and its process group.
        pid: i32,
    },
    /// A worker could not be started.
    SpawnFailed {
        /// Which one.
        worker: u64,
        /// Why.
        why: String,
    },
    /// A worker has ended, and what was left of its process group was killed.
    Exited {
        /// Which one.
        worker: u64,
        /// The signal that ended it.
        signal: Option<i32>,
        /// Its exit code, if it exited.
        code: Option<i32>,
        /// Its peak resident memory in bytes.
        peak_memory: u64,
    },
}

/// A control message as a frame.
///
/// # Errors
/// It does not encode.
pub(crate) fn control_frame<M: Serialize>(message: &M, fds: u16) -> Result<Vec<u8>, CodecError> {
    let mut frame = vec![0; HEADER];
    codec::encode(message, &mut frame)?;
    let length = (frame.len() - HEADER) as u64;
    let header = Header { length, seq: 0, extra: fds, kind: CONTROL };
    frame[..HEADER].copy_from_slice(&header.to_bytes());
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::super::frame::Decoder;
    use super::*;

    #[test]
    fn control_messages_survive_the_way() {
        let sent = ToServer::Spawn {
            worker: 7,
            slot: 3,
            environment: Some(b"A=\xFF\0".to_vec()),
            umask: 0o22,
            frame_cap: 1 << 30,
        };
        let frame = control_frame(&sent, SPAWN_FDS).unwrap();
        let mut decoder = Decoder::new(CONTROL_CAP);
        decoder.space()[..frame.len()].copy_from_slice(&frame);
        decoder.filled(frame.len());
        let (header, range) = decoder.next().unwrap().unwrap();
        assert_eq!((header.kind, header.extra), (CONTROL, SPAWN_FDS));
        assert_eq!(codec::decode::<ToServer>(decoder.bytes(range)).unwrap(), sent);
    }
}
