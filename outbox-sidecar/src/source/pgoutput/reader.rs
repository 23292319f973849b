use bytes::{Buf, Bytes};
use bytestring::ByteString;

use crate::source::SourceError;

/// Takes values off the front of a message.
///
/// It walks over a plain slice and shares the network buffer only for what a row keeps: counting
/// references for every field of every row would cost more than the decoding.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    block: &'a Bytes,
    /// A part of `block`.
    rest: &'a [u8],
    /// The message's name, for errors.
    message: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads `content`, which is a part of `block`.
    pub(super) const fn new(block: &'a Bytes, content: &'a [u8], message: &'static str) -> Self {
        Self {
            block,
            rest: content,
            message,
        }
    }

    /// Goes on as another message that lies inside this one.
    pub(super) const fn into_message(mut self, message: &'static str) -> Self {
        self.message = message;
        self
    }

    pub(super) fn u8(&mut self) -> Result<u8, SourceError> {
        self.rest.try_get_u8().map_err(|_| self.too_short())
    }

    pub(super) fn u16(&mut self) -> Result<u16, SourceError> {
        self.rest.try_get_u16().map_err(|_| self.too_short())
    }

    pub(super) fn u32(&mut self) -> Result<u32, SourceError> {
        self.rest.try_get_u32().map_err(|_| self.too_short())
    }

    pub(super) fn u64(&mut self) -> Result<u64, SourceError> {
        self.rest.try_get_u64().map_err(|_| self.too_short())
    }

    pub(super) fn i64(&mut self) -> Result<i64, SourceError> {
        self.rest.try_get_i64().map_err(|_| self.too_short())
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], SourceError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| self.too_short())?;
        self.rest = rest;
        Ok(taken)
    }

    /// As many bytes as the 32-bit length in front of them says.
    pub(super) fn counted_bytes(&mut self) -> Result<&'a [u8], SourceError> {
        let count = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        self.bytes(count)
    }

    /// A string that ends with a zero byte.
    pub(super) fn string(&mut self) -> Result<&'a str, SourceError> {
        let length = self
            .rest
            .iter()
            .position(|byte| *byte == 0)
            .ok_or_else(|| self.too_short())?;
        let text = self.bytes(length)?;
        self.bytes(1)?;
        std::str::from_utf8(text).map_err(|_| self.malformed("a name that is not UTF-8"))
    }

    /// Keeps a part of the message beyond the message, without copying it.
    pub(super) fn keep(&self, part: &[u8]) -> Bytes {
        self.block.slice_ref(part)
    }

    /// Keeps a text; `what` names it where it is not UTF-8.
    pub(super) fn keep_text(&self, part: &[u8], what: &str) -> Result<ByteString, SourceError> {
        ByteString::try_from(self.keep(part))
            .map_err(|_| self.malformed(&format!("a {what} that is not UTF-8")))
    }

    pub(super) fn malformed(&self, what: &str) -> SourceError {
        SourceError::Protocol(format!("pgoutput's {} message holds {what}", self.message))
    }

    fn too_short(&self) -> SourceError {
        SourceError::Protocol(format!("pgoutput's {} message is too short", self.message))
    }
}
