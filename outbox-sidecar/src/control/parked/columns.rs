use outbox_core::relay::{ParkReason, ParkedMessage};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::control::timestamptz::Timestamptz;

/// The messages, column by column.
pub(super) struct Columns<'a> {
    commit_lsn: Vec<String>,
    index: Vec<i64>,
    xid: Vec<i64>,
    commit_time: Vec<Timestamptz>,
    id: Vec<Uuid>,
    destination: Vec<&'a str>,
    key: Vec<Option<&'a str>>,
    message_type: Vec<&'a str>,
    content_type: Vec<&'a str>,
    payload: Vec<Option<&'a [u8]>>,
    headers: Vec<&'a str>,
    created_at: Vec<Timestamptz>,
    reason: Vec<&'static str>,
    error: Vec<&'a str>,
    attempts: Vec<i32>,
    blocks_key: Vec<bool>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(messages: &'a [ParkedMessage]) -> Self {
        fn each<'a, T>(
            messages: &'a [ParkedMessage],
            column: impl Fn(&'a ParkedMessage) -> T,
        ) -> Vec<T> {
            messages.iter().map(column).collect()
        }
        Self {
            commit_lsn: each(messages, |m| m.delivery.position.commit_lsn.to_string()),
            index: each(messages, |m| i64::from(m.delivery.position.index)),
            xid: each(messages, |m| i64::from(m.delivery.xid)),
            commit_time: each(messages, |m| Timestamptz(m.delivery.commit_time)),
            id: each(messages, |m| Uuid::from(m.delivery.row.id)),
            destination: each(messages, |m| &*m.delivery.row.destination),
            key: each(messages, |m| m.delivery.row.key.as_deref()),
            message_type: each(messages, |m| &*m.delivery.row.message_type),
            content_type: each(messages, |m| &*m.delivery.row.content_type),
            payload: each(messages, |m| m.delivery.row.payload.as_deref()),
            headers: each(messages, |m| &*m.delivery.row.headers),
            created_at: each(messages, |m| Timestamptz(m.delivery.row.created_at)),
            reason: each(messages, |m| m.reason.as_str()),
            error: each(messages, |m| &*m.error),
            attempts: each(messages, |m| i32::from(m.reason != ParkReason::KeyBlocked)),
            blocks_key: each(messages, |m| m.blocks_key),
        }
    }

    pub(super) fn values(&self) -> [&(dyn ToSql + Sync); 16] {
        [
            &self.commit_lsn,
            &self.index,
            &self.xid,
            &self.commit_time,
            &self.id,
            &self.destination,
            &self.key,
            &self.message_type,
            &self.content_type,
            &self.payload,
            &self.headers,
            &self.created_at,
            &self.reason,
            &self.error,
            &self.attempts,
            &self.blocks_key,
        ]
    }
}
