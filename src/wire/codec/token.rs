//! Reading tags: [`Decoder`] takes scalars, blocks and the headers of containers off a slice.
//!
//! [`Decoder::token`] is the one place that knows the tags' payloads, so every value is checked
//! alike, whether it is wanted or skipped.

use super::{CodecError, Depth, tag};

/// The result of everything here.
type Result<T, E = CodecError> = std::result::Result<T, E>;

/// What a tag and the payload of fixed size behind it say.
pub(super) enum Token<'de> {
    Unit,
    None,
    /// A value follows.
    Some,
    Bool(bool),
    Char(char),
    F32(f32),
    F64(f64),
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    U128(u128),
    I8(i8),
    I16(i16),
    I32(i32),
    I64(i64),
    I128(i128),
    Str(&'de str),
    Bytes(&'de [u8]),
    ByteSeq(&'de [u8]),
    /// So many values follow.
    Seq(usize),
    /// So many pairs of values follow.
    Map(usize),
    /// A name and a value follow.
    Variant,
}

/// Takes values from the front of a slice.
pub(super) struct Decoder<'de> {
    /// What is not yet read.
    pub(super) input: &'de [u8],
    /// How deep the value being read is nested.
    pub(super) depth: Depth,
}

impl<'de> Decoder<'de> {
    /// A decoder of these bytes.
    pub(super) fn new(input: &'de [u8]) -> Self {
        Self { input, depth: Depth::new() }
    }

    /// Checks that nothing is left, neither of the input nor of a value.
    ///
    /// A value is left unfinished if a `Deserialize` goes on after an error in one of its parts.
    pub(super) fn finish(&self) -> Result<()> {
        match self.input.len() {
            0 if self.depth.levels == 0 => Ok(()),
            0 => Err(CodecError::new("a value was left unfinished")),
            left => Err(CodecError::new(format!("{left} bytes follow the value"))),
        }
    }

    /// The next bytes, as many as the array has.
    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (array, rest) = self.input.split_first_chunk().ok_or_else(ends_early)?;
        self.input = rest;
        Ok(*array)
    }

    /// An unsigned number of this width.
    #[inline]
    fn unsigned(&mut self, width: u8) -> Result<u64> {
        Ok(match width {
            0 => u8::from_le_bytes(self.array()?).into(),
            1 => u16::from_le_bytes(self.array()?).into(),
            2 => u32::from_le_bytes(self.array()?).into(),
            _ => u64::from_le_bytes(self.array()?),
        })
    }

    /// A signed number of this width.
    #[inline]
    fn signed(&mut self, width: u8) -> Result<i64> {
        Ok(match width {
            0 => i8::from_le_bytes(self.array()?).into(),
            1 => i16::from_le_bytes(self.array()?).into(),
            2 => i32::from_le_bytes(self.array()?).into(),
            _ => i64::from_le_bytes(self.array()?),
        })
    }

    /// A count of items that take so many bytes each at least.
    #[inline]
    fn count(&mut self, width: u8, each: usize) -> Result<usize> {
        let count = self.unsigned(width)?;
        match usize::try_from(count) {
            Ok(count) if count <= self.input.len() / each => Ok(count),
            _ => Err(CodecError::new(format!("a length of {count} exceeds the input"))),
        }
    }

    /// A length and so many bytes.
    #[inline]
    fn block(&mut self, width: u8) -> Result<&'de [u8]> {
        let len = self.count(width, 1)?;
        let (block, rest) = self.input.split_at(len);
        self.input = rest;
        Ok(block)
    }

    /// A length and so many bytes of UTF-8.
    #[inline]
    fn text(&mut self, width: u8) -> Result<&'de str> {
        str::from_utf8(self.block(width)?).map_err(|_| CodecError::new("a string is not UTF-8"))
    }

    /// The scalar value of a `char`.
    fn char(&mut self) -> Result<char> {
        char::from_u32(u32::from_le_bytes(self.array()?))
            .ok_or_else(|| CodecError::new("a char is no Unicode scalar value"))
    }

    /// The next token.
    #[inline]
    pub(super) fn token(&mut self) -> Result<Token<'de>> {
        let [tag] = self.array()?;
        Ok(match tag {
            tag::UNIT => Token::Unit,
            tag::NONE => Token::None,
            tag::SOME => Token::Some,
            tag::FALSE => Token::Bool(false),
            tag::TRUE => Token::Bool(true),
            tag::CHAR => Token::Char(self.char()?),
            tag::F32 => Token::F32(f32::from_bits(u32::from_le_bytes(self.array()?))),
            tag::F64 => Token::F64(f64::from_bits(u64::from_le_bytes(self.array()?))),
            tag::U128 => Token::U128(u128::from_le_bytes(self.array()?)),
            tag::I128 => Token::I128(i128::from_le_bytes(self.array()?)),
            tag::VARIANT => Token::Variant,
            _ => return self.sized_token(tag),
        })
    }

    /// The token of a tag that says the width of its number.
    #[inline]
    fn sized_token(&mut self, tag: u8) -> Result<Token<'de>> {
        Ok(match (tag & !tag::WIDTH, tag & tag::WIDTH) {
            (tag::U8, 0) => Token::U8(u8::from_le_bytes(self.array()?)),
            (tag::U16, w @ ..=1) => Token::U16(self.unsigned(w)? as u16),
            (tag::U32, w @ ..=2) => Token::U32(self.unsigned(w)? as u32),
            (tag::U64, w) => Token::U64(self.unsigned(w)?),
            (tag::I8, 0) => Token::I8(i8::from_le_bytes(self.array()?)),
            (tag::I16, w @ ..=1) => Token::I16(self.signed(w)? as i16),
            (tag::I32, w @ ..=2) => Token::I32(self.signed(w)? as i32),
            (tag::I64, w) => Token::I64(self.signed(w)?),
            (tag::STR, w) => Token::Str(self.text(w)?),
            (tag::BYTES, w) => Token::Bytes(self.block(w)?),
            (tag::BYTE_SEQ, w) => Token::ByteSeq(self.block(w)?),
            (tag::SEQ, w) => Token::Seq(self.count(w, 1)?),
            (tag::MAP, w) => Token::Map(self.count(w, 2)?),
            _ => return Err(CodecError::new(format!("{tag:#04x} is no tag"))),
        })
    }

    /// Passes over `Some` tags; the tag that follows stays in the input.
    #[inline]
    pub(super) fn pass_some(&mut self) -> Result<u8> {
        loop {
            match self.input {
                [tag::SOME, rest @ ..] => self.input = rest,
                [tag, ..] => return Ok(*tag),
                [] => return Err(ends_early()),
            }
        }
    }

    /// The bytes behind the next tag, which is one of bytes.
    pub(super) fn tagged_block(&mut self) -> Result<&'de [u8]> {
        let [tag] = self.array()?;
        self.block(tag & tag::WIDTH)
    }

    /// Passes over a value and all that it holds, without recursion.
    pub(super) fn skip(&mut self) -> Result<()> {
        let mut left = 1;
        while left > 0 {
            left += match self.token()? {
                Token::Some => 1,
                Token::Variant => 2,
                Token::Seq(count) => count,
                Token::Map(count) => 2 * count,
                _ => 0,
            };
            left -= 1;
            if left > self.input.len() {
                return Err(ends_early());
            }
        }
        Ok(())
    }
}

/// The error of an input that is too short.
#[cold]
fn ends_early() -> CodecError {
    CodecError::new("the input ends within the value")
}
