//! Bytes on their way to a worker.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use crate::sys;

/// Arguments up to this size are copied behind each other and sent as one; larger ones are sent
/// from where they are.
const COPY_UP_TO: usize = 16 * 1024;

/// How many pieces go into one call.
const PIECES: usize = 16;

/// Encoded arguments. Kept until the job is finished, since a worker's death may send them to
/// another one.
#[derive(Clone, Debug)]
pub(super) enum Args {
    Small(Vec<u8>),
    Large(Arc<Vec<u8>>),
}

impl Args {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        if bytes.len() <= COPY_UP_TO { Self::Small(bytes) } else { Self::Large(Arc::new(bytes)) }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Small(bytes) => bytes.len(),
            Self::Large(bytes) => bytes.len(),
        }
    }
}

#[derive(Debug)]
enum Piece {
    Copied(Vec<u8>),
    Shared(Arc<Vec<u8>>),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// What is to be sent.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pieces: VecDeque<Piece>,
    /// How much of the first piece is sent.
    sent: usize,
    /// Memory to copy into again.
    spare: Vec<u8>,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Adds a request.
    pub(super) fn push(&mut self, header: &[u8], name: &[u8], args: &Args) {
        let small = match args {
            Args::Small(args) => &args[..],
            Args::Large(_) => &[],
        };
        self.copy(&[header, name, small]);
        if let Args::Large(args) = args {
            self.pieces.push_back(Piece::Shared(Arc::clone(args)));
        }
    }

    /// Adds a word on a stream.
    pub(super) fn push_word(&mut self, header: &[u8], body: &[u8]) {
        self.copy(&[header, body]);
    }

    fn copy(&mut self, parts: &[&[u8]]) {
        if !matches!(self.pieces.back(), Some(Piece::Copied(_))) {
            let bytes = std::mem::take(&mut self.spare);
            self.pieces.push_back(Piece::Copied(bytes));
        }
        if let Some(Piece::Copied(bytes)) = self.pieces.back_mut() {
            parts.iter().for_each(|part| bytes.extend_from_slice(part));
        }
    }

    /// Drops what is not sent, because nobody will read it.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Sends as much as the socket takes without blocking.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) fn flush(&mut self, socket: BorrowedFd<'_>) -> io::Result<()> {
        while let Some(first) = self.pieces.front() {
            let first = IoSlice::new(&first.bytes()[self.sent..]);
            let sent = if self.pieces.len() == 1 {
                sys::send(socket, &[first], &[])
            } else {
                let rest = self.pieces.iter().skip(1).take(PIECES - 1);
                let all: Vec<_> = std::iter::once(first)
                    .chain(rest.map(|piece| IoSlice::new(piece.bytes())))
                    .collect();
                sys::send(socket, &all, &[])
            };
            match sent {
                Ok(sent) => self.advance(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn advance(&mut self, mut sent: usize) {
        while let Some(first) = self.pieces.front() {
            let left = first.bytes().len() - self.sent;
            if sent < left {
                self.sent += sent;
                return;
            }
            sent -= left;
            self.sent = 0;
            if let Some(Piece::Copied(mut bytes)) = self.pieces.pop_front() {
                bytes.clear();
                if bytes.capacity() <= 1 << 20 {
                    self.spare = bytes;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn everything_arrives_in_order_through_a_full_socket() {
        let (ours, theirs) = sys::pair().unwrap();
        let mut outbox = Outbox::default();
        let mut expected = Vec::new();
        for i in 0..40_u8 {
            let args = vec![i; if i % 3 == 0 { 100_000 } else { 10 }];
            expected.extend([&[i, 1][..], &[i, 2], &args].concat());
            outbox.push(&[i, 1], &[i, 2], &Args::new(args));
        }
        let mut received = Vec::new();
        let mut buf = vec![0; 50_000];
        while received.len() < expected.len() {
            outbox.flush(ours.as_fd()).unwrap();
            let n = sys::recv(theirs.as_fd(), &mut buf).unwrap();
            received.extend_from_slice(&buf[..n]);
        }
        assert!(outbox.is_empty());
        assert!(received == expected);
        // A drop could be delayed by a process that another test is just starting.
        sys::shutdown(&theirs, std::net::Shutdown::Both);
        outbox.push(b"x", b"y", &Args::new(Vec::new()));
        assert!(outbox.flush(ours.as_fd()).is_err());
    }
}
