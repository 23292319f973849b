use std::time::Instant;

use outbox_core::relay::{Event, FailureKind, SourceFailure};
use outbox_core::schema::SchemaName;
use tokio_postgres::Client;

use super::Task;
use crate::control::connection::bounded;
use crate::control::gauges::{PARTITIONS_INTERVAL, WAITING_INTERVAL};
use crate::control::{Waiting, failure_of};
use crate::source::publication::{Publication, read_publication};
use crate::source::slot::read_slot;

/// Makes partitions ahead; how many there are, and how many rows none of them took.
async fn make_partitions(
    client: &Client,
    schema: &SchemaName,
) -> Result<(i32, i64), SourceFailure> {
    let doing = "making partitions";
    let sql = format!(
        "select partitions_ahead, default_rows_left from {}.maintain_partitions()",
        schema.quoted()
    );
    let row = bounded(doing, client.query_one(&sql, &[])).await?;
    let read = || Ok((row.try_get(0)?, row.try_get(1)?));
    read().map_err(|error| failure_of(&error, doing))
}

/// Whether the server went away, rather than refuse.
fn is_outage(failure: &SourceFailure) -> bool {
    matches!(
        failure.kind,
        FailureKind::Unreachable | FailureKind::ServerShutdown
    )
}

impl Task {
    /// What is due from time to time: the publication, the gauges, and partitions for the days to come.
    pub(super) async fn keep_up(&mut self) -> Result<(), SourceFailure> {
        let settings = self.settings.clone();
        let due = self
            .partitions_at
            .is_none_or(|at| at.elapsed() >= PARTITIONS_INTERVAL);
        let count = self
            .waiting_at
            .is_none_or(|at| at.elapsed() >= WAITING_INTERVAL);
        let client = self.client().await?;
        let publication = read_publication(client, &settings.publication, &settings.schema);
        let publication = bounded("reading the publication", publication).await?;
        let seen = publication.as_ref().map(Publication::fingerprint);
        // Without a driver nobody wants to know.
        let _ = self.answers.send(Event::PublicationSeen(seen));
        let client = self.client().await?;
        let slot = bounded("reading the slot", read_slot(client, &settings.slot)).await?;
        let end = "select case when pg_catalog.pg_is_in_recovery() then null \
                   else pg_catalog.pg_current_wal_lsn()::text end";
        let row = bounded("reading the end of the log", client.query_one(end, &[])).await?;
        let wal_end: Option<String> = row.try_get(0).ok().flatten();
        let mut waiting = None;
        if count {
            let counted = Waiting::read(client, &settings.schema, &settings.relay).await;
            self.waiting_at = Some(Instant::now());
            waiting = Some(counted?);
        }
        let client = self.client().await?;
        let mut partitions = None;
        if due && wal_end.is_some() {
            match make_partitions(client, &settings.schema).await {
                Ok(made) => partitions = Some(made),
                // The next connection tries again, and whoever serves the stream says what happened.
                Err(failure) if is_outage(&failure) => return Err(failure),
                Err(failure) => tracing::error!(%failure, "cannot make partitions ahead"),
            }
            // Tried again in a day either way: the gauges say how many are left.
            self.partitions_at = Some(Instant::now());
        }
        self.gauges.send_modify(|gauges| {
            gauges.read_at = Some(Instant::now());
            gauges.wal_end = wal_end.and_then(|text| text.parse().ok());
            gauges.slot = slot;
            if waiting.is_some() {
                gauges.waiting = waiting;
            }
            if let Some((ahead, left)) = partitions {
                gauges.partitions_ahead = Some(ahead);
                gauges.default_partition_rows = Some(left);
            }
        });
        Ok(())
    }
}
