use bytes::Bytes;
use outbox_core::relay::StreamEvent;
use outbox_core::{Lsn, Timestamp};

use super::reader::Reader;
use crate::source::SourceError;

/// Begin: where and when the transaction has committed, and its id.
pub(super) fn begin(body: Bytes) -> Result<StreamEvent, SourceError> {
    let mut reader = Reader::new(body, "Begin");
    Ok(StreamEvent::Begin {
        commit_lsn: Lsn::new(reader.u64()?),
        commit_time: Timestamp::from_postgresql_us(reader.i64()?),
        xid: reader.u32()?,
    })
}
