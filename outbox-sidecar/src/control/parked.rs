//! The table of messages that are set aside, as a relay reads and writes it.

mod columns;

use std::time::Duration;

use columns::Columns;
use outbox_core::relay::{
    BlockedKey, Claim, FailureKind, ParkedEarlier, ParkedMessage, SourceFailure, UncoveredRow,
};
use outbox_core::{Frontier, MessageId, SystemId, TimelineId};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::claim::{WRITES, Writer, epoch, superseded};
use super::connection::{bounded, within};
use super::failure_of;
use super::stuck_rows::{column, position, unreadable, unsigned};
use crate::failpoint::failpoint;

const READING: &str = "reading outbox.parked";

/// How long what is read on becoming active may take on the server: a million keys may wait.
const READING_MAX: Duration = Duration::from_secs(120);

/// How long its answer may take.
const READING_ANSWER_MAX: Duration = Duration::from_secs(135);

/// The table, of one relay and one cluster.
pub(crate) struct ParkedTable<'a> {
    pub(crate) writer: Writer<'a>,
    /// The cluster whose log the messages lie in.
    pub(crate) system_id: SystemId,
}

impl ParkedTable<'_> {
    /// What was set aside and is not covered by the frontier, which keys wait, and how often the relay
    /// has written here.
    ///
    /// Of a database that knows of fewer writes than `stuck_writes`, only their number is read.
    pub(crate) async fn read(
        &self,
        client: &mut Client,
        claim: Claim,
        (frontier, sequence): (Frontier, u64),
        stuck_writes: u64,
    ) -> Result<ParkedEarlier, SourceFailure> {
        let writes = self.writes(client, claim).await?;
        if writes < stuck_writes {
            return Ok(ParkedEarlier {
                writes,
                ..ParkedEarlier::default()
            });
        }
        let writer = &self.writer;
        writer
            .finish_passed(client, claim, self.system_id, frontier.lsn)
            .await?;
        let ends = writer.begin_here(client, claim, self.system_id, (frontier, sequence));
        let ends = ends.await?;
        let writes = self.writes(client, claim).await?;
        // Of a million keys the answer takes longer than others may.
        let reading = bounded(READING, client.transaction()).await?;
        let limit = format!("set local statement_timeout = {}", READING_MAX.as_millis());
        bounded(READING, reading.batch_execute(&limit)).await?;
        Ok(ParkedEarlier {
            ends,
            writes,
            uncovered: self.uncovered(reading.client(), frontier).await?,
            blocked: self.blocked(reading.client()).await?,
        })
    }

    async fn writes(&self, client: &Client, claim: Claim) -> Result<u64, SourceFailure> {
        let (pid, epoch) = (claim.walsender_pid, epoch(claim));
        let Writer { relay, slot, .. } = &self.writer;
        let held: [&(dyn ToSql + Sync); 4] = [relay, &epoch, slot, &pid];
        let rows = self.rows(client, WRITES, &held).await?;
        unsigned(rows.first().ok_or_else(superseded)?, 0)
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
        let (relay, system_id) = (self.writer.relay, self.system_id());
        let rows = self
            .rows(client, sql, &[&relay, &system_id, &lsn, &index])
            .await?;
        let read = |row: &Row| {
            Ok(UncoveredRow {
                position: position(row, 0)?,
                id: MessageId::from(column::<Uuid>(row, 2)?),
            })
        };
        rows.iter().map(read).collect()
    }

    async fn blocked(&self, client: &Client) -> Result<Vec<BlockedKey>, SourceFailure> {
        let sql = "select commit_lsn::text, index, destination, key from {schema}.parked
                   where (relay, system_id) = ($1, $2)
                     and blocks_key and state in ('waiting', 'replaying')";
        let (relay, system_id) = (self.writer.relay, self.system_id());
        let rows = self.rows(client, sql, &[&relay, &system_id]).await?;
        let read = |row: &Row| {
            Ok(BlockedKey {
                from: position(row, 0)?,
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
        let sql = self.writer.sql(template);
        within(READING_ANSWER_MAX, READING, client.query(&sql, values)).await
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
        let sql = self.writer.sql(
            "with claim as ({counted}), given as (
                 select $5::text as system_id, $6::int4 as timeline,
                        g.commit_lsn::pg_lsn as commit_lsn, g.index, g.xid, g.commit_time, g.id, g.destination, g.key, g.type, g.content_type, g.payload,
                        g.headers::jsonb as headers, g.created_at, g.reason, g.error, g.attempts, g.blocks_key
                 from unnest($7::text[], $8::int8[], $9::int8[], $10::timestamptz[], $11::uuid[],
                             $12::text[], $13::text[], $14::text[], $15::text[], $16::bytea[],
                             $17::text[], $18::timestamptz[], $19::text[], $20::text[], $21::int4[],
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
            &self.writer.relay,
            &epoch,
            &self.writer.slot,
            &claim.walsender_pid,
            &system_id,
            &timeline,
        ];
        values.extend(columns.values());
        failpoint("parking");
        let row = bounded(SETTING_ASIDE, client.query_one(&sql, &values)).await?;
        failpoint("parked");
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
            None => u64::try_from(writes).map_err(|_| unreadable(&format!("number {writes}"))),
        }
    }
}

#[cfg(test)]
mod tests;
