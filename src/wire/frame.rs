//! Frames: a header of 16 bytes, and as many bytes behind it as it says.
//!
//! ```text
//! offset  0      8      12     14     15     16
//!         length seq    extra  kind   mark   bytes ...
//! ```
//!
//! All numbers are little-endian. `extra` is the length of the task's name in a request, and
//! the number of descriptors that come with a control message. `mark` is always [`MARK`]: a
//! stream that has lost its way is noticed at the next header.

use std::fmt;
use std::ops::Range;

/// The size of a header.
pub(crate) const HEADER: usize = 16;

/// The last byte of every header.
const MARK: u8 = 0xE5;

/// How much a decoder has room for when the first bytes are read into it. Little, because a new
/// process pays for each page that it touches.
const FIRST: usize = 4 * 1024;

/// How much it has room for when more come at once.
const CHUNK: usize = 64 * 1024;

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// How many bytes follow the header.
    pub(crate) length: u64,
    /// Which request this is, or answers.
    pub(crate) seq: u32,
    /// A second number, whose meaning depends on the kind.
    pub(crate) extra: u16,
    /// What kind of frame it is.
    pub(crate) kind: u8,
}

impl Header {
    /// The header as bytes.
    pub(crate) fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0..8].copy_from_slice(&self.length.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.seq.to_le_bytes());
        bytes[12..14].copy_from_slice(&self.extra.to_le_bytes());
        bytes[14] = self.kind;
        bytes[15] = MARK;
        bytes
    }

    fn from_bytes(bytes: &[u8; HEADER]) -> Result<Self, FrameError> {
        let [l0, l1, l2, l3, l4, l5, l6, l7, s0, s1, s2, s3, e0, e1, kind, mark] = *bytes;
        if mark != MARK {
            return Err(FrameError::Garbage);
        }
        Ok(Self {
            length: u64::from_le_bytes([l0, l1, l2, l3, l4, l5, l6, l7]),
            seq: u32::from_le_bytes([s0, s1, s2, s3]),
            extra: u16::from_le_bytes([e0, e1]),
            kind,
        })
    }
}

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// What should be a header is none.
    Garbage,
    /// A frame says that it is longer than allowed.
    TooLong {
        /// What it says.
        length: u64,
        /// What is allowed.
        cap: u64,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Garbage => f.write_str("bytes that are no frame"),
            Self::TooLong { length, cap } => {
                write!(f, "a frame of {length} bytes, where {cap} are allowed")
            }
        }
    }
}

/// Cuts a stream of bytes into frames, as they come.
///
/// Its memory grows with the bytes that have come, never by what a header promises.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// Initialised throughout; `start..end` is what has come and is not cut off yet.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// How much room to have for the next read.
    room: usize,
    cap: u64,
}

impl Decoder {
    /// A decoder that refuses frames with more than `cap` bytes behind the header.
    pub(crate) fn new(cap: u64) -> Self {
        Self { buffer: Vec::new(), start: 0, end: 0, room: FIRST, cap }
    }

