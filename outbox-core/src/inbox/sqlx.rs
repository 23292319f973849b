use std::collections::HashSet;
use std::sync::Arc;

use sqlx::types::Uuid;
use sqlx::{AssertSqlSafe, Postgres, Transaction};

use super::batch::{answers, in_order};
use super::error::database;
use super::transaction::sealed::Accept;
use super::{Acceptance, InboxError, InboxTransaction, Statements};
use crate::MessageId;

impl InboxTransaction for &mut Transaction<'_, Postgres> {}

impl Accept for &mut Transaction<'_, Postgres> {
    async fn accept(
        self,
        statements: &Statements,
        consumer: &str,
        message_id: MessageId,
    ) -> Result<Acceptance, InboxError> {
        // sqlx prepares it once a connection and keeps it.
        let done = sqlx::query(AssertSqlSafe(Arc::clone(&statements.accept)))
            .bind(consumer)
            .bind(Uuid::from(message_id))
            .execute(&mut **self)
            .await
            .map_err(database)?;
        Ok(Acceptance::of(done.rows_affected() > 0))
    }

    async fn accept_all(
        self,
        statements: &Statements,
        consumer: &str,
        message_ids: &[MessageId],
    ) -> Result<Vec<Acceptance>, InboxError> {
        let taken: Vec<Uuid> =
            sqlx::query_scalar(AssertSqlSafe(Arc::clone(&statements.accept_all)))
                .bind(consumer)
                .bind(in_order(message_ids))
                .fetch_all(&mut **self)
                .await
                .map_err(database)?;
        Ok(answers(message_ids, HashSet::from_iter(taken)))
    }
}
