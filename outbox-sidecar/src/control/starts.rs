//! How processes that held the relay began and ended, as its row in `outbox.relay` tells it.

use outbox_core::relay::{Claim, EarlierEnds, EarlierTries, SourceFailure, TriedBatch};
use outbox_core::{Frontier, MessageId, SystemId};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::claim::{Writer, epoch, superseded};
use super::connection::bounded;
use super::failure_of;
use super::stuck_rows::{position, unreadable};

const BEGINNING: &str = "noting in outbox.relay that the relay begins";
const TRYING: &str = "noting in outbox.relay what is tried";
const ENDING: &str = "noting in outbox.relay that the relay ends";

/// A process that ends after so many checkpoints does not run well: the small batches that it begins
/// with may come before what ends it.
const CHECKPOINTS_MAX: i64 = 10;

impl Writer<'_> {
    /// This process holds the relay from now on; how those before it ended.
    pub(super) async fn begin_here(
        &self,
        client: &Client,
        claim: Claim,
        system_id: SystemId,
        (frontier, sequence): (Frontier, u64),
    ) -> Result<EarlierEnds, SourceFailure> {
        let (epoch, system_id) = (epoch(claim), system_id.0.to_string());
        let (lsn, index) = (frontier.lsn.to_string(), i64::from(frontier.index));
        let sequence = i64::try_from(sequence).unwrap_or(i64::MAX);
        let values: [&(dyn ToSql + Sync); 10] = [
            &self.relay,
            &epoch,
            &self.slot,
            &claim.walsender_pid,
            &system_id,
            &lsn,
            &index,
            &self.run,
            &sequence,
            &CHECKPOINTS_MAX,
        ];
        let sql = self.sql(include_str!("starts/begin.sql"));
        let row = bounded(BEGINNING, client.query_opt(&sql, &values)).await?;
        ends(&row.ok_or_else(superseded)?)
    }

    /// This process tries messages.
    pub(super) async fn try_batch(
        &self,
        client: &Client,
        claim: Claim,
        batch: TriedBatch,
    ) -> Result<(), SourceFailure> {
        let epoch = epoch(claim);
        let lsn = batch.position.commit_lsn.to_string();
        let index = i64::from(batch.position.index);
        let id = Uuid::from_bytes(*batch.id.as_bytes());
        let messages = i64::from(batch.messages);
        let values: [&(dyn ToSql + Sync); 9] = [
            &self.relay,
            &epoch,
            &self.slot,
            &claim.walsender_pid,
            &lsn,
            &index,
            &id,
            &self.run,
            &messages,
        ];
        let sql = self.sql(include_str!("starts/try.sql"));
        let noted = bounded(TRYING, client.query_opt(&sql, &values)).await?;
        noted.map(drop).ok_or_else(superseded)
    }

    /// This process lets go of the relay. Whether it still had it.
    pub(super) async fn end_here(
        &self,
        client: &Client,
        claim: Claim,
        forget_tries: bool,
    ) -> Result<bool, SourceFailure> {
        let epoch = epoch(claim);
        let values: [&(dyn ToSql + Sync); 6] = [
            &self.relay,
            &epoch,
            &self.slot,
            &claim.walsender_pid,
            &self.run,
            &forget_tries,
        ];
        let sql = self.sql(include_str!("starts/end.sql"));
        let ended = bounded(ENDING, client.execute(&sql, &values)).await?;
        Ok(ended > 0)
    }

    /// This process lives: what it tried has not ended it.
    pub(super) async fn survive(&self, client: &Client) -> Result<(), SourceFailure> {
        let sql = self.sql(include_str!("starts/survive.sql"));
        let values: [&(dyn ToSql + Sync); 2] = [&self.relay, &self.run];
        bounded(TRYING, client.execute(&sql, &values))
            .await
            .map(drop)
    }
}

fn ends(row: &Row) -> Result<EarlierEnds, SourceFailure> {
    let read = || -> Result<_, tokio_postgres::Error> {
        Ok((
            row.try_get::<_, i32>(0)?,
            row.try_get::<_, Option<Uuid>>(3)?,
            row.try_get::<_, i32>(4)?,
            row.try_get::<_, Option<i64>>(5)?,
        ))
    };
    let (unclean, id, count, messages) = read().map_err(|error| failure_of(&error, BEGINNING))?;
    let count_of =
        |number: i32| u32::try_from(number).map_err(|_| unreadable(&format!("number {number}")));
    let tried = match id.zip(messages) {
        Some((id, messages)) => Some(EarlierTries {
            batch: TriedBatch {
                position: position(row, 1)?,
                id: MessageId::from(id),
                messages: u32::try_from(messages).unwrap_or(u32::MAX),
            },
            count: count_of(count)?,
        }),
        None => None,
    };
    Ok(EarlierEnds {
        unclean: count_of(unclean)?,
        tried,
    })
}

#[cfg(test)]
mod tests;
