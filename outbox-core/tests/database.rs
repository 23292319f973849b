//! A database of its own for each test.

use outbox_core::schema;
use sqlx::{Connection, PgConnection};
use testbed::PostgresAddress;
use tokio_postgres::Client;

/// An empty database of the server that all tests share.
pub(crate) struct Database {
    server: &'static PostgresAddress,
    pub(crate) name: String,
}

impl Database {
    pub(crate) async fn create() -> Self {
        let server = testbed::shared_postgres().await.unwrap();
        let name = server.create_database().await.unwrap();
        Self { server, name }
    }

    /// One with an outbox in it.
    pub(crate) async fn migrated() -> Self {
        let database = Self::create().await;
        schema::migrate(&mut database.sqlx().await).await.unwrap();
        database
    }

    pub(crate) async fn sqlx(&self) -> PgConnection {
        let url = self.server.url(self.server.superuser(), &self.name);
        PgConnection::connect(&url).await.unwrap()
    }

    pub(crate) async fn tokio_postgres(&self) -> Client {
        self.server
            .connect(self.server.superuser(), &self.name)
            .await
            .unwrap()
    }
}
