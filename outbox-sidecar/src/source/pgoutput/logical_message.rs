use bytes::Bytes;
use outbox_core::relay::StreamEvent;

use super::reader::Reader;
use crate::source::SourceError;

/// The flag of a message that belongs to a transaction.
const TRANSACTIONAL: u8 = 1;

/// Message: `pg_logical_emit_message`. One outside a transaction has no place in the commit order
/// and is passed over.
pub(super) fn logical_message(body: Bytes) -> Result<Option<StreamEvent>, SourceError> {
    let mut reader = Reader::new(body, "Message");
    let flags = reader.u8()?;
    let _lsn = reader.u64()?;
    let prefix = reader.string()?;
    let length = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
    let content = reader.bytes(length)?;
    Ok((flags & TRANSACTIONAL != 0).then_some(StreamEvent::LogicalMessage { prefix, content }))
}