    /// Where to read the next bytes into: never empty. Invalidates the ranges of frames.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() > 16 * CHUNK {
                // One large frame should not hold its memory for ever.
                self.buffer = Vec::new();
            }
        }
        if self.buffer.len() - self.end < self.room && self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.buffer.len() - self.end < self.room / 2 {
            let more = self.buffer.len().max(self.room);
            self.buffer.resize(self.buffer.len() + more, 0);
        }
        &mut self.buffer[self.end..]
    }

    /// Notes that `n` bytes were read into the space.
    pub(crate) fn filled(&mut self, n: usize) {
        self.end = (self.end + n).min(self.buffer.len());
        if self.end == self.buffer.len() {
            self.room = (4 * self.room).min(CHUNK);
        }
    }

    /// The next frame that has come as a whole: its header, and where its bytes are until more
    /// are read.
    ///
    /// # Errors
    /// The stream cannot be read on, now or later.
    pub(crate) fn next(&mut self) -> Result<Option<(Header, Range<usize>)>, FrameError> {
        let Some(bytes) = self.buffer[self.start..self.end].first_chunk() else { return Ok(None) };
        let header = Header::from_bytes(bytes)?;
        if header.length > self.cap {
            return Err(FrameError::TooLong { length: header.length, cap: self.cap });
        }
        let body = self.start + HEADER;
        match usize::try_from(header.length) {
            Ok(length) if length <= self.end - body => {
                self.start = body + length;
                Ok(Some((header, body..self.start)))
            }
            _ => Ok(None),
        }
    }

    /// The bytes of a frame.
    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// How much memory it holds.
    #[cfg(test)]
    fn capacity(&self) -> usize {
        self.buffer.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(seq: u32, body: &[u8]) -> Vec<u8> {
        let header = Header { length: body.len() as u64, seq, extra: 3, kind: 9 };
        [&header.to_bytes()[..], body].concat()
    }

    /// Feeds the stream in pieces of these sizes, in turn, and gives all frames.
    fn decode(
        stream: &[u8],
        pieces: &[usize],
        cap: u64,
    ) -> Result<Vec<(u32, Vec<u8>)>, FrameError> {
        let mut decoder = Decoder::new(cap);
        let mut frames = Vec::new();
        let (mut rest, mut turn) = (stream, 0);
        while !rest.is_empty() {
            let space = decoder.space();
            let n = pieces[turn % pieces.len()].clamp(1, rest.len().min(space.len()));
            space[..n].copy_from_slice(&rest[..n]);
            decoder.filled(n);
            rest = &rest[n..];
            turn += 1;
            while let Some((header, range)) = decoder.next()? {
                frames.push((header.seq, decoder.bytes(range).to_vec()));
            }
        }
        Ok(frames)
    }

    #[test]
    fn frames_come_out_however_the_bytes_come_in() {
        let bodies = [vec![], vec![1], vec![2; 40], vec![3; 200_000], vec![4; 15]];
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for (seq, body) in (1..).zip(&bodies) {
            stream.extend(frame(seq, body));
            expected.push((seq, body.clone()));
        }
        for pieces in [&[1][..], &[15, 16, 17], &[7, 70_000], &[1 << 20]] {
            assert_eq!(decode(&stream, pieces, 200_000).unwrap(), expected, "{pieces:?}");
        }
    }

    #[test]
    fn a_truncated_frame_is_no_frame_yet() {
        let whole = frame(1, b"hello");
        for cut in 0..whole.len() {
            assert_eq!(decode(&whole[..cut], &[3], 100).unwrap(), []);
        }
    }

    #[test]
    fn a_length_beyond_the_cap_is_refused_at_the_header() {
        for length in [101, 1 << 40, u64::MAX] {
            let header = Header { length, seq: 1, extra: 0, kind: 0 };
            let refused = decode(&header.to_bytes(), &[1], 100);
            assert_eq!(refused, Err(FrameError::TooLong { length, cap: 100 }));
        }
        assert_eq!(decode(&frame(1, &[0; 100]), &[9], 100).unwrap().len(), 1);
    }

    #[test]
    fn memory_grows_with_bytes_not_with_promises() {
        let mut decoder = Decoder::new(u64::MAX);
        let header = Header { length: 1 << 50, seq: 1, extra: 0, kind: 0 };
        decoder.space()[..HEADER].copy_from_slice(&header.to_bytes());
        decoder.filled(HEADER);
        assert_eq!(decoder.next(), Ok(None));
        decoder.space();
        assert!(decoder.capacity() <= 2 * CHUNK);
    }

    #[test]
    fn memory_of_a_large_frame_is_given_back() {
        let mut decoder = Decoder::new(u64::MAX);
        let whole = frame(1, &vec![0; 8 << 20]);
        let mut rest = &whole[..];
        while !rest.is_empty() {
            let space = decoder.space();
            let n = space.len().min(rest.len());
            space[..n].copy_from_slice(&rest[..n]);
            decoder.filled(n);
            rest = &rest[n..];
        }
        assert!(decoder.next().unwrap().is_some());
        decoder.space();
        assert!(decoder.capacity() <= 2 * CHUNK);
    }

    #[test]
    fn random_bytes_never_panic() {
        // A small generator of its own, so that a failure can be repeated.
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..2000 {
            let mut stream: Vec<u8> = (0..random() % 300).map(|_| random() as u8).collect();
            // Some headers are made plausible, to get past the mark.
            for at in (15..stream.len()).step_by(16) {
                stream[at] = MARK;
                stream[at - 14..at - 8].fill(0);
            }
            let piece = random() as usize % 40;
            let _ = decode(&stream, &[piece], 10_000);
        }
    }
}
