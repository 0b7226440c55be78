//! Writing: a serde `Serializer` that appends to a buffer.
//!
//! Two things are only known at the end of a container: how many items it had (the announced
//! count may be absent or wrong) and whether all elements of a sequence were `u8`. The header
//! is written from what is announced and put right at the end; a sequence starts as bytes and
//! is rewritten at the first element that is not a `u8`, for most at once and for free. That
//! first part is in `element.rs`.

use serde::ser::{self, Serialize, Serializer};

use super::element::Element;
use super::{CodecError, Depth, tag};

/// The result of everything here.
type Result<T, E = CodecError> = std::result::Result<T, E>;

/// Appends values to a buffer.
pub(super) struct Encoder<'a> {
    /// Where to.
    out: &'a mut Vec<u8>,
    /// How deep the value being written is nested.
    depth: Depth,
}

impl<'a> Encoder<'a> {
    /// An encoder that appends to `out`.
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, depth: Depth::new() }
    }

    /// Checks that all that was begun was also ended.
    ///
    /// It was not if a `Serialize` went on after an error, or dropped a container half-way.
    pub(super) fn finish(&self) -> Result<()> {
        if self.depth.levels == 0 {
            Ok(())
        } else {
            Err(CodecError::new("a value was left unfinished"))
        }
    }

    /// Writes a tag and a payload of fixed size.
    #[inline]
    fn fixed<const N: usize>(&mut self, tag: u8, payload: [u8; N]) {
        self.out.reserve(1 + N);
        self.out.push(tag);
        self.out.extend_from_slice(&payload);
    }

    /// Writes a `u8`.
    #[inline]
    fn byte(&mut self, value: u8) {
        self.out.extend_from_slice(&[tag::U8, value]);
    }

    /// Writes a tag of the given width and the number's low bytes.
    #[inline]
    fn number(&mut self, tag: u8, width: u8, bits: u64) {
        let [a, b, c, d, ..] = bits.to_le_bytes();
        let tag = tag | width;
        match width {
            0 => self.fixed(tag, [a]),
            1 => self.fixed(tag, [a, b]),
            2 => self.fixed(tag, [a, b, c, d]),
            _ => self.fixed(tag, bits.to_le_bytes()),
        }
    }

    /// Writes an unsigned number in the fewest bytes.
    #[inline]
    fn unsigned(&mut self, tag: u8, value: u64) {
        self.number(tag, width_of(value), value);
    }

    /// Writes a signed number in the fewest bytes.
    #[inline]
    fn signed(&mut self, tag: u8, value: i64) {
        // Without the sign, and with a bit of room for it.
        let magnitude = (value ^ (value >> 63)).cast_unsigned() << 1;
        self.number(tag, width_of(magnitude), value.cast_unsigned());
    }

    /// Writes a tag, a length and so many bytes.
    #[inline]
    fn block(&mut self, tag: u8, bytes: &[u8]) {
        self.unsigned(tag, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    /// Begins the variant of this name.
    fn variant(&mut self, name: &str) -> Result<()> {
        self.depth.enter()?;
        self.out.push(tag::VARIANT);
        self.block(tag::STR, name.as_bytes());
        Ok(())
    }

    /// Begins a container that is announced to have so many items.
    fn container(&mut self, tag: u8, announced: Option<usize>) -> Result<Header> {
        self.depth.enter()?;
        let announced = announced.unwrap_or(0);
        let header = Header { at: self.out.len(), announced };
        self.unsigned(tag, announced as u64);
        Ok(header)
    }
}

/// The least width that holds this number.
#[inline]
fn width_of(value: u64) -> u8 {
    if u8::try_from(value).is_ok() {
        0
    } else if u16::try_from(value).is_ok() {
        1
    } else if u32::try_from(value).is_ok() {
        2
    } else {
        3
    }
}

/// Where a container's tag and count are in the buffer.
struct Header {
    /// Where the tag is.
    at: usize,
    /// The count that is written there.
    announced: usize,
}

impl Header {
    /// Writes another tag of the same width.
    fn retag(&self, out: &mut [u8], tag: u8) {
        out[self.at] = tag | (out[self.at] & tag::WIDTH);
    }

    /// Where the items begin.
    fn body(&self, out: &[u8]) -> usize {
        self.at + 1 + (1 << (out[self.at] & tag::WIDTH))
    }

    /// Puts right a count other than the one announced, and makes room if it is wider.
    #[cold]
    fn correct(&self, out: &mut Vec<u8>, count: usize) {
        let body = self.body(out);
        let width = (out[self.at] & tag::WIDTH).max(width_of(count as u64));
        let size = 1 << width;
        out[self.at] = (out[self.at] & !tag::WIDTH) | width;
        let number = (count as u64).to_le_bytes();
        out.splice(self.at + 1..body, number.into_iter().take(size));
    }
}

/// Writes the elements of a sequence or a tuple.
pub(super) struct Elements<'e, 'a> {
    encoder: &'e mut Encoder<'a>,
    header: Header,
    /// How many elements are written.
    count: usize,
    /// All elements so far were `u8` and are in the buffer without their tags.
    bytes_only: bool,
    /// How many levels end with this one: 2 for the data of a variant, else 1.
    levels: usize,
}

impl<'e, 'a> Elements<'e, 'a> {
    /// Begins a sequence.
    fn new(encoder: &'e mut Encoder<'a>, announced: Option<usize>) -> Result<Self> {
        let header = encoder.container(tag::BYTE_SEQ, announced)?;
        Ok(Self { encoder, header, count: 0, bytes_only: true, levels: 1 })
    }

    /// Writes one element.
    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        if self.bytes_only {
            value.serialize(Element(&mut *self))?;
        } else {
            value.serialize(&mut *self.encoder)?;
        }
        self.count += 1;
        Ok(())
    }

    /// Appends an element that is a `u8`, while there was no other.
    #[inline]
    pub(super) fn push_byte(&mut self, value: u8) {
        self.encoder.out.push(value);
    }

    /// The encoder, for the first element that is not a `u8`.
    ///
    /// The bytes written so far get their tags.
    pub(super) fn mixed(&mut self) -> &mut Encoder<'a> {
        self.bytes_only = false;
        let out = &mut *self.encoder.out;
        let end = out.len();
        self.header.retag(out, tag::SEQ);
        if self.count > 0 {
            let start = self.header.body(out);
            let bytes = out[start..end].to_vec();
            out.splice(start..end, bytes.into_iter().flat_map(|byte| [tag::U8, byte]));
        }
        self.encoder
    }

    /// Ends the sequence.
    #[inline]
    fn close(self) -> Result<()> {
        if self.count != self.header.announced {
            self.header.correct(self.encoder.out, self.count);
        }
        self.encoder.depth.levels -= self.levels;
        Ok(())
    }
}

