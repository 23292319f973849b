pub(super) mod sealed {
    use std::future::Future;

    use crate::MessageId;
    use crate::inbox::{Acceptance, InboxError, Statements};

    /// What the inbox needs of a driver's transaction.
    pub trait Accept {
        /// Inserts one id.
        fn accept(
            self,
            statements: &Statements,
            consumer: &str,
            message_id: MessageId,
        ) -> impl Future<Output = Result<Acceptance, InboxError>> + Send;

        /// Inserts ids.
        fn accept_all(
            self,
            statements: &Statements,
            consumer: &str,
            message_ids: &[MessageId],
        ) -> impl Future<Output = Result<Vec<Acceptance>, InboxError>> + Send;
    }
}

/// A transaction in which messages can be accepted: `&mut sqlx::Transaction<'_, Postgres>` with the
/// feature `sqlx`, `&tokio_postgres::Transaction<'_>` and `&mut` of it with the feature
/// `tokio-postgres`. Sealed: other crates cannot implement it.
///
/// A pool or a bare connection is none: there the message would count as done although the business
/// change is not.
#[diagnostic::on_unimplemented(
    message = "messages are accepted in a transaction, and `{Self}` is not one",
    label = "not a transaction",
    note = "pass `&mut tx` of an sqlx transaction, or `&tx` of a tokio-postgres one, and enable \
            the cargo feature of that client"
)]
pub trait InboxTransaction: sealed::Accept {}
