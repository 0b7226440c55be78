//! Reading: a serde `Deserializer` over a slice.
//!
//! This file says which token is offered to which visitor; `token.rs` reads them.

use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::token::{Decoder, Token};
use super::{CodecError, Depth, tag};

/// The result of everything here.
type Result<T, E = CodecError> = std::result::Result<T, E>;

/// The greatest count that a visitor is told in advance, so that no reservation is large.
const MAX_HINT: usize = 4096;

impl<'de> Decoder<'de> {
    /// Offers the value in an option.
    fn some<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        self.depth.enter()?;
        let value = visitor.visit_some(&mut *self)?;
        self.depth.leave();
        Ok(value)
    }

    /// Offers a sequence of `u8`.
    fn byte_seq<V: Visitor<'de>>(&self, bytes: &'de [u8], visitor: V) -> Result<V::Value> {
        let mut bytes = Bytes { left: bytes.iter(), depth: self.depth };
        let value = visitor.visit_seq(&mut bytes)?;
        all_taken(bytes.left.len())?;
        Ok(value)
    }

    /// Offers a sequence of so many elements.
    fn seq<V: Visitor<'de>>(&mut self, left: usize, visitor: V) -> Result<V::Value> {
        self.depth.enter()?;
        let mut items = Items { decoder: self, left };
        let value = visitor.visit_seq(&mut items)?;
        items.close()?;
        Ok(value)
    }

    /// Offers a map of so many entries.
    fn map<V: Visitor<'de>>(&mut self, left: usize, visitor: V) -> Result<V::Value> {
        self.depth.enter()?;
        let mut items = Items { decoder: self, left };
        let value = visitor.visit_map(&mut items)?;
        items.close()?;
        Ok(value)
    }
}

/// Checks that a visitor took all items.
#[inline]
fn all_taken(left: usize) -> Result<()> {
    if left == 0 {
        Ok(())
    } else {
        Err(CodecError::new(format!("{left} items more than expected")))
    }
}

/// Implements the hints at a type of one form. What comes is offered as what it is; an option
/// around it is passed over, as it would be in a format where `Some` leaves no trace.
macro_rules! plain {
    ($($method:ident($($arg:ident: $type:ty),*))*) => { $(
        #[inline]
        fn $method<V: Visitor<'de>>(self, $($arg: $type,)* visitor: V) -> Result<V::Value> {
            self.pass_some()?;
            self.deserialize_any(visitor)
        }
    )* };
}

/// Implements the hints at a sequence, for which bytes do as well.
macro_rules! sequence {
    ($($method:ident($($arg:ident: $type:ty),*))*) => { $(
        fn $method<V: Visitor<'de>>(self, $($arg: $type,)* visitor: V) -> Result<V::Value> {
            match self.pass_some()? & !tag::WIDTH {
                tag::BYTES => {
                    let bytes = self.tagged_block()?;
                    self.byte_seq(bytes, visitor)
                }
                _ => self.deserialize_any(visitor),
            }
        }
    )* };
}

