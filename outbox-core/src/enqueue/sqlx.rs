use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgCopyIn, PgTypeInfo};
use sqlx::types::{Json, Uuid};
use sqlx::{AssertSqlSafe, Encode, PgConnection, Postgres, Transaction, Type};
use std::sync::Arc;

use super::copy::{CopyChunks, database, headers_jsonb};
use super::transaction::sealed::Store;
use super::{EnqueueError, EnqueueTransaction, Statements};
use crate::Message;

impl EnqueueTransaction for &mut Transaction<'_, Postgres> {}

impl Store for &mut Transaction<'_, Postgres> {
    async fn insert(self, statements: &Statements, message: &Message) -> Result<(), EnqueueError> {
        // sqlx prepares it once a connection and keeps it.
        sqlx::query(AssertSqlSafe(Arc::clone(&statements.insert)))
            .bind(Uuid::from(message.message_id()))
            .bind(message.destination())
            .bind(message.key_text())
            .bind(message.message_type())
            .bind(message.content_type_text())
            .bind(message.payload().map(|payload| &payload[..]))
            .bind(Jsonb(headers_jsonb(message)?))
            .execute(&mut **self)
            .await
            .map_err(database)?;
        Ok(())
    }

    async fn copy(self, statements: &Statements, messages: &[Message]) -> Result<(), EnqueueError> {
        let mut copy = self.copy_in_raw(&statements.copy).await.map_err(database)?;
        match send(&mut copy, messages).await {
            Ok(()) => {
                copy.finish().await.map_err(database)?;
                Ok(())
            }
            Err(error) => {
                // A COPY that is only dropped leaves its answer in the way of the rollback. When
                // the connection is gone, the abort fails too, and the first error tells why.
                let _ = copy.abort("the messages could not be sent").await;
                Err(error)
            }
        }
    }
}

async fn send(
    copy: &mut PgCopyIn<&mut PgConnection>,
    messages: &[Message],
) -> Result<(), EnqueueError> {
    let mut chunks = CopyChunks::new(messages);
    while let Some(chunk) = chunks.next()? {
        copy.send(chunk).await.map_err(database)?;
    }
    Ok(())
}

/// A jsonb that is already in PostgreSQL's binary form.
struct Jsonb(Vec<u8>);

impl Type<Postgres> for Jsonb {
    fn type_info() -> PgTypeInfo {
        <Json<()> as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Jsonb {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }
}
