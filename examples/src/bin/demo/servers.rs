//! PostgreSQL and the broker, and what an administrator makes in them beforehand.

use testbed::PostgresServer;
use tokio_postgres::Client;

use crate::options::Broker;
use crate::outlet::Outlet;

/// The destination of every message: topic, queue or stream.
pub(crate) const DESTINATION: &str = "orders";
/// The database of the service.
const DATABASE: &str = "shop";
/// The role of the service: it may do what the outbox grants it, and owns the schema of its name,
/// which PostgreSQL looks into first.
pub(crate) const SERVICE_ROLE: &str = "shop";
/// The role of the relay.
pub(crate) const RELAY_ROLE: &str = "relay";

/// Both servers; dropped, they are gone.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) postgres: PostgresServer,
    pub(crate) outlet: Outlet,
}

impl Servers {
    /// Starts them, and makes database, roles, and topic or queue.
    pub(crate) async fn start(broker: Broker) -> anyhow::Result<Self> {
        let (postgres, outlet) = tokio::try_join!(PostgresServer::start(), Outlet::start(broker))?;
        let servers = Self { postgres, outlet };
        let superuser = servers.postgres.address().connect_as_superuser().await?;
        // Not one script: a database cannot be made in a transaction.
        for statement in [
            format!("create database {DATABASE}"),
            format!("create role {SERVICE_ROLE} login"),
            format!("create role {RELAY_ROLE} login replication"),
        ] {
            superuser.batch_execute(&statement).await?;
        }
        let schema = format!("create schema {SERVICE_ROLE} authorization {SERVICE_ROLE}");
        servers.admin().await?.batch_execute(&schema).await?;
        Ok(servers)
    }

    /// A URL of the database for `role`.
    pub(crate) fn url(&self, role: &str) -> String {
        self.postgres.url(role, DATABASE)
    }

    /// A URL of the database for the superuser.
    pub(crate) fn admin_url(&self) -> String {
        self.url(self.postgres.address().superuser())
    }

    /// The superuser in the database.
    pub(crate) async fn admin(&self) -> Result<Client, testbed::Error> {
        let address = self.postgres.address();
        address.connect(address.superuser(), DATABASE).await
    }
}
