//! A database of its own for each test.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use outbox_core::schema;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio_postgres::{Client, NoTls};

/// Names a superuser's connection to the server that tests may fill.
const URL_VARIABLE: &str = "OUTBOX_TEST_POSTGRES_URL";

/// An empty database; it stays behind for a look after a failure.
pub(crate) struct Database {
    server_url: String,
    pub(crate) name: String,
}

impl Database {
    pub(crate) async fn create() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let server_url = std::env::var(URL_VARIABLE)
            .unwrap_or_else(|_| panic!("set {URL_VARIABLE} to a superuser's URL of a PostgreSQL"));
        let nanoseconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_nanos();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("outbox_{nanoseconds}_{number}");
        let mut server = PgConnection::connect(&server_url).await.unwrap();
        sqlx::query(AssertSqlSafe(format!("create database {name}")))
            .execute(&mut server)
            .await
            .unwrap();
        Self { server_url, name }
    }

    /// One with an outbox in it.
    pub(crate) async fn migrated() -> Self {
        let database = Self::create().await;
        schema::migrate(&mut database.sqlx().await).await.unwrap();
        database
    }

    pub(crate) async fn sqlx(&self) -> PgConnection {
        let options: PgConnectOptions = self.server_url.parse().unwrap();
        PgConnection::connect_with(&options.database(&self.name))
            .await
            .unwrap()
    }

    pub(crate) async fn tokio_postgres(&self) -> Client {
        let mut config: tokio_postgres::Config = self.server_url.parse().unwrap();
        let (client, connection) = config.dbname(&self.name).connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}
