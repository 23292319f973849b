use std::error::Error;
use std::future::Future;

/// A driver's error, whichever driver it was.
pub(crate) type DriverError = Box<dyn Error + Send + Sync>;

/// What a query answered: rows of columns as text.
pub(crate) type TextRows = Vec<Vec<Option<String>>>;

pub(crate) mod sealed {
    use super::{DriverError, Future, TextRows};

    /// What the migration, and whoever else runs plain SQL, needs of a driver.
    pub trait Script {
        /// Sends `sql` by the simple protocol, so that several statements are one transaction
        /// without an explicit BEGIN that a dropped future could leave open.
        fn run(
            &mut self,
            sql: String,
        ) -> impl Future<Output = Result<TextRows, DriverError>> + Send;
    }
}

/// A connection that [`migrate`](super::migrate) can use: `&mut sqlx::PgConnection` and
/// `&mut sqlx::pool::PoolConnection<Postgres>` with the feature `sqlx`, `&tokio_postgres::Client`
/// and `&mut` of it with the feature `tokio-postgres`. Sealed: other crates cannot implement it.
pub trait Connection: sealed::Script + Send {}
