use outbox_core::relay::SourceFailure;
use outbox_core::{MessageId, Timestamp};
use tokio_postgres::Row;
use uuid::Uuid;

use super::StuckError;
use super::row::{ParkedRow, columns};
use crate::operator::{Session, column, count, time};

const DOING: &str = "reading a message of outbox.parked";

/// So many positions of one id are shown: each may have a payload of any size.
const POSITIONS_MAX: i64 = 20;

/// Everything that is known of a message that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShownRow {
    pub(crate) row: ParkedRow,
    pub(crate) timeline: u64,
    pub(crate) xid: u64,
    pub(crate) commit_time: Option<Timestamp>,
    /// A JSON document, mostly an object of strings.
    pub(crate) headers: String,
    /// Its beginning, where it is longer than was asked for; `None` of a tombstone.
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) last_request: Option<LastRequest>,
    /// How many messages of its key wait behind it.
    pub(crate) waiting_behind: u64,
    /// The first message of its key that waits, if it is an earlier one.
    pub(crate) waits_for: Option<MessageId>,
}

/// The last request that concerned a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LastRequest {
    pub(crate) id: Uuid,
    pub(crate) kind: String,
    pub(crate) destination: Option<String>,
    pub(crate) is_edited: bool,
    pub(crate) actor: String,
    pub(crate) role: String,
    pub(crate) note: Option<String>,
    pub(crate) state: String,
    pub(crate) requested_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
}

impl ShownRow {
    /// Whether all of the payload is here.
    pub(crate) fn has_whole_payload(&self) -> bool {
        let here = self.payload.as_ref().map(|payload| payload.len() as u64);
        here == self.row.payload_bytes
    }
}

/// Reads every row of an id, in the order of the log, with so much of each payload. An id that is
/// enqueued twice has two.
pub(crate) async fn show(
    session: &Session,
    id: MessageId,
    payload_bytes_max: usize,
) -> Result<Vec<ShownRow>, StuckError> {
    let mut values = session.values();
    let id = values.add(Uuid::from(id));
    let bytes = values.add(i32::try_from(payload_bytes_max).unwrap_or(i32::MAX));
    // Of a key that is blocked: what lies behind its first message that waits.
    let of_key = "(b.relay, b.system_id, b.destination, b.key)
                  = (p.relay, p.system_id, p.destination, p.key)";
    let blocks = "b.blocks_key and b.state in ('waiting', 'replaying')";
    let sql = format!(
        "select {columns}, p.timeline::int8 as timeline, p.xid,
                (extract(epoch from p.commit_time) * 1000000)::int8 as commit_time,
                p.headers::text as headers,
                substring(p.payload from 1 for {bytes}::int4) as payload,
                case when p.state in ('waiting', 'replaying') and exists (
                         select from {{schema}}.parked as b
                         where {of_key} and {blocks}
                           and (b.commit_lsn, b.index) <= (p.commit_lsn, p.index))
                     then (select count(*) from {{schema}}.parked as b
                           where {of_key} and b.state = 'waiting'
                             and (b.commit_lsn, b.index) > (p.commit_lsn, p.index))
                     else 0 end as waiting_behind,
                case when p.state in ('waiting', 'replaying') then (
                         select b.id from {{schema}}.parked as b
                         where {of_key} and {blocks}
                           and (b.commit_lsn, b.index) < (p.commit_lsn, p.index)
                         order by b.commit_lsn, b.index limit 1)
                     end as waits_for,
                r.kind as request_kind, r.destination as request_destination,
                r.edited as request_edited, r.actor as request_actor, r.role as request_role,
                r.note as request_note, r.state as request_state,
                (extract(epoch from r.requested_at) * 1000000)::int8 as requested_at,
                (extract(epoch from r.finished_at) * 1000000)::int8 as finished_at
         from {{schema}}.parked as p left join {{schema}}.request as r on r.id = p.request
         where p.relay = $1 and p.id = {id}
         order by p.commit_lsn, p.index, p.system_id limit {POSITIONS_MAX}",
        columns = columns(None),
    );
    let rows = session.rows(DOING, &sql, &values.as_parameters()).await?;
    let rows: Result<Vec<_>, _> = rows.iter().map(read).collect();
    Ok(rows?)
}

fn read(row: &Row) -> Result<ShownRow, SourceFailure> {
    let waits_for: Option<Uuid> = column(row, "waits_for", DOING)?;
    let shown = ParkedRow::read(row, DOING)?;
    let last_request = match shown.request {
        None => None,
        Some(id) => Some(LastRequest {
            id,
            kind: column(row, "request_kind", DOING)?,
            destination: column(row, "request_destination", DOING)?,
            is_edited: column(row, "request_edited", DOING)?,
            actor: column(row, "request_actor", DOING)?,
            role: column(row, "request_role", DOING)?,
            note: column(row, "request_note", DOING)?,
            state: column(row, "request_state", DOING)?,
            requested_at: time(row, "requested_at", DOING)?,
            finished_at: time(row, "finished_at", DOING)?,
        }),
    };
    Ok(ShownRow {
        row: shown,
        timeline: count(row, "timeline", DOING)?,
        xid: count(row, "xid", DOING)?,
        commit_time: time(row, "commit_time", DOING)?,
        headers: column(row, "headers", DOING)?,
        payload: column(row, "payload", DOING)?,
        last_request,
        waiting_behind: count(row, "waiting_behind", DOING)?,
        waits_for: waits_for.map(MessageId::from),
    })
}
