use bytes::Bytes;
use bytestring::ByteString;
use tokio_postgres::types::Type;

use super::reader::Reader;
use crate::source::SourceError;

/// Where the outbox's columns stand in the tuples of a relation. Others are passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) columns: usize,
    pub(super) id: usize,
    pub(super) destination: usize,
    pub(super) key: usize,
    pub(super) message_type: usize,
    pub(super) content_type: usize,
    pub(super) payload: usize,
    pub(super) headers: usize,
    pub(super) created_at: usize,
}

/// A table that the server has described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Described {
    /// The outbox.
    Outbox(Relation),
    /// Another one, by name. The server also describes the partition that a row went to, although
    /// the row itself comes under the outbox's name.
    Other(String),
}

/// The table that a relay may see.
#[derive(Clone, Debug)]
pub(super) struct OutboxTable {
    pub(super) schema: String,
}

impl OutboxTable {
    const NAME: &'static str = "message";
}

/// Relation: the columns of a table, sent before its first row and again after each change.
pub(super) fn relation(body: Bytes, table: &OutboxTable) -> Result<(u32, Described), SourceError> {
    let mut reader = Reader::new(body, "Relation");
    let oid = reader.u32()?;
    let (schema, name) = (reader.string()?, reader.string()?);
    if schema != table.schema || name != OutboxTable::NAME {
        return Ok((oid, Described::Other(format!("{schema}.{name}"))));
    }
    let _replica_identity = reader.u8()?;
    let count = usize::from(reader.u16()?);
    let mut columns: Vec<(ByteString, u32)> = Vec::with_capacity(count);
    for _ in 0..count {
        let _flags = reader.u8()?;
        let column = reader.string()?;
        let type_oid = reader.u32()?;
        let _type_modifier = reader.u32()?;
        columns.push((column, type_oid));
    }
    let find = |name: &str, types: &[Type]| {
        let (place, (_, type_oid)) = columns
            .iter()
            .enumerate()
            .find(|(_, (column, _))| column == name)
            .ok_or_else(|| {
                SourceError::Unfit(format!(
                    "the publication carries {schema}.message without its column {name}: run \
                     `outbox-sidecar check`"
                ))
            })?;
        if types.iter().any(|known| known.oid() == *type_oid) {
            Ok(place)
        } else {
            Err(SourceError::Unfit(format!(
                "column {name} of {schema}.message has type {type_oid}, not {}",
                types.first().map_or("", |known| known.name())
            )))
        }
    };
    let text = [Type::TEXT, Type::VARCHAR];
    Ok((
        oid,
        Described::Outbox(Relation {
            columns: count,
            id: find("id", &[Type::UUID])?,
            destination: find("destination", &text)?,
            key: find("key", &text)?,
            message_type: find("type", &text)?,
            content_type: find("content_type", &text)?,
            payload: find("payload", &[Type::BYTEA])?,
            headers: find("headers", &[Type::JSONB])?,
            created_at: find("created_at", &[Type::TIMESTAMPTZ])?,
        }),
    ))
}
