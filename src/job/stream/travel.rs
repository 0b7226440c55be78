//! How a stream's values and answers travel between processes.

use std::collections::VecDeque;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::JobError;
use crate::job::panics;
use crate::wire::codec::{self, CodecError};

/// A value on its way, and the number under which an answer is wanted.
pub(super) struct Item<Y> {
    pub(super) value: Y,
    pub(super) ticket: Option<u32>,
}

/// What values are decoded by, and answers encoded.
pub(super) struct Codec<Y, S> {
    decode: fn(&[u8]) -> Result<Y, CodecError>,
    encode: fn(&Option<S>, &mut Vec<u8>) -> Result<(), CodecError>,
}

impl<Y: DeserializeOwned, S: Serialize> Codec<Y, S> {
    pub(super) fn new() -> Self {
        Self { decode: codec::decode, encode: |answer, out| codec::encode(answer, out) }
    }
}

impl<Y, S> Codec<Y, S> {
    /// Encodes an answer, and drops it.
    pub(super) fn encode(&self, answer: Option<S>) -> Result<Vec<u8>, JobError> {
        let mut bytes = Vec::new();
        let encoded = panics::catch_panic(|| (self.encode)(&answer, &mut bytes));
        panics::drop_quietly(answer);
        match encoded {
            Ok(Ok(())) => Ok(bytes),
            Ok(Err(error)) => Err(JobError::codec(format!("the answer does not encode: {error}"))),
            Err(panic) => Err(JobError::panic(panic)),
        }
    }

    fn decode(&self, bytes: &[u8]) -> Result<Y, JobError> {
        match panics::catch_panic(|| (self.decode)(bytes)) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(JobError::codec(format!(
                "a value of the stream does not decode: {error}; its type must deserialize what \
                 it serializes"
            ))),
            Err(panic) => Err(JobError::panic(panic)),
        }
    }

    /// Values that each come behind their length: those before the first that is not whole or does
    /// not decode, and why it is not or does not.
    pub(super) fn decode_all(&self, bytes: &[u8]) -> (VecDeque<Item<Y>>, Option<JobError>) {
        let mut items = VecDeque::new();
        let mut rest = bytes;
        while let Some((length, more)) = rest.split_first_chunk() {
            let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
            let Some((value, more)) = more.split_at_checked(length) else { break };
            rest = more;
            match self.decode(value) {
                Ok(value) => items.push_back(Item { value, ticket: None }),
                Err(error) => return (items, Some(error)),
            }
        }
        let cut_off = || JobError::codec("a worker's values are cut off".into());
        (items, (!rest.is_empty()).then(cut_off))
    }

    /// A value behind the number under which its worker wants an answer.
    pub(super) fn decode_asked(&self, bytes: &[u8]) -> Result<(u32, Y), JobError> {
        let Some((number, value)) = bytes.split_first_chunk() else {
            return Err(JobError::codec("a worker's value has no number".into()));
        };
        Ok((u32::from_le_bytes(*number), self.decode(value)?))
    }
}
