use bytes::{Bytes, BytesMut};
use futures_util::SinkExt;
use std::error::Error;
use std::pin::pin;
use tokio_postgres::Transaction;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use super::copy::{CopyChunks, database, headers_jsonb};
use super::transaction::sealed::Store;
use super::{EnqueueError, EnqueueTransaction, Statements};
use crate::Message;

impl EnqueueTransaction for &Transaction<'_> {}
impl EnqueueTransaction for &mut Transaction<'_> {}

impl Store for &Transaction<'_> {
    async fn insert(self, statements: &Statements, message: &Message) -> Result<(), EnqueueError> {
        insert(self, statements, message).await
    }

    async fn copy(self, statements: &Statements, messages: &[Message]) -> Result<(), EnqueueError> {
        copy(self, statements, messages).await
    }
}

impl Store for &mut Transaction<'_> {
    async fn insert(self, statements: &Statements, message: &Message) -> Result<(), EnqueueError> {
        insert(self, statements, message).await
    }

    async fn copy(self, statements: &Statements, messages: &[Message]) -> Result<(), EnqueueError> {
        copy(self, statements, messages).await
    }
}

/// With the types given, parsing and running are one round trip; a prepared statement would need
/// one more whenever it is new, and this client keeps none for us.
async fn insert(
    tx: &Transaction<'_>,
    statements: &Statements,
    message: &Message,
) -> Result<(), EnqueueError> {
    tx.execute_typed(
        &statements.insert,
        &[
            (&Uuid::from(message.message_id()), Type::UUID),
            (&message.destination(), Type::TEXT),
            (&message.key_text(), Type::TEXT),
            (&message.message_type(), Type::TEXT),
            (&message.content_type_text(), Type::TEXT),
            (&message.payload().map(|payload| &payload[..]), Type::BYTEA),
            (&Jsonb(headers_jsonb(message)?), Type::JSONB),
        ],
    )
    .await
    .map_err(database)?;
    Ok(())
}

async fn copy(
    tx: &Transaction<'_>,
    statements: &Statements,
    messages: &[Message],
) -> Result<(), EnqueueError> {
    let mut chunks = CopyChunks::new(messages);
    let sink = tx
        .copy_in::<_, Bytes>(&*statements.copy)
        .await
        .map_err(database)?;
    let mut sink = pin!(sink);
    while let Some(chunk) = chunks.next()? {
        sink.send(chunk).await.map_err(database)?;
    }
    sink.finish().await.map_err(database)?;
    Ok(())
}

/// A jsonb that is already in PostgreSQL's binary form.
#[derive(Debug)]
struct Jsonb(Vec<u8>);

impl ToSql for Jsonb {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSONB
    }

    to_sql_checked!();
}
