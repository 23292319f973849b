//! How a consumer acts once on a message that it may receive several times.
//!
//! A broker delivers a message again when the consumer did not live to acknowledge it, when a
//! consumer group is rebalanced, when the relay was not sure whether the broker had it (RabbitMQ),
//! and on request (a replay). The consumer's change to its database happens once all the same: the
//! message's id is stored in the inbox in the same transaction as the change, and an id that is there
//! already is not acted on.
//!
//! # Two at once
//!
//! Two transactions that accept one id for one consumer meet at the inbox's primary key. The second
//! waits until the first has ended:
//!
//! | first | second, read committed | second, repeatable read or serializable |
//! |---|---|---|
//! | commits | [`Acceptance::Duplicate`] | error 40001: roll back and try again, then a duplicate |
//! | rolls back | [`Acceptance::Accepted`] | [`Acceptance::Accepted`] |
//!
//! The wait is as long as the first one's transaction; PostgreSQL's `lock_timeout` bounds it. Two
//! transactions that accept the same ids one by one in different orders can deadlock: PostgreSQL
//! ends one of them with error 40P01, which is worth another try. [`Inbox::accept_all`] cannot, since
//! it takes its ids in one order.

mod acceptance;
#[cfg(any(feature = "sqlx", feature = "tokio-postgres"))]
mod batch;
mod consumer;
mod error;
mod forget;
#[cfg(feature = "sqlx")]
mod sqlx;
mod statements;
#[cfg(feature = "tokio-postgres")]
mod tokio_postgres;
mod transaction;

pub use acceptance::Acceptance;
pub use consumer::CONSUMER_BYTES_MAX;
pub use error::InboxError;
pub use forget::{FORGET_ROWS_MAX, ForgetError, RETENTION_DEFAULT, RETENTION_MIN};
pub(crate) use statements::Statements;
pub use transaction::InboxTransaction;

use crate::MessageId;
use crate::schema::{SchemaName, SchemaNameError};

/// The inbox of a database: tells, in the consumer's own transaction, whether a message is new.
///
/// Cheap to clone; one for the whole service is enough.
///
/// ```no_run
/// # #[cfg(feature = "sqlx")]
/// # async fn example(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// use outbox_core::{Acceptance, Inbox, MessageId};
///
/// let inbox = Inbox::new();
/// // What the broker delivered: the header outbox-id (Kafka) or the property message_id (RabbitMQ).
/// let id: MessageId = "01932c07-5d4f-7a3b-8f0e-2f1f6d3f0f11".parse()?;
///
/// let mut tx = pool.begin().await?;
/// if inbox.accept(&mut tx, "settlement", id).await? == Acceptance::Accepted {
///     sqlx::query("update account set settled = settled + 900").execute(&mut *tx).await?;
/// }
/// tx.commit().await?;
/// // Now, and only now, acknowledge to the broker or commit the offset.
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Inbox {
    statements: Statements,
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Inbox {
    /// The inbox in the schema `outbox`.
    #[must_use]
    pub fn new() -> Self {
        Self::of(&SchemaName::default())
    }

    /// The inbox in another schema, whose name is given as PostgreSQL stores it: not quoted.
    ///
    /// ```
    /// use outbox_core::Inbox;
    ///
    /// assert!(Inbox::in_schema("billing_outbox").is_ok());
    /// ```
    ///
    /// # Errors
    /// A name that PostgreSQL could not store.
    pub fn in_schema(name: &str) -> Result<Self, SchemaNameError> {
        Ok(Self::of(&name.parse()?))
    }

    fn of(schema: &SchemaName) -> Self {
        Self {
            statements: Statements::new(schema),
        }
    }

    /// Accepts `message_id` for `consumer`, unless it was accepted before: once the transaction
    /// commits, every later call answers [`Acceptance::Duplicate`]; a rollback, also one to a
    /// savepoint before the call, forgets it.
    ///
    /// `consumer` is one name for all instances of a consumer, 1 to [`CONSUMER_BYTES_MAX`] bytes;
    /// each name accepts an id for itself. One round trip to the database. What happens when two
    /// transactions accept one id at once: [the module](self#two-at-once).
    ///
    /// # Errors
    /// [`InboxError::Consumer`] before any SQL runs, and the transaction can go on;
    /// [`InboxError::Database`] when the database refused, and the transaction must be rolled back.
    pub async fn accept<T: InboxTransaction>(
        &self,
        tx: T,
        consumer: &str,
        message_id: MessageId,
    ) -> Result<Acceptance, InboxError> {
        consumer::validate(consumer)?;
        tx.accept(&self.statements, consumer, message_id).await
    }

    /// Accepts a batch in one round trip, and answers for each id in the order given. An id that
    /// stands in it twice is accepted where it stands first.
    ///
    /// ```no_run
    /// # #[cfg(feature = "tokio-postgres")]
    /// # async fn example(
    /// #     client: &mut tokio_postgres::Client, ids: Vec<outbox_core::MessageId>, cents: Vec<i64>,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// use outbox_core::{Acceptance, Inbox};
    ///
    /// let tx = client.transaction().await?;
    /// let answers = Inbox::new().accept_all(&tx, "settlement", &ids).await?;
    /// let new = answers.iter().zip(&cents).filter(|(answer, _)| **answer == Acceptance::Accepted);
    /// let sum: i64 = new.map(|(_, cents)| cents).sum();
    /// tx.execute("update account set settled = settled + $1", &[&sum]).await?;
    /// tx.commit().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub async fn accept_all<T: InboxTransaction>(
        &self,
        tx: T,
        consumer: &str,
        message_ids: &[MessageId],
    ) -> Result<Vec<Acceptance>, InboxError> {
        consumer::validate(consumer)?;
        match message_ids {
            [] => Ok(Vec::new()),
            several => tx.accept_all(&self.statements, consumer, several).await,
        }
    }
}
