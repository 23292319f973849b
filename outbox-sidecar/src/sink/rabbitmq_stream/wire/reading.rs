use bytes::{Buf, Bytes};

/// What a peer sent is not what the protocol says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the broker sent something that is not the stream protocol: {0}")]
pub(in super::super) struct Malformed(pub(in super::super) String);

/// A frame's content, taken off from its front. Every step checks what is left.
pub(in super::super) struct Reading(Bytes);

impl Reading {
    pub(in super::super) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    pub(in super::super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.0.try_get_u8().map_err(|_| short())
    }

    pub(in super::super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.0.try_get_u16().map_err(|_| short())
    }

    pub(in super::super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.0.try_get_u32().map_err(|_| short())
    }

    pub(in super::super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.0.try_get_u64().map_err(|_| short())
    }

    /// How many members follow, each of at least `bytes_min` bytes: as many must be there.
    pub(in super::super) fn count(&mut self, bytes_min: usize) -> Result<usize, Malformed> {
        let count = usize::try_from(self.u32()?).map_err(|_| short())?;
        if count > self.0.len() / bytes_min.max(1) {
            return Err(Malformed(format!("a list of {count} that is not there")));
        }
        Ok(count)
    }

    /// A text; none is the empty one.
    pub(in super::super) fn text(&mut self) -> Result<String, Malformed> {
        // The length is signed; -1 stands for null.
        let length = match self.u16()? {
            u16::MAX => 0,
            length => usize::from(length),
        };
        if length > self.0.len() {
            return Err(short());
        }
        let text = self.0.split_to(length);
        String::from_utf8(text.into()).map_err(|_| Malformed("a text that is not UTF-8".into()))
    }

    pub(in super::super) fn rest(self) -> Bytes {
        self.0
    }

    /// What is left must hold `count` members of `bytes` bytes each.
    pub(in super::super) fn members(self, count: usize, bytes: usize) -> Result<Bytes, Malformed> {
        match count.checked_mul(bytes) {
            Some(expected) if expected == self.0.len() => Ok(self.0),
            _ => Err(Malformed("a list whose length does not fit".into())),
        }
    }
}

fn short() -> Malformed {
    Malformed("a frame ends too early".into())
}
