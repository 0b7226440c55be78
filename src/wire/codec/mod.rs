//! The codec of arguments and results: a small self-describing format for every serde type.
//!
//! It exists because the known formats each lose something that a Rust function may take or
//! return. MessagePack and CBOR turn `Some(None)` and `Some(())` into `None` and store a
//! `Vec<u8>` in half as much space again. Postcard and bincode cannot read untagged enums or
//! flattened structs. JSON has no NaN and only string keys. `tests.rs` holds the comparison.
//!
//! # The format
//!
//! A value is one tag byte, then its payload. Numbers are little-endian. Nothing is aligned.
//!
//! | tag | value | payload |
//! |---|---|---|
//! | `00` | `()`, a unit struct | |
//! | `01` | `None` | |
//! | `02` | `Some` | the value in it |
//! | `03` `04` | `false`, `true` | |
//! | `05` | `char` | its scalar value, 4 bytes |
//! | `06` `07` | `f32`, `f64` | its bits, 4 or 8 bytes |
//! | `08` `09` | `u128`, `i128` | 16 bytes |
//! | `0a` | an enum's variant with data | its name (a string value), then its data (a value) |
//! | `40` + w | `u8`, w = 0 | the number |
//! | `44` + w | `u16`, w = 0 to 1 | the number |
//! | `48` + w | `u32`, w = 0 to 2 | the number |
//! | `4c` + w | `u64`, w = 0 to 3 | the number |
//! | `50` + w | `i8`, w = 0 | the number |
//! | `54` + w | `i16`, w = 0 to 1 | the number |
//! | `58` + w | `i32`, w = 0 to 2 | the number |
//! | `5c` + w | `i64`, w = 0 to 3 | the number |
//! | `80` + w | a string, a variant without data | its length in bytes, UTF-8 |
//! | `84` + w | bytes (`serialize_bytes`) | their count, the bytes |
//! | `88` + w | a sequence whose elements are all `u8` | their count, the bytes |
//! | `8c` + w | any other sequence, a tuple | the count of elements, the elements |
//! | `90` + w | a map, a struct | the count of entries, for each its key and its value |
//!
//! In a tag with *w*, the number (or the length) takes 1, 2, 4 or 8 bytes for *w* = 0 to 3, and
//! the writer takes the fewest that hold it, except where a length was announced too high.
//! Signed numbers are extended by their sign. The type of a number survives, so a reader is
//! offered what the writer had and serde's own range checks apply.
//!
//! A newtype struct is its content. The data of a newtype variant is the value in it, that of
//! a tuple variant a sequence, that of a struct variant a map. Field names are string values.
//!
//! # Choices
//!
//! * Both sides say that the format is human-readable, although it is not. Serde's buffers for
//!   untagged enums and flattened fields always say so, hence an address or a UUID inside one
//!   is read as text and must have been written as text.
//! * Bytes and sequences of `u8` look alike but keep their tags, because those buffers accept
//!   a `Vec<u8>` only from a sequence, and bytes only from bytes. Read directly, each
//!   serves for the other.
//! * `u128` and `i128` have tags of their own even when small. Serde's buffers cannot hold
//!   them; offered as `u64` they could come back as another variant, as they are they fail.
//! * Nesting is limited to [`MAX_DEPTH`] levels and [`MAX_STACK`] bytes of stack, when writing
//!   and when reading, so neither a long list nor a hostile frame overflows the stack. The
//!   second limit is there because a level of a large struct can take 10 KiB without
//!   optimization. Only serde's replay of its buffers is out of its reach.
//! * A length is checked against the bytes that are left before anything is reserved for it.
//!   Every element takes a byte at least, so no count is worth more than the input's length.

mod de;
mod element;
mod ser;
#[cfg(test)]
mod tests;
mod token;

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use ser::Encoder;
use token::Decoder;

/// How deep options, sequences, maps and variants with data may nest.
const MAX_DEPTH: usize = 512;

/// How many bytes of stack the nesting may take: half of what a thread has by default.
const MAX_STACK: usize = 1 << 20;

/// How deep a value being written or read is nested.
#[derive(Clone, Copy)]
struct Depth {
    /// How many values are around it.
    levels: usize,
    /// Where the stack was at the outermost value.
    stack: usize,
}

impl Depth {
    /// The depth outside any value.
    fn new() -> Self {
        Self { levels: 0, stack: stack_address() }
    }

