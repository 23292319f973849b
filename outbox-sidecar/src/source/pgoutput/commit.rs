use outbox_core::Lsn;
use outbox_core::relay::StreamEvent;

use super::reader::Reader;
use crate::source::SourceError;

/// Commit: the start and the end of the commit record.
pub(super) fn commit(mut reader: Reader<'_>) -> Result<StreamEvent, SourceError> {
    let _flags = reader.u8()?;
    Ok(StreamEvent::Commit {
        commit_lsn: Lsn::new(reader.u64()?),
        end_lsn: Lsn::new(reader.u64()?),
    })
}
