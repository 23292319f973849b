//! The table of messages that are set aside, as a relay reads and writes it.

mod columns;

use columns::Columns;
use outbox_core::relay::{
    BlockedKey, Claim, FailureKind, ParkedEarlier, ParkedMessage, SourceFailure, UncoveredRow,
};
use outbox_core::schema::SchemaName;
use outbox_core::{Frontier, MessageId, Position, SystemId, TimelineId};
use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::connection::bounded;
use super::failure_of;

const READING: &str = "reading outbox.parked";

/// Whose messages, and by which slot.
pub(crate) struct ParkedTable<'a> {
    pub(crate) schema: &'a SchemaName,
    pub(crate) relay: &'a str,
    pub(crate) slot: &'a str,
    /// The cluster whose log the messages lie in.
    pub(crate) system_id: SystemId,
}

/// What must hold for a statement to mean anything: the relay's epoch is this one, and its slot is
/// in the hands of this server's process that serves our stream.
const CLAIM: &str = "r.name = $1 and r.epoch = $2
    and exists (select from pg_catalog.pg_replication_slots as s
                where s.slot_name = $3 and s.active_pid = $4)";

/// Counts the write, where the claim holds; whoever claims next waits until it is done.
const COUNTED: &str = "
    update {schema}.relay as r set stuck_writes = r.stuck_writes + 1 where {claim}
    returning r.stuck_writes";

impl ParkedTable<'_> {
    fn sql(&self, template: &str) -> String {
        template
            .replace("{counted}", COUNTED)
            .replace("{claim}", CLAIM)
            .replace("{schema}", &self.schema.quoted())
    }

    /// What was set aside and is not covered by the frontier, which keys wait, and how often the relay
    /// has written here.
    pub(crate) async fn read(
        &self,
        client: &Client,
        claim: Claim,
        frontier: Frontier,
    ) -> Result<ParkedEarlier, SourceFailure> {
        Ok(ParkedEarlier {
            writes: self.writes(client, claim).await?,
            uncovered: self.uncovered(client, frontier).await?,
            blocked: self.blocked(client).await?,
        })
    }

    async fn writes(&self, client: &Client, claim: Claim) -> Result<u64, SourceFailure> {
        let (pid, epoch) = (claim.walsender_pid, epoch(claim));
        let held = &[&self.relay as &(dyn ToSql + Sync), &epoch, &self.slot, &pid];
        let sql = format!("select r.stuck_writes from {{schema}}.relay as r where {CLAIM}");
        let rows = self.rows(client, &sql, held).await?;
        number(rows.first().ok_or_else(superseded)?, 0)
    }

    async fn uncovered(
        &self,
        client: &Client,
        frontier: Frontier,
    ) -> Result<Vec<UncoveredRow>, SourceFailure> {
        let sql = "select commit_lsn::text, index, id from {schema}.parked
                   where (relay, system_id) = ($1, $2)
                     and (commit_lsn, index) >= ($3::text::pg_lsn, $4)";
        let (lsn, index) = (frontier.lsn.to_string(), i64::from(frontier.index));
        let (relay, system_id) = (self.relay, self.system_id());
        let rows = self
            .rows(client, sql, &[&relay, &system_id, &lsn, &index])
            .await?;
        let read = |row: &Row| {
            Ok(UncoveredRow {
                position: position(row)?,
                id: MessageId::from(column::<Uuid>(row, 2)?),
            })
        };
        rows.iter().map(read).collect()
    }

    async fn blocked(&self, client: &Client) -> Result<Vec<BlockedKey>, SourceFailure> {
        let sql = "select commit_lsn::text, index, destination, key from {schema}.parked
                   where (relay, system_id) = ($1, $2)
                     and blocks_key and state in ('waiting', 'replaying')";
        let (relay, system_id) = (self.relay, self.system_id());
        let rows = self.rows(client, sql, &[&relay, &system_id]).await?;
        let read = |row: &Row| {
            Ok(BlockedKey {
                from: position(row)?,
                destination: column(row, 2)?,
                key: column(row, 3)?,
            })
        };
        rows.iter().map(read).collect()
    }

    fn system_id(&self) -> String {
        self.system_id.0.to_string()
    }

    async fn rows(
        &self,
        client: &Client,
        template: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, SourceFailure> {
        bounded(READING, client.query(&self.sql(template), values)).await
    }

    /// Sets messages aside: all, or none. What is there already is left as it is. Returns how often the
    /// relay has written here now.
    pub(crate) async fn insert(
        &self,
        client: &Client,
        claim: Claim,
        timeline: TimelineId,
        messages: &[ParkedMessage],
    ) -> Result<u64, SourceFailure> {
        const SETTING_ASIDE: &str = "setting messages aside in outbox.parked";
        let sql = self.sql(
            "with claim as ({counted}), given as (
                 select $5::text as system_id, $6::int4 as timeline,
                        g.commit_lsn::pg_lsn as commit_lsn, g.index, g.xid,
                        timestamptz '2000-01-01 00:00:00+00'
                            + g.commit_time * interval '1 microsecond' as commit_time,
                        g.id, g.destination, g.key, g.type, g.content_type, g.payload,
                        g.headers::jsonb as headers,
                        timestamptz '2000-01-01 00:00:00+00'
                            + g.created_at * interval '1 microsecond' as created_at,
                        g.reason, g.error, g.attempts, g.blocks_key
                 from unnest($7::text[], $8::int8[], $9::int8[], $10::int8[], $11::uuid[],
                             $12::text[], $13::text[], $14::text[], $15::text[], $16::bytea[],
                             $17::text[], $18::int8[], $19::text[], $20::text[], $21::int4[],
                             $22::bool[])
                      as g (commit_lsn, index, xid, commit_time, id, destination, key, type,
                            content_type, payload, headers, created_at, reason, error, attempts,
                            blocks_key)
             ), differing as (
                 select given.commit_lsn, given.index, given.id, parked.id as found
                 from given join {schema}.parked as parked
                      on (parked.relay, parked.system_id, parked.commit_lsn, parked.index)
                         = ($1, given.system_id, given.commit_lsn, given.index)
                 where parked.id <> given.id
             ), inserted as (
                 insert into {schema}.parked
                        (relay, system_id, timeline, commit_lsn, index, xid, commit_time, id, destination, key,
                         type, content_type, payload, headers, created_at, reason, error, attempts,
                         blocks_key)
                 select $1, given.* from given, claim
                 where not exists (select from differing)
                 on conflict (relay, system_id, commit_lsn, index) do nothing
             )
             select (select stuck_writes from claim),
                    (select format('at %s:%s stands message %s, not %s',
                                   commit_lsn, index, found, id)
                     from differing limit 1)",
        );
        let columns = Columns::of(messages);
        let epoch = epoch(claim);
        let system_id = self.system_id();
        let timeline = i32::try_from(timeline.0).unwrap_or(i32::MAX);
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![
            &self.relay,
            &epoch,
            &self.slot,
            &claim.walsender_pid,
            &system_id,
            &timeline,
        ];
        values.extend(columns.values());
        let row = bounded(SETTING_ASIDE, client.query_one(&sql, &values)).await?;
        let read = || {
            Ok((
                row.try_get::<_, Option<i64>>(0)?,
                row.try_get::<_, Option<String>>(1)?,
            ))
        };
        let (writes, differing) = read().map_err(|error| failure_of(&error, SETTING_ASIDE))?;
        let writes = writes.ok_or_else(superseded)?;
        match differing {
            Some(differing) => Err(SourceFailure {
                kind: FailureKind::ParkedDiffers,
                message: format!(
                    "{SETTING_ASIDE}: {differing}: the log was set back and written anew"
                ),
            }),
            None => number_of(writes),
        }
    }
}

