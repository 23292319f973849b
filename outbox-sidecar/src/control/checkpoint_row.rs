use outbox_core::checkpoint::Checkpoint;
use outbox_core::relay::{FailureKind, SourceFailure};
use outbox_core::schema::SchemaName;
use outbox_core::sink::{AcquireError, Outcome};
use tokio::runtime::Handle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use super::connect;
use super::connection::bounded;
use crate::sink::at_least_once::CheckpointStore;
use crate::source::connection::Address;

/// The relay's checkpoint in its row of `outbox.relay`, for brokers that have no place for it.
///
/// A checkpoint is written over the one before it only, and under the epoch that the relay's newest
/// activation claimed: of two relays of one name one writes, and no checkpoint goes back. A restore
/// of the database takes the row with it: what that means stands in docs/guarantees.md.
pub(crate) struct CheckpointRow {
    runtime: Handle,
    address: Address,
    application_name: String,
    schema: SchemaName,
    relay: String,
    connection: Option<Connection>,
    epoch: Option<i64>,
}

struct Connection {
    client: Client,
    /// The statement that writes, once it is prepared.
    write: Option<Statement>,
}

impl CheckpointRow {
    /// The row of this relay; nothing is contacted yet. Must be made within the runtime that will
    /// serve its connection, and used outside.
    pub(crate) fn new(address: Address, schema: SchemaName, relay: &str) -> Self {
        Self {
            runtime: Handle::current(),
            address,
            application_name: format!("outbox-sidecar/{relay} checkpoint"),
            schema,
            relay: relay.to_owned(),
            connection: None,
            epoch: None,
        }
    }

    /// Writes the first checkpoint, unless the row holds one that a relay wrote.
    pub(crate) fn write_genesis(&mut self, genesis: &Checkpoint) -> Result<bool, SourceFailure> {
        let sql = format!(
            "update {}.relay set checkpoint = $2, checkpoint_sequence = 0 \
             where name = $1 and coalesce(checkpoint_sequence, 0) = 0",
            self.schema.quoted()
        );
        let relay = self.relay.clone();
        let text = encoded(genesis);
        let runtime = self.runtime.clone();
        let written = runtime.block_on(async {
            let client = &self.connected().await?.client;
            let doing = "writing the first checkpoint";
            bounded(doing, client.execute(&sql, &[&relay, &text])).await
        });
        self.kept(written).map(|rows| rows == 1)
    }

    async fn connected(&mut self) -> Result<&mut Connection, SourceFailure> {
        let lost = |connection: &Connection| connection.client.is_closed();
        if self.connection.as_ref().is_none_or(lost) {
            let client = connect(&self.address, &self.application_name, || {}).await?;
            self.connection = Some(Connection {
                client,
                write: None,
            });
        }
        self.connection.as_mut().ok_or_else(|| SourceFailure {
            kind: FailureKind::Unreachable,
            message: "no connection".to_owned(),
        })
    }

    async fn read(&mut self) -> Result<Option<String>, SourceFailure> {
        let sql = format!(
            "select checkpoint from {}.relay where name = $1",
            self.schema.quoted()
        );
        let relay = self.relay.clone();
        let client = &self.connected().await?.client;
        let doing = "reading the checkpoint";
        let row = bounded(doing, client.query_opt(&sql, &[&relay])).await?;
        let text = row.map(|row| row.try_get::<_, Option<String>>(0));
        let text = text.transpose();
        Ok(text
            .map_err(|error| super::failure_of(&error, doing))?
            .flatten())
    }

    async fn update(&mut self, checkpoint: &Checkpoint, epoch: i64) -> Result<u64, SourceFailure> {
        // The last line makes a repeat harmless whose first answer was lost.
        let sql = format!(
            "update {}.relay set checkpoint = $2, checkpoint_sequence = $3::int8 \
             where name = $1 and epoch = $4 and (checkpoint_sequence = $3::int8 - 1 \
             or checkpoint_sequence = $3::int8 and checkpoint = $2)",
            self.schema.quoted()
        );
        let relay = self.relay.clone();
        let text = encoded(checkpoint);
        let sequence = i64::try_from(checkpoint.sequence).unwrap_or(i64::MAX);
        let connection = self.connected().await?;
        let doing = "writing the checkpoint";
        let write = match &connection.write {
            Some(write) => write.clone(),
            None => bounded(doing, connection.client.prepare(&sql)).await?,
        };
        connection.write = Some(write.clone());
        let values: [&(dyn ToSql + Sync); 4] = [&relay, &text, &sequence, &epoch];
        bounded(doing, connection.client.execute(&write, &values)).await
    }

    /// A connection on which an answer did not come is not asked again.
    fn kept<T>(&mut self, answered: Result<T, SourceFailure>) -> Result<T, SourceFailure> {
        if answered.is_err() {
            self.connection = None;
        }
        answered
    }
}

impl CheckpointStore for CheckpointRow {
    fn peek(&mut self) -> Result<Option<Checkpoint>, AcquireError> {
        let runtime = self.runtime.clone();
        let read = runtime.block_on(self.read());
        let text = self.kept(read).map_err(acquire_error)?;
        let decode = |text: String| {
            Checkpoint::decode(text.as_bytes()).map_err(|error| {
                AcquireError::CheckpointCorrupt(format!(
                    "outbox.relay holds a checkpoint of {} that cannot be read: {error}",
                    self.relay
                ))
            })
        };
        text.map(decode).transpose()
    }

    fn acquire(&mut self, epoch: u64) -> Result<Option<Checkpoint>, AcquireError> {
        self.epoch = Some(i64::try_from(epoch).unwrap_or(i64::MAX));
        self.peek()
    }

    fn write(&mut self, checkpoint: &Checkpoint) -> Outcome {
        let Some(epoch) = self.epoch else {
            let reason = "the right to write the checkpoint was not acquired".to_owned();
            return Outcome::Indefinite { reason };
        };
        let runtime = self.runtime.clone();
        let written = runtime.block_on(self.update(checkpoint, epoch));
        match self.kept(written) {
            Ok(1) => Outcome::Durable,
            Ok(_) => Outcome::Fenced {
                reason: format!(
                    "checkpoint {} was not written: outbox.relay has a newer epoch than {epoch}, \
                     or another checkpoint",
                    checkpoint.sequence
                ),
            },
            Err(failure) => Outcome::Retry {
                reason: failure.message,
            },
        }
    }

    fn release(&mut self) {
        self.epoch = None;
        self.connection = None;
    }
}

/// The encoded form is JSON, and so text.
fn encoded(checkpoint: &Checkpoint) -> String {
    String::from_utf8_lossy(&checkpoint.encode()).into_owned()
}

fn acquire_error(failure: SourceFailure) -> AcquireError {
    match failure.kind {
        FailureKind::SchemaOutdated
        | FailureKind::PrivilegeRefused
        | FailureKind::AuthenticationRefused => AcquireError::Fatal(failure.message),
        _ => AcquireError::Unavailable(failure.message),
    }
}

#[cfg(test)]
mod tests;
