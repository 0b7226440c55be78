//! Writing an element of a sequence that had nothing but `u8` so far.
//!
//! A serializer of its own, so that a `u8` costs one push: to write it with its tag and take the
//! tag off again takes more than twice as long.

use serde::ser::{Serialize, Serializer};

use super::CodecError;
use super::ser::{Elements, Encoder, Entries};

/// The result of everything here.
type Result<T, E = CodecError> = std::result::Result<T, E>;

/// An element of a sequence that had nothing but `u8` so far.
pub(super) struct Element<'x, 'e, 'a>(pub(super) &'x mut Elements<'e, 'a>);

impl<'x, 'a> Element<'x, '_, 'a> {
    /// The encoder, as the element is not a `u8`.
    #[inline]
    fn other(self) -> &'x mut Encoder<'a> {
        self.0.mixed()
    }
}

/// Implements the methods for values other than a `u8`, by the encoder's.
macro_rules! others {
    ($($method:ident ($($arg:ident: $type:ty),*) -> $out:ty;)*) => { $(
        #[inline]
        fn $method (self, $($arg: $type),*) -> Result<$out> {
            self.other().$method($($arg),*)
        }
    )* };
}

impl<'x, 'a> Serializer for Element<'x, '_, 'a> {
    type Ok = ();
    type Error = CodecError;
    type SerializeSeq = Elements<'x, 'a>;
    type SerializeTuple = Elements<'x, 'a>;
    type SerializeTupleStruct = Elements<'x, 'a>;
    type SerializeTupleVariant = Elements<'x, 'a>;
    type SerializeMap = Entries<'x, 'a>;
    type SerializeStruct = Entries<'x, 'a>;
    type SerializeStructVariant = Entries<'x, 'a>;

    fn is_human_readable(&self) -> bool {
        true
    }

    #[inline]
    fn serialize_u8(self, value: u8) -> Result<()> {
        self.0.push_byte(value);
        Ok(())
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<()> {
        value.serialize(self)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        self.other().serialize_some(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<()> {
        self.other().serialize_newtype_variant(name, index, variant, value)
    }

    others! {
        serialize_bool(value: bool) -> ();
        serialize_i8(value: i8) -> ();
        serialize_i16(value: i16) -> ();
        serialize_i32(value: i32) -> ();
        serialize_i64(value: i64) -> ();
        serialize_i128(value: i128) -> ();
        serialize_u16(value: u16) -> ();
        serialize_u32(value: u32) -> ();
        serialize_u64(value: u64) -> ();
        serialize_u128(value: u128) -> ();
        serialize_f32(value: f32) -> ();
        serialize_f64(value: f64) -> ();
        serialize_char(value: char) -> ();
        serialize_str(value: &str) -> ();
        serialize_bytes(value: &[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(name: &'static str) -> ();
        serialize_unit_variant(
            name: &'static str,
            index: u32,
            variant: &'static str
        ) -> ();
        serialize_seq(len: Option<usize>) -> Elements<'x, 'a>;
        serialize_tuple(len: usize) -> Elements<'x, 'a>;
        serialize_tuple_struct(name: &'static str, len: usize) -> Elements<'x, 'a>;
        serialize_tuple_variant(
            name: &'static str,
            index: u32,
            variant: &'static str,
            len: usize
        ) -> Elements<'x, 'a>;
        serialize_map(len: Option<usize>) -> Entries<'x, 'a>;
        serialize_struct(name: &'static str, len: usize) -> Entries<'x, 'a>;
        serialize_struct_variant(
            name: &'static str,
            index: u32,
            variant: &'static str,
            len: usize
        ) -> Entries<'x, 'a>;
    }
}
