use std::error::Error;

use super::CONSUMER_BYTES_MAX;

/// Why a message was neither accepted nor known. The source says what exactly: print the whole chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InboxError {
    /// No consumer can have this name. No SQL ran.
    #[error("{name:?} cannot name a consumer: 1 to {CONSUMER_BYTES_MAX} bytes without NUL")]
    Consumer {
        /// The name given.
        name: String,
    },
    /// The database refused or could not be reached: roll the transaction back and do not
    /// acknowledge the message.
    ///
    /// The source is the driver's own error, `sqlx::Error` or `tokio_postgres::Error`: downcast it
    /// to tell, say, a serialization failure (40001) or a deadlock (40P01) that is worth another try.
    #[error("the database did not say whether the message is new")]
    Database {
        /// The driver's error.
        source: Box<dyn Error + Send + Sync>,
    },
}

#[cfg(any(feature = "sqlx", feature = "tokio-postgres"))]
pub(super) fn database(source: impl Into<Box<dyn Error + Send + Sync>>) -> InboxError {
    InboxError::Database {
        source: source.into(),
    }
}
