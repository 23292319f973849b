use outbox_core::relay::StreamEvent;

use super::reader::Reader;
use crate::source::SourceError;

/// The flag of a message that belongs to a transaction.
const TRANSACTIONAL: u8 = 1;

/// Message: `pg_logical_emit_message`. One outside a transaction has no place in the commit order
/// and is passed over.
pub(super) fn logical_message(mut reader: Reader<'_>) -> Result<Option<StreamEvent>, SourceError> {
    let flags = reader.u8()?;
    let _lsn = reader.u64()?;
    let prefix = reader.string()?;
    let content = reader.counted_bytes()?;
    if flags & TRANSACTIONAL == 0 {
        return Ok(None);
    }
    Ok(Some(StreamEvent::LogicalMessage {
        prefix: reader.keep_text(prefix.as_bytes(), "prefix")?,
        content: reader.keep(content),
    }))
}
