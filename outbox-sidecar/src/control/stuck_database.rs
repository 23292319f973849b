//! A database in which a test is the relay.

use std::time::Duration;

use outbox_core::relay::Claim;
use outbox_core::schema::SchemaName;
use tokio_postgres::Client;
use uuid::Uuid;

use super::claim::Writer;
use crate::source::connection::{Address, Socket, Startup};
use crate::source::publication::create_statement;
use crate::source::replication::Replication;

/// A database with a relay whose slot is in our hands.
pub(super) struct Database {
    pub(super) client: Client,
    pub(super) slot: String,
    pub(super) schema: SchemaName,
    pub(super) claim: Claim,
    pub(super) replication: Option<Replication<Socket>>,
}

impl Database {
    pub(super) async fn new() -> Self {
        let server = testbed::shared_postgres().await.unwrap();
        let name = server.create_database().await.unwrap();
        let client = server.connect(server.superuser(), &name).await.unwrap();
        outbox_core::schema::migrate(&client).await.unwrap();
        let slot = format!("outbox_{name}");
        let schema = SchemaName::default();
        let set_up = format!(
            "{}; insert into outbox.relay (name, epoch) values ('tests', 5)",
            create_statement(&slot, &schema, None)
        );
        client.batch_execute(&set_up).await.unwrap();
        let address = Address::parse(&server.url(server.superuser(), &name)).unwrap();
        let startup = Startup {
            application_name: "outbox-sidecar/tests".to_owned(),
            wal_sender_timeout: Duration::from_secs(600),
        };
        let mut replication = Replication::connect(&address, &startup).await.unwrap();
        replication.create_slot(&slot, false).await.unwrap();
        replication.start_replication(&slot, &slot).await.unwrap();
        let pid = "select active_pid from pg_replication_slots where slot_name = $1";
        let row = client.query_one(pid, &[&slot]).await.unwrap();
        Self {
            claim: Claim {
                walsender_pid: row.get(0),
                epoch: 5,
            },
            client,
            slot,
            schema,
            replication: Some(replication),
        }
    }

    pub(super) fn writer(&self) -> Writer<'_> {
        Writer {
            schema: &self.schema,
            relay: "tests",
            slot: &self.slot,
            run: RUN,
        }
    }
}

/// The test's own number among processes.
pub(super) const RUN: Uuid = Uuid::from_u128(7);
