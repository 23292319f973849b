pub(super) mod sealed {
    use std::future::Future;

    use crate::enqueue::{EnqueueError, Statements};
    use crate::message::Message;

    /// What enqueueing needs of a driver's transaction.
    pub trait Store {
        /// Inserts one valid message.
        fn insert(
            self,
            statements: &Statements,
            message: &Message,
        ) -> impl Future<Output = Result<(), EnqueueError>> + Send;

        /// Copies valid messages.
        fn copy(
            self,
            statements: &Statements,
            messages: &[Message],
        ) -> impl Future<Output = Result<(), EnqueueError>> + Send;
    }
}

/// A transaction in which messages can be enqueued: `&mut sqlx::Transaction<'_, Postgres>` with
/// the feature `sqlx`, `&tokio_postgres::Transaction<'_>` and `&mut` of it with the feature
/// `tokio-postgres`. Sealed: other crates cannot implement it.
///
/// A pool or a bare connection is none: there the message would be stored although the business
/// change is not, or the other way round.
#[diagnostic::on_unimplemented(
    message = "messages are enqueued in a transaction, and `{Self}` is not one",
    label = "not a transaction",
    note = "pass `&mut tx` of an sqlx transaction, or `&tx` of a tokio-postgres one, and enable \
            the cargo feature of that client"
)]
pub trait EnqueueTransaction: sealed::Store {}
