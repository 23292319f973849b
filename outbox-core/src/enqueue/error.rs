use std::error::Error;

use crate::MessageError;

/// Why messages were not enqueued. The source says what exactly: print the whole chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnqueueError {
    /// A message that could never be published. No SQL ran.
    #[error("message {index} (from 0) cannot be enqueued")]
    Invalid {
        /// Which one of those given.
        index: usize,
        /// What is wrong with it.
        source: MessageError,
    },
    /// The database refused or could not be reached: roll the transaction back.
    ///
    /// The source is the driver's own error, `sqlx::Error` or `tokio_postgres::Error`: downcast it
    /// to tell, say, a serialization failure that is worth another try.
    #[error("the database did not take the outbox message")]
    Database {
        /// The driver's error.
        source: Box<dyn Error + Send + Sync>,
    },
}
