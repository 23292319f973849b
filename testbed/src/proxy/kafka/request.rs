//! What of a request of Kafka's protocol a fault is chosen by.

/// The requests of a producer's transaction; each is known by its API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// `Produce`, key 0: librdkafka sends one for each partition.
    Produce,
    /// `InitProducerId`, key 22.
    InitProducerId,
    /// `AddPartitionsToTxn`, key 24.
    AddPartitions,
    /// `AddOffsetsToTxn`, key 25.
    AddOffsets,
    /// `EndTxn`, key 26, that commits.
    Commit,
    /// `EndTxn`, key 26, that rolls back.
    Abort,
    /// `TxnOffsetCommit`, key 28.
    OffsetCommit,
}

/// A request that belongs to a transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) kind: RequestKind,
    pub(super) correlation_id: i32,
    pub(super) transactional_id: String,
    /// From this version on the answer's header has tagged fields, too.
    is_flexible: bool,
}

/// The number that an answer begins with.
pub(super) fn correlation_id(answer: &[u8]) -> Option<i32> {
    Fields(answer).i32()
}

impl Request {
    /// Reads a frame without its length; `None` for all that is of no transaction.
    pub(super) fn read(frame: &[u8]) -> Option<Self> {
        let mut fields = Fields(frame);
        let (key, version) = (fields.i16()?, fields.i16()?);
        let flexible_from = match key {
            0 => 9,
            22 => 2,
            24 | 25 | 26 | 28 => 3,
            _ => return None,
        };
        let is_flexible = version >= flexible_from;
        let correlation_id = fields.i32()?;
        // The client's id never has the compact form.
        fields.string(false)?;
        if is_flexible {
            fields.tagged()?;
        }
        if key == 24 && version >= 4 {
            // Several transactions in one request: brokers send that to each other.
            fields.unsigned()?;
        }
        let transactional_id = fields.string(is_flexible)??.to_owned();
        let kind = match key {
            0 => RequestKind::Produce,
            22 => RequestKind::InitProducerId,
            24 => RequestKind::AddPartitions,
            25 => RequestKind::AddOffsets,
            28 => RequestKind::OffsetCommit,
            _ => {
                let (_producer_id, _epoch) = (fields.take(8)?, fields.i16()?);
                match fields.take(1)? {
                    [0] => RequestKind::Abort,
                    _ => RequestKind::Commit,
                }
            }
        };
        Some(Self {
            kind,
            correlation_id,
            transactional_id,
            is_flexible,
        })
    }

    /// The error code of this request's answer, where the answer has one for the whole request.
    pub(super) fn error_code(&self, answer: &[u8]) -> Option<i16> {
        match self.kind {
            RequestKind::Commit
            | RequestKind::Abort
            | RequestKind::InitProducerId
            | RequestKind::AddOffsets => {}
            RequestKind::Produce | RequestKind::AddPartitions | RequestKind::OffsetCommit => {
                return None;
            }
        }
        let mut fields = Fields(answer);
        fields.i32()?;
        if self.is_flexible {
            fields.tagged()?;
        }
        let _throttled_ms = fields.i32()?;
        fields.i16()
    }
}

/// Reads the protocol's fields one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn i16(&mut self) -> Option<i16> {
        self.take(2)?.try_into().ok().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.take(4)?.try_into().ok().map(i32::from_be_bytes)
    }

    /// A varint.
    fn unsigned(&mut self) -> Option<u32> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = *self.take(1)? else { return None };
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// The inner `None` is the protocol's null.
    fn string(&mut self, is_compact: bool) -> Option<Option<&'a str>> {
        let length = if is_compact {
            usize::try_from(self.unsigned()?).ok()?.checked_sub(1)
        } else {
            usize::try_from(self.i16()?).ok()
        };
        match length {
            Some(length) => std::str::from_utf8(self.take(length)?).ok().map(Some),
            None => Some(None),
        }
    }

    fn tagged(&mut self) -> Option<()> {
        for _ in 0..self.unsigned()? {
            self.unsigned()?;
            let length = usize::try_from(self.unsigned()?).ok()?;
            self.take(length)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `EndTxn` as librdkafka 2.12 sends it.
    const COMMIT_1: &[u8] = b"\0\x1a\0\x01\0\0\0\x07\0\x02rd\0\x03txn\0\0\0\0\0\0\0\x05\0\x02\x01";
    /// The same for transactions v2, with a tagged field in its header.
    const ABORT_5: &[u8] =
        b"\0\x1a\0\x05\0\0\0\x07\xff\xff\x01\x09\x02ab\x04txn\0\0\0\0\0\0\0\x05\0\x02\0\0";

    #[test]
    fn the_end_of_a_transaction_is_read_in_both_forms() {
        let commit = Request::read(COMMIT_1).unwrap();
        assert_eq!(commit.kind, RequestKind::Commit);
        assert_eq!(commit.correlation_id, 7);
        assert_eq!(commit.transactional_id, "txn");
        assert_eq!(commit.error_code(b"\0\0\0\x07\0\0\0\0\0\x5a"), Some(90));
        let abort = Request::read(ABORT_5).unwrap();
        assert_eq!(abort.kind, RequestKind::Abort);
        assert_eq!(abort.transactional_id, "txn");
        assert_eq!(abort.error_code(b"\0\0\0\x07\0\0\0\0\0\0\x2f"), Some(47));
    }

    #[test]
    fn what_is_of_no_transaction_or_torn_is_none() {
        for end in 0..COMMIT_1.len() {
            assert_eq!(Request::read(&COMMIT_1[..end]), None);
        }
        let metadata = b"\0\x03\0\x01\0\0\0\x07\0\x02rd\0\0\0\0";
        assert_eq!(Request::read(metadata), None);
        let idempotent_only = b"\0\0\0\x07\0\0\0\x07\0\x02rd\xff\xff\xff\xff";
        assert_eq!(Request::read(idempotent_only), None);
    }
}
