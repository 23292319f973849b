use outbox_core::Lsn;
use outbox_core::relay::{Inspection, SourceFailure};
use tokio_postgres::Client;

use super::Task;
use crate::control::connection::bounded;
use crate::control::relay_row::read_set_up;
use crate::source::publication::{Publication, read_publication};
use crate::source::slot::read_slot;

/// Whether the server is a standby, and how far its log is flushed (or replayed).
async fn read_log(client: &Client) -> Result<(bool, Lsn), tokio_postgres::Error> {
    let sql = "select pg_catalog.pg_is_in_recovery(), coalesce( \
               case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn() \
               else pg_catalog.pg_current_wal_flush_lsn() end, '0/0')::text";
    let row = client.query_one(sql, &[]).await?;
    let end: String = row.try_get(1)?;
    Ok((row.try_get(0)?, end.parse().unwrap_or(Lsn::ZERO)))
}

impl Task {
    /// Reads what decides about the relay's next step.
    pub(super) async fn inspect(&mut self) -> Result<Inspection, SourceFailure> {
        let settings = self.settings.clone();
        let client = self.client().await?;
        let set_up = read_set_up(client, &settings.schema, &settings.relay).await?;
        let slot = bounded("reading the slot", read_slot(client, &settings.slot)).await?;
        // After the slot: whoever held it then has written nothing beyond this end.
        let (in_recovery, wal_end) =
            bounded("reading the end of the log", read_log(client)).await?;
        let publication = bounded(
            "reading the publication",
            read_publication(client, &settings.publication, &settings.schema),
        )
        .await?;
        let (relay, differs) = match set_up {
            Some(set_up) => {
                let differs = set_up.made_for.differs(&settings.made_for);
                (Some(set_up.row), differs)
            }
            None => (None, None),
        };
        Ok(Inspection {
            in_recovery,
            wal_end,
            slot: slot.map(|slot| slot.state),
            relay,
            publication_fingerprint: publication.as_ref().map(Publication::fingerprint),
            publication_fault: publication
                .and_then(|publication| publication.fault)
                .or(differs),
        })
    }
}
