//! A database of its own for each test.

use testbed::PostgresAddress;
use tokio_postgres::Client;
use uuid::Uuid;

pub(crate) struct Database {
    server: &'static PostgresAddress,
    name: String,
}

/// A row of the outbox.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) id: Uuid,
    pub(crate) destination: String,
    pub(crate) key: String,
    pub(crate) message_type: String,
    pub(crate) payload: serde_json::Value,
}

impl Database {
    pub(crate) async fn create() -> Self {
        let server = testbed::shared_postgres().await.unwrap();
        let name = server.create_database().await.unwrap();
        Self { server, name }
    }

    pub(crate) fn url(&self) -> String {
        self.server.url(self.server.superuser(), &self.name)
    }

    pub(crate) async fn client(&self) -> Client {
        let superuser = self.server.superuser();
        self.server.connect(superuser, &self.name).await.unwrap()
    }

    /// The first number that `sql` yields.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        self.client()
            .await
            .query_one(sql, &[])
            .await
            .unwrap()
            .get(0)
    }

    /// Refuses and ends every connection, as if the server were away.
    pub(crate) async fn close(&self) {
        let name = &self.name;
        let client = self.server.connect_as_superuser().await.unwrap();
        let sql = format!("alter database {name} with allow_connections false");
        client.batch_execute(&sql).await.unwrap();
        let end = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
        client.execute(end, &[name]).await.unwrap();
    }

    /// Ends a [`close`](Self::close).
    pub(crate) async fn open(&self) {
        let client = self.server.connect_as_superuser().await.unwrap();
        let name = &self.name;
        let sql = format!("alter database {name} with allow_connections true");
        client.batch_execute(&sql).await.unwrap();
    }

    /// What is in the outbox.
    pub(crate) async fn outbox(&self) -> Vec<Stored> {
        let rows = self
            .client()
            .await
            .query(
                "select id, destination, key, type, payload from outbox.message order by created_at, ctid",
                &[],
            )
            .await
            .unwrap();
        rows.iter()
            .map(|row| Stored {
                id: row.get(0),
                destination: row.get(1),
                key: row.get(2),
                message_type: row.get(3),
                payload: serde_json::from_slice(row.get(4)).unwrap(),
            })
            .collect()
    }
}
