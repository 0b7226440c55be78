//! The codec of arguments and results: MessagePack, structs as maps, bytes as bytes.
//!
//! Chosen by `tests/codec.rs` over every kind of serde type; see `docs/architecture.md`.

use std::fmt;

use rmp_serde::config::BytesMode;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a value could not be encoded or decoded.
#[derive(Debug)]
pub(crate) struct CodecError(String);

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Appends the encoded value.
pub(crate) fn encode<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let mut serializer =
        rmp_serde::Serializer::new(out).with_struct_map().with_bytes(BytesMode::ForceAll);
    value.serialize(&mut serializer).map_err(|error| CodecError(error.to_string()))
}

/// The value that `bytes` hold, and nothing but it.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let mut rest = bytes;
    let mut deserializer = rmp_serde::Deserializer::new(&mut rest);
    let value = T::deserialize(&mut deserializer).map_err(|error| CodecError(error.to_string()))?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(CodecError(format!("{} bytes follow the value", rest.len())))
    }
}