impl<'de> Deserializer<'de> for &mut Decoder<'de> {
    type Error = CodecError;

    fn is_human_readable(&self) -> bool {
        true
    }

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.token()? {
            Token::Unit => visitor.visit_unit(),
            Token::None => visitor.visit_none(),
            Token::Some => self.some(visitor),
            Token::Bool(value) => visitor.visit_bool(value),
            Token::Char(value) => visitor.visit_char(value),
            Token::F32(value) => visitor.visit_f32(value),
            Token::F64(value) => visitor.visit_f64(value),
            Token::U8(value) => visitor.visit_u8(value),
            Token::U16(value) => visitor.visit_u16(value),
            Token::U32(value) => visitor.visit_u32(value),
            Token::U64(value) => visitor.visit_u64(value),
            Token::U128(value) => visitor.visit_u128(value),
            Token::I8(value) => visitor.visit_i8(value),
            Token::I16(value) => visitor.visit_i16(value),
            Token::I32(value) => visitor.visit_i32(value),
            Token::I64(value) => visitor.visit_i64(value),
            Token::I128(value) => visitor.visit_i128(value),
            Token::Str(value) => visitor.visit_borrowed_str(value),
            Token::Bytes(value) => visitor.visit_borrowed_bytes(value),
            Token::ByteSeq(value) => self.byte_seq(value, visitor),
            Token::Seq(count) => self.seq(count, visitor),
            Token::Map(count) => self.map(count, visitor),
            // Serde's buffers take no enum; they take it as a map of one entry.
            Token::Variant => self.map(1, visitor),
        }
    }

    plain! {
        deserialize_bool() deserialize_char() deserialize_str() deserialize_string()
        deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64() deserialize_i128()
        deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64() deserialize_u128()
        deserialize_f32() deserialize_f64()
        deserialize_unit() deserialize_unit_struct(_name: &'static str)
        deserialize_identifier() deserialize_map()
        deserialize_struct(_name: &'static str, _fields: &'static [&'static str])
    }

    sequence! {
        deserialize_seq() deserialize_tuple(_len: usize)
        deserialize_tuple_struct(_name: &'static str, _len: usize)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.pass_some()? & !tag::WIDTH {
            tag::BYTES | tag::BYTE_SEQ => visitor.visit_borrowed_bytes(self.tagged_block()?),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.pass_some()? & !tag::WIDTH {
            tag::BYTES | tag::BYTE_SEQ => visitor.visit_byte_buf(self.tagged_block()?.to_vec()),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.input {
            // Serde's option takes a unit for `None`.
            [tag::NONE | tag::SOME | tag::UNIT, ..] | [] => self.deserialize_any(visitor),
            // Written without an option, as by types that read their default from `None`.
            _ => self.some(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        if self.pass_some()? & !tag::WIDTH == tag::STR {
            return visitor.visit_enum(Variant { decoder: self, with_data: false });
        }
        let start = self.input;
        match self.token()? {
            // A map of one entry is a variant to types that write one by hand.
            Token::Variant | Token::Map(1) => {
                self.depth.enter()?;
                let value = visitor.visit_enum(Variant { decoder: self, with_data: true })?;
                self.depth.leave();
                Ok(value)
            }
            // The visitor says what it expected instead.
            _ => {
                self.input = start;
                self.deserialize_any(visitor)
            }
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.skip()?;
        visitor.visit_unit()
    }
}

/// The items of a sequence or a map that are left.
struct Items<'d, 'de> {
    decoder: &'d mut Decoder<'de>,
    /// How many elements or entries are left.
    left: usize,
}

impl Items<'_, '_> {
    /// Ends the container, all of whose items must have been taken.
    #[inline]
    fn close(self) -> Result<()> {
        all_taken(self.left)?;
        self.decoder.depth.leave();
        Ok(())
    }

    /// Counts an item, if there is one left.
    #[inline]
    fn step(&mut self) -> bool {
        let more = self.left > 0;
        self.left -= usize::from(more);
        more
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = CodecError;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if self.step() { seed.deserialize(&mut *self.decoder).map(Some) } else { Ok(None) }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(MAX_HINT))
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = CodecError;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        if self.step() { seed.deserialize(&mut *self.decoder).map(Some) } else { Ok(None) }
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        seed.deserialize(&mut *self.decoder)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(MAX_HINT))
    }
}

/// A variant, before its name.
struct Variant<'d, 'de> {
    decoder: &'d mut Decoder<'de>,
    /// Data follow the name.
    with_data: bool,
}

impl<'d, 'de> Variant<'d, 'de> {
    /// The decoder at the data, or the error that they are missing.
    fn data(self, expected: &'static str) -> Result<&'d mut Decoder<'de>> {
        if self.with_data {
            Ok(self.decoder)
        } else {
            Err(de::Error::invalid_type(Unexpected::UnitVariant, &expected))
        }
    }
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = CodecError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        let name = seed.deserialize(&mut *self.decoder)?;
        Ok((name, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = CodecError;

    fn unit_variant(self) -> Result<()> {
        if self.with_data { Deserialize::deserialize(self.decoder) } else { Ok(()) }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(self.data("newtype variant")?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        self.data("tuple variant")?.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.data("struct variant")?.deserialize_struct("", fields, visitor)
    }
}

/// The elements of a sequence of `u8` that are left.
struct Bytes<'de> {
    /// Those elements.
    left: std::slice::Iter<'de, u8>,
    /// How deep the sequence is nested.
    depth: Depth,
}

impl<'de> SeqAccess<'de> for Bytes<'de> {
    type Error = CodecError;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        match self.left.next() {
            Some(&value) => seed.deserialize(Byte { value, depth: self.depth }).map(Some),
            None => Ok(None),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.len().min(MAX_HINT))
    }
}

/// One element of a sequence of `u8`.
struct Byte {
    /// The element.
    value: u8,
    /// How deep it is nested, options that were not written included.
    depth: Depth,
}

impl<'de> Deserializer<'de> for Byte {
    type Error = CodecError;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_u8(self.value)
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        self.depth.enter()?;
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