/// Writes the entries of a map or a struct.
pub(super) struct Entries<'e, 'a> {
    encoder: &'e mut Encoder<'a>,
    header: Header,
    /// How many entries are complete.
    count: usize,
    /// A key waits for its value, or its value failed.
    half: bool,
    /// How many levels end with this one: 2 for the data of a variant, else 1.
    levels: usize,
}

impl<'e, 'a> Entries<'e, 'a> {
    /// Begins a map.
    fn new(encoder: &'e mut Encoder<'a>, announced: Option<usize>) -> Result<Self> {
        let header = encoder.container(tag::MAP, announced)?;
        Ok(Self { encoder, header, count: 0, half: false, levels: 1 })
    }

    /// Writes a field of a struct.
    #[inline]
    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<()> {
        self.half = true;
        self.encoder.block(tag::STR, name.as_bytes());
        self.value(value)
    }

    /// Writes a value to the key before it.
    #[inline]
    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        value.serialize(&mut *self.encoder)?;
        self.half = false;
        self.count += 1;
        Ok(())
    }

    /// Checks whether a value comes now, or a key, or the end.
    #[inline]
    fn expect(&self, value: bool) -> Result<()> {
        if self.half == value {
            Ok(())
        } else {
            Err(CodecError::new("keys and values of a map do not alternate"))
        }
    }

    /// Ends the map.
    #[inline]
    fn close(self) -> Result<()> {
        self.expect(false)?;
        if self.count != self.header.announced {
            self.header.correct(self.encoder.out, self.count);
        }
        self.encoder.depth.levels -= self.levels;
        Ok(())
    }
}

/// Implements the `Serializer` methods that write one value by one call.
macro_rules! scalars {
    ($($method:ident($value:ident: $type:ty) => $write:ident($($arg:expr),*),)*) => { $(
        #[inline]
        fn $method(self, $value: $type) -> Result<()> {
            self.$write($($arg),*);
            Ok(())
        }
    )* };
}

