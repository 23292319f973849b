use bytes::{Buf, Bytes};
use bytestring::ByteString;

use crate::source::SourceError;

/// Takes values off the front of a message. What is taken is a slice of the same buffer.
#[derive(Debug)]
pub(super) struct Reader {
    rest: Bytes,
    /// The message's name, for errors.
    message: &'static str,
}

impl Reader {
    pub(super) const fn new(rest: Bytes, message: &'static str) -> Self {
        Self { rest, message }
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

    pub(super) fn bytes(&mut self, count: usize) -> Result<Bytes, SourceError> {
        if count > self.rest.len() {
            return Err(self.too_short());
        }
        Ok(self.rest.split_to(count))
    }

    /// A string that ends with a zero byte.
    pub(super) fn string(&mut self) -> Result<ByteString, SourceError> {
        let length = self
            .rest
            .iter()
            .position(|byte| *byte == 0)
            .ok_or_else(|| self.too_short())?;
        let text = self.rest.split_to(length);
        self.rest.advance(1);
        ByteString::try_from(text).map_err(|_| self.malformed("a name that is not UTF-8"))
    }

    pub(super) fn rest(self) -> Bytes {
        self.rest
    }

    pub(super) fn malformed(&self, what: &str) -> SourceError {
        SourceError::Protocol(format!("pgoutput's {} message holds {what}", self.message))
    }

    fn too_short(&self) -> SourceError {
        SourceError::Protocol(format!("pgoutput's {} message is too short", self.message))
    }
}
