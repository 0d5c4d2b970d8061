//! Encoding of messages: postcard bytes, so that both sides agree without a C layout.

use alloc::vec::Vec;
use serde::{Serialize, de::DeserializeOwned};

/// Why bytes could not become a message, or a message bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedMessage;

/// Encodes `message`.
///
/// # Errors
/// [`MalformedMessage`] if a part of it cannot be serialised (for example a length over 2^64).
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, MalformedMessage> {
    postcard::to_allocvec(message).map_err(|_| MalformedMessage)
}

/// Decodes one message; trailing bytes are ignored, since buffers are larger than messages.
///
/// # Errors
/// [`MalformedMessage`] if `bytes` is truncated or holds no valid value. Never panics.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, MalformedMessage> {
    postcard::from_bytes(bytes).map_err(|_| MalformedMessage)
}
