//! How a message enters the caller's transaction.

#[cfg(any(feature = "sqlx", feature = "tokio-postgres"))]
mod copy;
mod error;
#[cfg(feature = "sqlx")]
mod sqlx;
mod statements;
#[cfg(feature = "tokio-postgres")]
mod tokio_postgres;
mod transaction;

pub use error::EnqueueError;
pub(crate) use statements::Statements;
pub use transaction::EnqueueTransaction;

use crate::schema::{SchemaName, SchemaNameError};
use crate::{Message, MessageId};

/// The outbox of a database: stores messages in the caller's own transactions.
///
/// Cheap to clone; one for the whole service is enough.
///
/// ```no_run
/// # #[cfg(feature = "sqlx")]
/// # async fn example(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// use outbox_core::{Message, Outbox};
///
/// let outbox = Outbox::new();
/// let mut tx = pool.begin().await?;
/// sqlx::query("update policy set state = 'issued' where id = 4711").execute(&mut *tx).await?;
/// outbox
///     .enqueue(&mut tx, Message::new("policy-events", "PolicyIssued").key(4711).text("issued"))
///     .await?;
/// tx.commit().await?; // now, and only now, a relay will publish it
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Outbox {
    statements: Statements,
    message_bytes_max: usize,
}

/// The largest message by default, in bytes, as the relay's `limits.message_bytes_max`.
pub const MESSAGE_BYTES_MAX_DEFAULT: usize = 1 << 20;

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbox {
    /// The outbox in the schema `outbox`.
    #[must_use]
    pub fn new() -> Self {
        Self::of(&SchemaName::default())
    }

    /// The outbox in another schema, whose name is given as PostgreSQL stores it: not quoted.
    ///
    /// # Errors
    /// A name that PostgreSQL could not store.
    pub fn in_schema(name: &str) -> Result<Self, SchemaNameError> {
        Ok(Self::of(&name.parse()?))
    }

    fn of(schema: &SchemaName) -> Self {
        Self {
            statements: Statements::new(schema),
            message_bytes_max: MESSAGE_BYTES_MAX_DEFAULT,
        }
    }

    /// Takes messages of up to `bytes` bytes: payload, texts and headers. Keep it at or below what
    /// the relay and the broker take, so that a message too large is an error here and not there.
    #[must_use]
    pub fn message_bytes_max(mut self, bytes: usize) -> Self {
        self.message_bytes_max = bytes;
        self
    }

    /// Stores `message` in the transaction: it is published once, after the commit, or never.
    ///
    /// One round trip to the database.
    ///
    /// # Errors
    /// [`EnqueueError::Invalid`] before any SQL runs, and the transaction can go on;
    /// [`EnqueueError::Database`] when the database refused, and the transaction must be rolled
    /// back.
    pub async fn enqueue<T: EnqueueTransaction>(
        &self,
        tx: T,
        message: Message,
    ) -> Result<MessageId, EnqueueError> {
        message
            .validate(self.message_bytes_max)
            .map_err(|source| EnqueueError::Invalid { index: 0, source })?;
        tx.insert(&self.statements, &message).await?;
        Ok(message.message_id())
    }

    /// Stores `messages` in the transaction, in their order, by one binary `COPY`: many times
    /// faster than one by one. Returns their ids in that order.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue); one invalid message refuses all.
    pub async fn enqueue_all<T: EnqueueTransaction>(
        &self,
        tx: T,
        messages: impl IntoIterator<Item = Message>,
    ) -> Result<Vec<MessageId>, EnqueueError> {
        let messages: Vec<Message> = messages.into_iter().collect();
        for (index, message) in messages.iter().enumerate() {
            message
                .validate(self.message_bytes_max)
                .map_err(|source| EnqueueError::Invalid { index, source })?;
        }
        match messages.as_slice() {
            [] => {}
            // COPY has a round trip more than INSERT.
            [message] => tx.insert(&self.statements, message).await?,
            several => tx.copy(&self.statements, several).await?,
        }
        Ok(messages.iter().map(Message::message_id).collect())
    }
}
