use outbox_core::relay::StreamEvent;
use outbox_core::{Lsn, Timestamp};

use super::reader::Reader;
use crate::source::SourceError;

/// Begin: where and when the transaction has committed, and its id.
pub(super) fn begin(
    mut reader: Reader<'_>,
    sent_at: Timestamp,
) -> Result<StreamEvent, SourceError> {
    Ok(StreamEvent::Begin {
        commit_lsn: Lsn::new(reader.u64()?),
        commit_time: Timestamp::from_postgresql_us(reader.i64()?),
        sent_at,
        xid: reader.u32()?,
    })
}
