use outbox_core::relay::SourceFailure;
use outbox_core::{MessageId, Position, Timestamp};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::operator::{column, count, position, time};

/// A message that was set aside, without its payload and headers. Its texts may be shortened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParkedRow {
    pub(crate) position: Position,
    /// It lies in the log of another cluster: no replay here can bring it back.
    pub(crate) is_foreign: bool,
    pub(crate) system_id: String,
    pub(crate) id: MessageId,
    pub(crate) destination: String,
    pub(crate) key: Option<String>,
    pub(crate) message_type: String,
    pub(crate) content_type: String,
    /// `None` of a tombstone.
    pub(crate) payload_bytes: Option<u64>,
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) reason: String,
    pub(crate) error: String,
    pub(crate) attempts: u64,
    pub(crate) blocks_key: bool,
    pub(crate) state: String,
    pub(crate) parked_at: Option<Timestamp>,
    /// How long ago that was, by the server's clock, in seconds.
    pub(crate) age_s: u64,
    pub(crate) actor: Option<String>,
    pub(crate) note: Option<String>,
    pub(crate) request: Option<Uuid>,
    pub(crate) replays: u64,
    pub(crate) settled_at: Option<Timestamp>,
}

/// How much of a text is read for a list, in characters.
pub(super) const LISTED_CHARACTERS_MAX: usize = 250;

/// The columns of [`ParkedRow::read`], of a row `p`; `$2` is the cluster that is asked. Texts are
/// cut behind so many characters.
pub(super) fn columns(characters_max: Option<usize>) -> String {
    let text = |column: &str| match characters_max {
        None => format!("p.{column} as {column}"),
        Some(max) => format!(
            "case when char_length(p.{column}) > {max} then left(p.{column}, {max}) || '…' \
             else p.{column} end as {column}"
        ),
    };
    let texts = [
        "destination",
        "key",
        "type",
        "content_type",
        "error",
        "actor",
        "note",
    ]
    .map(text);
    let time = |column: &str| {
        format!(
            "case when isfinite(p.{column}) then (extract(epoch from p.{column}) * 1000000)::int8 \
             end as {column}"
        )
    };
    let times = ["created_at", "parked_at", "settled_at"].map(time);
    format!(
        "p.commit_lsn::text as lsn, p.index, p.system_id, p.system_id <> $2 as is_foreign, p.id, \
         {}, {}, octet_length(p.payload)::int8 as payload_bytes, p.reason, \
         p.attempts::int8 as attempts, p.blocks_key, p.state, p.request, \
         p.replays::int8 as replays, \
         greatest(extract(epoch from clock_timestamp() - p.parked_at), 0)::int8 as age_s",
        texts.join(", "),
        times.join(", ")
    )
}

impl ParkedRow {
    pub(super) fn read(row: &Row, doing: &str) -> Result<Self, SourceFailure> {
        let payload_bytes: Option<i64> = column(row, "payload_bytes", doing)?;
        Ok(Self {
            position: position(row, doing)?,
            is_foreign: column(row, "is_foreign", doing)?,
            system_id: column(row, "system_id", doing)?,
            id: column::<Uuid>(row, "id", doing)?.into(),
            destination: column(row, "destination", doing)?,
            key: column(row, "key", doing)?,
            message_type: column(row, "type", doing)?,
            content_type: column(row, "content_type", doing)?,
            payload_bytes: payload_bytes.and_then(|bytes| u64::try_from(bytes).ok()),
            created_at: time(row, "created_at", doing)?,
            reason: column(row, "reason", doing)?,
            error: column(row, "error", doing)?,
            attempts: count(row, "attempts", doing)?,
            blocks_key: column(row, "blocks_key", doing)?,
            state: column(row, "state", doing)?,
            parked_at: time(row, "parked_at", doing)?,
            age_s: count(row, "age_s", doing)?,
            actor: column(row, "actor", doing)?,
            note: column(row, "note", doing)?,
            request: column(row, "request", doing)?,
            replays: count(row, "replays", doing)?,
            settled_at: time(row, "settled_at", doing)?,
        })
    }
}
