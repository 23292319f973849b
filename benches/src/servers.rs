//! The servers that a benchmark runs on.

use anyhow::Context;
use outbox_core::schema;
use testbed::{KafkaServer, PostgresServer, unique};
use tokio_postgres::Client;

use crate::machine::busy_warning;
use crate::outlet::{Broker, Outlet};
use crate::report::note;

/// Enough to keep several backlogs between two checkpoints.
const POSTGRES: [(&str, &str); 4] = [
    ("shared_buffers", "512MB"),
    ("max_wal_size", "16GB"),
    // Neither may come in the midst of a measurement; a checkpoint is made before each.
    ("checkpoint_timeout", "1h"),
    ("autovacuum", "off"),
];

/// PostgreSQL and a broker; dropped, they are gone.
#[derive(Debug)]
pub struct Servers {
    postgres: PostgresServer,
    outlet: Outlet,
}

/// A database with an outbox, and a topic (queue, stream), for one run.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) database: String,
    /// The topic; also the destination of every message.
    pub(crate) topic: String,
}

impl Servers {
    /// Starts both, and says so on standard error; also when the machine is too busy for figures
    /// that are worth keeping.
    ///
    /// # Errors
    /// When one cannot be provisioned or does not start.
    pub async fn start(broker: Broker) -> anyhow::Result<Self> {
        if let Some(warning) = busy_warning() {
            note(&warning);
        }
        note("starting PostgreSQL and the broker");
        let postgres = POSTGRES
            .iter()
            .fold(PostgresServer::options(), |options, (name, value)| {
                options.setting(name, value)
            });
        let (postgres, outlet) = tokio::try_join!(postgres.start(), Outlet::start(broker))?;
        Ok(Self { postgres, outlet })
    }

    pub(crate) fn postgres(&self) -> &PostgresServer {
        &self.postgres
    }

    pub(crate) fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    pub(crate) fn kafka(&self) -> anyhow::Result<&KafkaServer> {
        self.outlet.kafka()
    }

    /// Makes a database with the outbox's schema, and a topic.
    pub(crate) async fn make_place(&self) -> anyhow::Result<Place> {
        let database = self.postgres.create_database().await?;
        schema::migrate(&self.client(&database).await?).await?;
        let topic = unique::name("bench");
        self.outlet.make(&topic).await?;
        Ok(Place { database, topic })
    }

    /// Drops the slots, the database and the topic: what is left would slow down the next run.
    pub(crate) async fn clear_place(&self, place: &Place) -> anyhow::Result<()> {
        let client = self.client("postgres").await?;
        let slots = "select pg_drop_replication_slot(slot_name) from pg_replication_slots
                     where database = $1";
        client
            .execute(slots, &[&place.database])
            .await
            .context("the slots cannot be dropped")?;
        let database = format!("drop database {} with (force)", place.database);
        client.batch_execute(&database).await?;
        self.outlet.delete(&place.topic).await
    }

    /// The superuser in `database`.
    pub(crate) async fn client(&self, database: &str) -> Result<Client, testbed::Error> {
        let address = self.postgres.address();
        address.connect(address.superuser(), database).await
    }

    /// A URL of `database` for the superuser, by TCP.
    pub(crate) fn url(&self, database: &str) -> String {
        self.postgres
            .url(self.postgres.address().superuser(), database)
    }
}
