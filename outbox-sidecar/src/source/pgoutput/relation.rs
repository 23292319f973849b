use tokio_postgres::types::Type;

use super::reader::Reader;
use crate::source::SourceError;

/// A column of the outbox that a row is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Id,
    Destination,
    Key,
    MessageType,
    ContentType,
    Payload,
    Headers,
    CreatedAt,
}

impl Column {
    const ALL: [Self; 8] = [
        Self::Id,
        Self::Destination,
        Self::Key,
        Self::MessageType,
        Self::ContentType,
        Self::Payload,
        Self::Headers,
        Self::CreatedAt,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Destination => "destination",
            Self::Key => "key",
            Self::MessageType => "type",
            Self::ContentType => "content_type",
            Self::Payload => "payload",
            Self::Headers => "headers",
            Self::CreatedAt => "created_at",
        }
    }

    /// The types its values are understood in; the first is the schema's own.
    const fn types(self) -> &'static [Type] {
        match self {
            Self::Id => &[Type::UUID],
            Self::Destination | Self::Key | Self::MessageType | Self::ContentType => {
                &[Type::TEXT, Type::VARCHAR]
            }
            Self::Payload => &[Type::BYTEA],
            Self::Headers => &[Type::JSONB],
            Self::CreatedAt => &[Type::TIMESTAMPTZ],
        }
    }
}

/// What stands at each place of a relation's tuples; `None` is a column that is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) places: Vec<Option<Column>>,
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

/// The longest name of a schema or table that is remembered. PostgreSQL's have 63 bytes, those of a
/// server that was built otherwise a few more.
const NAME_BYTES_MAX: usize = 1024;

impl OutboxTable {
    const NAME: &'static str = "message";
}

/// Relation: the columns of a table, sent before its first row and again after each change.
/// Columns are known by name: their order may change.
pub(super) fn relation(
    mut reader: Reader<'_>,
    table: &OutboxTable,
) -> Result<(u32, Described), SourceError> {
    let oid = reader.u32()?;
    let (schema, name) = (reader.string()?, reader.string()?);
    if schema.len().max(name.len()) > NAME_BYTES_MAX {
        return Err(reader.malformed("a name that is too long"));
    }
    if schema != table.schema || name != OutboxTable::NAME {
        return Ok((oid, Described::Other(format!("{schema}.{name}"))));
    }
    let _replica_identity = reader.u8()?;
    let count = reader.u16()?;
    let mut places = Vec::new();
    for _ in 0..count {
        let _flags = reader.u8()?;
        let name = reader.string()?;
        let type_oid = reader.u32()?;
        let _type_modifier = reader.u32()?;
        let column = Column::ALL.into_iter().find(|column| column.name() == name);
        if let Some(column) = column {
            check_type(column, type_oid, schema)?;
        }
        places.push(column);
    }
    match Column::ALL
        .into_iter()
        .find(|column| !places.contains(&Some(*column)))
    {
        Some(missing) => Err(SourceError::Unfit(format!(
            "the publication carries {schema}.message without its column {}: run \
             `outbox-sidecar check`",
            missing.name()
        ))),
        None => Ok((oid, Described::Outbox(Relation { places }))),
    }
}

fn check_type(column: Column, type_oid: u32, schema: &str) -> Result<(), SourceError> {
    let known = column.types();
    if known.iter().any(|known| known.oid() == type_oid) {
        return Ok(());
    }
    let found = Type::from_oid(type_oid).map_or_else(
        || format!("with the oid {type_oid}"),
        |found| found.name().to_owned(),
    );
    Err(SourceError::Unfit(format!(
        "column {} of {schema}.message has the type {found}: it must be {}",
        column.name(),
        known.first().map_or("", Type::name)
    )))
}
