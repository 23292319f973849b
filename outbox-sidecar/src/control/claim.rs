use outbox_core::relay::{Claim, FailureKind, SourceFailure};
use outbox_core::schema::SchemaName;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::connection::bounded;
use super::failure_of;

/// Who writes about stuck messages: a relay, and its slot.
#[derive(Clone, Copy)]
pub(super) struct Writer<'a> {
    pub(super) schema: &'a SchemaName,
    pub(super) relay: &'a str,
    pub(super) slot: &'a str,
    /// Tells this process from every other that held the relay.
    pub(super) run: Uuid,
}

/// What must hold for a statement to mean anything: the relay's epoch is this one, and its slot is
/// in the hands of this server's process that serves our stream.
const CLAIM: &str = "r.name = $1 and r.epoch = $2
    and exists (select from pg_catalog.pg_replication_slots as s
                where s.slot_name = $3 and s.active_pid = $4)";

/// Raises the epoch, where the slot is ours: what an older activation would still write in PostgreSQL
/// is refused.
const RAISE: &str = "
    update {schema}.relay as r set epoch = r.epoch + 1, updated_at = now()
    where r.name = $1 and exists (select from pg_catalog.pg_replication_slots as s
                                  where s.slot_name = $2 and s.active_pid = $3)
    returning r.epoch";

/// Counts the write, where the claim holds; whoever claims next waits until it is done.
pub(super) const COUNTED: &str = "
    update {schema}.relay as r set stuck_writes = r.stuck_writes + 1 where {claim}
    returning r.stuck_writes";

/// How often was written, where the claim holds.
pub(super) const WRITES: &str = "select r.stuck_writes from {schema}.relay as r where {claim}";

impl Writer<'_> {
    pub(super) fn sql(&self, template: &str) -> String {
        template
            .replace("{counted}", COUNTED)
            .replace("{claim}", CLAIM)
            .replace("{schema}", &self.schema.quoted())
    }

    /// The new epoch, for whoever has the slot by this process of the server.
    pub(super) async fn claim_epoch(
        &self,
        client: &Client,
        walsender_pid: i32,
    ) -> Result<u64, SourceFailure> {
        let doing = "claiming the epoch";
        let sql = self.sql(RAISE);
        let values: [&(dyn ToSql + Sync); 3] = [&self.relay, &self.slot, &walsender_pid];
        let row = bounded(doing, client.query_opt(&sql, &values)).await?;
        let epoch: Option<i64> = row
            .map(|row| row.try_get(0))
            .transpose()
            .map_err(|error| failure_of(&error, doing))?;
        epoch
            .and_then(|epoch| u64::try_from(epoch).ok())
            .ok_or_else(|| SourceFailure {
                kind: FailureKind::ClaimSuperseded,
                message: "the slot is not held by our connection, or the relay was removed"
                    .to_owned(),
            })
    }
}

pub(super) fn epoch(claim: Claim) -> i64 {
    i64::try_from(claim.epoch).unwrap_or(i64::MAX)
}

pub(super) fn superseded() -> SourceFailure {
    SourceFailure {
        kind: FailureKind::ClaimSuperseded,
        message: "outbox.parked is another relay's turn: the slot is not held by our replication \
                  connection any more, or a newer activation has claimed the epoch"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::stuck_database::Database;
    use super::*;

    #[tokio::test]
    async fn only_who_has_the_slot_raises_the_epoch() {
        let database = Database::new().await;
        let (writer, client) = (database.writer(), &database.client);
        let pid = database.claim.walsender_pid;
        let refused = writer.claim_epoch(client, pid + 1).await.unwrap_err();
        assert_eq!(refused.kind, FailureKind::ClaimSuperseded, "{refused}");
        // The one before stands: nothing was raised.
        let claimed = writer.claim_epoch(client, pid).await.unwrap();
        assert_eq!(claimed, database.claim.epoch + 1);
    }
}