    /// Begins a value that holds others.
    #[inline]
    fn enter(&mut self) -> Result<(), CodecError> {
        if self.levels == MAX_DEPTH || stack_address().abs_diff(self.stack) > MAX_STACK {
            return Err(CodecError::too_deep());
        }
        self.levels += 1;
        Ok(())
    }

    /// Ends a value that holds others.
    #[inline]
    fn leave(&mut self) {
        self.levels -= 1;
    }
}

/// About where the stack ends now.
#[inline]
fn stack_address() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(&here).addr()
}

/// The tags, as the table in this module's documentation has them.
mod tag {
    /// `()` or a unit struct.
    pub(super) const UNIT: u8 = 0x00;
    /// `None`.
    pub(super) const NONE: u8 = 0x01;
    /// `Some`; its value follows.
    pub(super) const SOME: u8 = 0x02;
    /// `false`.
    pub(super) const FALSE: u8 = 0x03;
    /// `true`.
    pub(super) const TRUE: u8 = 0x04;
    /// A `char`; 4 bytes follow.
    pub(super) const CHAR: u8 = 0x05;
    /// An `f32`; 4 bytes follow.
    pub(super) const F32: u8 = 0x06;
    /// An `f64`; 8 bytes follow.
    pub(super) const F64: u8 = 0x07;
    /// A `u128`; 16 bytes follow.
    pub(super) const U128: u8 = 0x08;
    /// An `i128`; 16 bytes follow.
    pub(super) const I128: u8 = 0x09;
    /// A variant with data; its name and its data follow.
    pub(super) const VARIANT: u8 = 0x0a;
    /// A `u8`. This tag and those below are the lowest of four, see [`WIDTH`].
    pub(super) const U8: u8 = 0x40;
    /// A `u16`.
    pub(super) const U16: u8 = 0x44;
    /// A `u32`.
    pub(super) const U32: u8 = 0x48;
    /// A `u64`.
    pub(super) const U64: u8 = 0x4c;
    /// An `i8`.
    pub(super) const I8: u8 = 0x50;
    /// An `i16`.
    pub(super) const I16: u8 = 0x54;
    /// An `i32`.
    pub(super) const I32: u8 = 0x58;
    /// An `i64`.
    pub(super) const I64: u8 = 0x5c;
    /// A string or a variant without data.
    pub(super) const STR: u8 = 0x80;
    /// Bytes.
    pub(super) const BYTES: u8 = 0x84;
    /// A sequence of `u8` only.
    pub(super) const BYTE_SEQ: u8 = 0x88;
    /// A sequence.
    pub(super) const SEQ: u8 = 0x8c;
    /// A map or a struct.
    pub(super) const MAP: u8 = 0x90;
    /// The bits of a tag that say how wide its number is: 1, 2, 4 or 8 bytes.
    pub(super) const WIDTH: u8 = 0b11;
}

/// Why a value could not be encoded or decoded.
#[derive(Debug)]
pub(crate) struct CodecError(Box<str>);

impl CodecError {
    /// The error that says this.
    #[cold]
    fn new(message: impl Into<Box<str>>) -> Self {
        Self(message.into())
    }

    /// The error of nesting beyond [`MAX_DEPTH`] or [`MAX_STACK`].
    #[cold]
    fn too_deep() -> Self {
        Self::new("the value is nested too deep")
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CodecError {}

impl serde::ser::Error for CodecError {
    fn custom<M: fmt::Display>(message: M) -> Self {
        Self::new(message.to_string())
    }
}

impl serde::de::Error for CodecError {
    fn custom<M: fmt::Display>(message: M) -> Self {
        Self::new(message.to_string())
    }
}

/// Appends the encoded value.
///
/// # Errors
/// What the value's `Serialize` reports, and nesting that is too deep. `out` is then as
/// long as it was.
pub(crate) fn encode<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let start = out.len();
    let mut encoder = Encoder::new(out);
    let result = value.serialize(&mut encoder).and_then(|()| encoder.finish());
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// The value that `bytes` hold, and nothing but it.
///
/// # Errors
/// What the value's `Deserialize` reports, bytes that are not of this format, bytes after the
/// value, and nesting that is too deep.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let mut decoder = Decoder::new(bytes);
    let value = T::deserialize(&mut decoder)?;
    decoder.finish()?;
    Ok(value)
}