fn position(row: &Row) -> Result<Position, SourceFailure> {
    let lsn: String = column(row, 0)?;
    let index: i64 = column(row, 1)?;
    let position = lsn.parse().ok().zip(u32::try_from(index).ok());
    let (commit_lsn, index) =
        position.ok_or_else(|| unreadable(&format!("position {lsn}:{index}")))?;
    Ok(Position { commit_lsn, index })
}

fn number(row: &Row, index: usize) -> Result<u64, SourceFailure> {
    number_of(column(row, index)?)
}

fn number_of(number: i64) -> Result<u64, SourceFailure> {
    u64::try_from(number).map_err(|_| unreadable(&format!("number {number}")))
}

fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, SourceFailure> {
    let read = row.try_get(index);
    read.map_err(|error| failure_of(&error, READING))
}

fn unreadable(what: &str) -> SourceFailure {
    SourceFailure {
        kind: FailureKind::Protocol,
        message: format!("{READING}: {what} cannot be"),
    }
}

fn epoch(claim: Claim) -> i64 {
    i64::try_from(claim.epoch).unwrap_or(i64::MAX)
}

fn superseded() -> SourceFailure {
    SourceFailure {
        kind: FailureKind::ClaimSuperseded,
        message: "outbox.parked is another relay's turn: the slot is not held by our replication \
                  connection any more, or a newer activation has claimed the epoch"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests;
