use outbox_core::Lsn;
use outbox_core::schema::SchemaName;
use tokio_postgres::Client;

use super::SetupError;
use crate::config::{Settings, SinkSettings};

/// How far `init` has come with a relay, as `outbox.relay` remembers it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Note {
    /// Where the slot began.
    pub(super) consistent_point: Option<Lsn>,
    /// Rows older than the slot have been dealt with.
    pub(super) backlog_settled: bool,
    /// The first checkpoint is durable.
    pub(super) genesis_written: bool,
    /// What the publication was made for.
    pub(super) destinations: Option<Vec<String>>,
    pub(super) shard: Option<String>,
    /// Of the publication that the relay was set up with, or that was accepted since.
    pub(super) publication_fingerprint: Option<String>,
    /// Where messages go, and with which promise.
    pub(super) sink: Option<String>,
    pub(super) delivery: Option<String>,
}

impl Note {
    /// A relay that has published goes on with the sink and the delivery it began with.
    pub(super) fn require_sink(&self, sink: &SinkSettings) -> Result<(), SetupError> {
        let noted = (self.sink.as_deref(), self.delivery.as_deref());
        if noted == (Some(sink.section()), Some(sink.delivery())) {
            return Ok(());
        }
        Err(SetupError::Refused(format!(
            "the relay was set up for {} {}, the configuration says {} {}: put it back, or end the \
             relay with `remove` and set it up anew",
            self.sink.as_deref().unwrap_or_default(),
            self.delivery.as_deref().unwrap_or_default(),
            sink.section(),
            sink.delivery()
        )))
    }
}

/// The relay's row, while `init` works on it.
pub(super) struct NoteBook<'a> {
    pub(super) client: &'a Client,
    pub(super) schema: &'a SchemaName,
    pub(super) relay: &'a str,
}

impl NoteBook<'_> {
    fn table(&self) -> String {
        format!("{}.relay", self.schema.quoted())
    }

    /// Makes the row if it is missing, and reads it.
    pub(super) async fn open(&self, settings: &Settings) -> Result<Note, SetupError> {
        let failed = |source| SetupError::sql("reading outbox.relay", source);
        let insert = format!(
            "insert into {} as relay (name, slot, publication, destinations, shard, sink, delivery) \
             values ($1, $2, $2, $3, $4, $5, $6) on conflict (name) do update \
             set sink = excluded.sink, delivery = excluded.delivery \
             where relay.genesis_written_at is null",
            self.table()
        );
        let (slot, shard) = (settings.slot(), settings.shard.to_string());
        self.client
            .execute(
                &insert,
                &[
                    &self.relay,
                    &slot,
                    &settings.destinations,
                    &shard,
                    &settings.sink.section(),
                    &settings.sink.delivery(),
                ],
            )
            .await
            .map_err(failed)?;
        let select = format!(
            "select consistent_point::text, backlog_settled_at is not null, \
             genesis_written_at is not null, destinations, shard, sink, delivery, \
             publication_fingerprint from {} where name = $1",
            self.table()
        );
        let row = self
            .client
            .query_one(&select, &[&self.relay])
            .await
            .map_err(failed)?;
        let consistent_point: Option<String> = row.try_get(0).map_err(failed)?;
        Ok(Note {
            consistent_point: consistent_point.and_then(|text| text.parse().ok()),
            backlog_settled: row.try_get(1).map_err(failed)?,
            genesis_written: row.try_get(2).map_err(failed)?,
            destinations: row.try_get(3).map_err(failed)?,
            shard: row.try_get(4).map_err(failed)?,
            sink: row.try_get(5).map_err(failed)?,
            delivery: row.try_get(6).map_err(failed)?,
            publication_fingerprint: row.try_get(7).map_err(failed)?,
        })
    }

    /// The publication is made anew for these destinations.
    pub(super) async fn publication_made(&self, settings: &Settings) -> Result<(), SetupError> {
        let shard = settings.shard.to_string();
        self.set(
            "destinations = $2, shard = $3",
            &[&self.relay, &settings.destinations, &shard],
        )
        .await
    }

    /// A slot was made that nothing has been read from.
    pub(super) async fn slot_made(&self, consistent_point: Lsn) -> Result<(), SetupError> {
        let lsn = consistent_point.to_string();
        self.set(
            "consistent_point = $2::text::pg_lsn, backlog_settled_at = null",
            &[&self.relay, &lsn],
        )
        .await
    }

    /// Rows older than the slot have been dealt with.
    pub(super) async fn backlog_settled(&self) -> Result<(), SetupError> {
        self.set("backlog_settled_at = now()", &[&self.relay]).await
    }

    /// From now on a missing checkpoint is an error.
    pub(super) async fn genesis_written(
        &self,
        system_id: &str,
        timeline: i32,
        fingerprint: &str,
    ) -> Result<(), SetupError> {
        self.set(
            "genesis_written_at = now(), system_id = $2, timeline = $3, \
             publication_fingerprint = $4",
            &[&self.relay, &system_id, &timeline, &fingerprint],
        )
        .await
    }

    /// The publication was altered since, and the relay may go on with it.
    pub(super) async fn publication_accepted(&self, fingerprint: &str) -> Result<(), SetupError> {
        self.set("publication_fingerprint = $2", &[&self.relay, &fingerprint])
            .await
    }

    async fn set(
        &self,
        assignments: &str,
        values: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<(), SetupError> {
        let sql = format!(
            "update {} set {assignments}, updated_at = now() where name = $1",
            self.table()
        );
        self.client
            .execute(&sql, values)
            .await
            .map(|_| ())
            .map_err(|source| SetupError::sql("writing outbox.relay", source))
    }
}
