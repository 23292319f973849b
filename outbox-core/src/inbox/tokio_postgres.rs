use std::collections::HashSet;

use tokio_postgres::Transaction;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::batch::{answers, in_order};
use super::error::database;
use super::transaction::sealed::Accept;
use super::{Acceptance, InboxError, InboxTransaction, Statements};
use crate::MessageId;

impl InboxTransaction for &Transaction<'_> {}
impl InboxTransaction for &mut Transaction<'_> {}

impl Accept for &Transaction<'_> {
    async fn accept(
        self,
        statements: &Statements,
        consumer: &str,
        message_id: MessageId,
    ) -> Result<Acceptance, InboxError> {
        accept(self, statements, consumer, message_id).await
    }

    async fn accept_all(
        self,
        statements: &Statements,
        consumer: &str,
        message_ids: &[MessageId],
    ) -> Result<Vec<Acceptance>, InboxError> {
        accept_all(self, statements, consumer, message_ids).await
    }
}

impl Accept for &mut Transaction<'_> {
    async fn accept(
        self,
        statements: &Statements,
        consumer: &str,
        message_id: MessageId,
    ) -> Result<Acceptance, InboxError> {
        accept(self, statements, consumer, message_id).await
    }

    async fn accept_all(
        self,
        statements: &Statements,
        consumer: &str,
        message_ids: &[MessageId],
    ) -> Result<Vec<Acceptance>, InboxError> {
        accept_all(self, statements, consumer, message_ids).await
    }
}

/// With the types given, parsing and running are one round trip; a prepared statement would need
/// one more whenever it is new, and this client keeps none for us.
async fn accept(
    tx: &Transaction<'_>,
    statements: &Statements,
    consumer: &str,
    message_id: MessageId,
) -> Result<Acceptance, InboxError> {
    let rows = tx
        .execute_typed(
            &statements.accept,
            &[
                (&consumer, Type::TEXT),
                (&Uuid::from(message_id), Type::UUID),
            ],
        )
        .await
        .map_err(database)?;
    Ok(Acceptance::of(rows > 0))
}

async fn accept_all(
    tx: &Transaction<'_>,
    statements: &Statements,
    consumer: &str,
    message_ids: &[MessageId],
) -> Result<Vec<Acceptance>, InboxError> {
    let rows = tx
        .query_typed(
            &statements.accept_all,
            &[
                (&consumer, Type::TEXT),
                (&in_order(message_ids), Type::UUID_ARRAY),
            ],
        )
        .await
        .map_err(database)?;
    let taken: Result<HashSet<Uuid>, _> = rows.iter().map(|row| row.try_get(0)).collect();
    Ok(answers(message_ids, taken.map_err(database)?))
}