impl<'e, 'a> Serializer for &'e mut Encoder<'a> {
    type Ok = ();
    type Error = CodecError;
    type SerializeSeq = Elements<'e, 'a>;
    type SerializeTuple = Elements<'e, 'a>;
    type SerializeTupleStruct = Elements<'e, 'a>;
    type SerializeTupleVariant = Elements<'e, 'a>;
    type SerializeMap = Entries<'e, 'a>;
    type SerializeStruct = Entries<'e, 'a>;
    type SerializeStructVariant = Entries<'e, 'a>;

    fn is_human_readable(&self) -> bool {
        true
    }

    scalars! {
        serialize_i8(value: i8) => signed(tag::I8, value.into()),
        serialize_i16(value: i16) => signed(tag::I16, value.into()),
        serialize_i32(value: i32) => signed(tag::I32, value.into()),
        serialize_i64(value: i64) => signed(tag::I64, value),
        serialize_i128(value: i128) => fixed(tag::I128, value.to_le_bytes()),
        serialize_u8(value: u8) => byte(value),
        serialize_u16(value: u16) => unsigned(tag::U16, value.into()),
        serialize_u32(value: u32) => unsigned(tag::U32, value.into()),
        serialize_u64(value: u64) => unsigned(tag::U64, value),
        serialize_u128(value: u128) => fixed(tag::U128, value.to_le_bytes()),
        serialize_f32(value: f32) => fixed(tag::F32, value.to_bits().to_le_bytes()),
        serialize_f64(value: f64) => fixed(tag::F64, value.to_bits().to_le_bytes()),
        serialize_char(value: char) => fixed(tag::CHAR, u32::from(value).to_le_bytes()),
        serialize_str(value: &str) => block(tag::STR, value.as_bytes()),
        serialize_bytes(value: &[u8]) => block(tag::BYTES, value),
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<()> {
        self.out.push(if value { tag::TRUE } else { tag::FALSE });
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Result<()> {
        self.out.push(tag::NONE);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        self.depth.enter()?;
        self.out.push(tag::SOME);
        value.serialize(&mut *self)?;
        self.depth.leave();
        Ok(())
    }

    #[inline]
    fn serialize_unit(self) -> Result<()> {
        self.out.push(tag::UNIT);
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<()> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<()> {
        self.variant(variant)?;
        value.serialize(&mut *self)?;
        self.depth.leave();
        Ok(())
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Elements<'e, 'a>> {
        Elements::new(self, len)
    }

    fn serialize_tuple(self, len: usize) -> Result<Elements<'e, 'a>> {
        Elements::new(self, Some(len))
    }

    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<Elements<'e, 'a>> {
        Elements::new(self, Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Elements<'e, 'a>> {
        self.variant(variant)?;
        Ok(Elements { levels: 2, ..Elements::new(self, Some(len))? })
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Entries<'e, 'a>> {
        Entries::new(self, len)
    }

    fn serialize_struct(self, _name: &'static str, len: usize) -> Result<Entries<'e, 'a>> {
        Entries::new(self, Some(len))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Entries<'e, 'a>> {
        self.variant(variant)?;
        Ok(Entries { levels: 2, ..Entries::new(self, Some(len))? })
    }
}

/// Implements a serde trait of sequences, whose method has this name, for [`Elements`].
macro_rules! sequence {
    ($($name:ident $method:ident),*) => { $(
        impl ser::$name for Elements<'_, '_> {
            type Ok = ();
            type Error = CodecError;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.element(value)
            }

            #[inline]
            fn end(self) -> Result<()> {
                self.close()
            }
        }
    )* };
}

sequence! {
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
}

/// Implements a serde trait of structs for [`Entries`].
macro_rules! fields {
    ($($name:ident),*) => { $(
        impl ser::$name for Entries<'_, '_> {
            type Ok = ();
            type Error = CodecError;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<()> {
                self.field(name, value)
            }

            #[inline]
            fn end(self) -> Result<()> {
                self.close()
            }
        }
    )* };
}

fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Entries<'_, '_> {
    type Ok = ();
    type Error = CodecError;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.expect(false)?;
        key.serialize(&mut *self.encoder)?;
        self.half = true;
        Ok(())
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.expect(true)?;
        self.value(value)
    }

    #[inline]
    fn end(self) -> Result<()> {
        self.close()
    }
}
