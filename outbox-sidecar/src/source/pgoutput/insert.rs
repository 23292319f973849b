use bytes::Bytes;
use bytestring::ByteString;
use outbox_core::{MessageId, OutboxRow, Timestamp};

use super::reader::Reader;
use super::relation::{Column, Relation};
use super::value::Value;
use crate::source::SourceError;

/// Insert: a row of the outbox. Its texts and its payload are slices of the buffer it arrived in.
pub(super) fn insert(
    mut reader: Reader<'_>,
    relation: &Relation,
) -> Result<OutboxRow, SourceError> {
    if reader.u8()? != b'N' {
        return Err(reader.malformed("no new tuple"));
    }
    if usize::from(reader.u16()?) != relation.places.len() {
        return Err(reader.malformed("a tuple of another shape than its relation"));
    }
    let mut fields = Fields::default();
    for place in &relation.places {
        let value = match reader.u8()? {
            b'n' => continue,
            b'b' => Value::Binary(reader.counted_bytes()?),
            // Asked for binary, the server still sends text for what it cannot send otherwise.
            b't' => Value::Text(reader.counted_bytes()?),
            kind => return Err(reader.malformed(&format!("a value of kind {kind:#04x}"))),
        };
        if let Some(column) = place {
            fields.set(*column, value, &reader)?;
        }
    }
    fields.into_row(&reader)
}

/// The values that were not null.
#[derive(Default)]
struct Fields {
    id: Option<MessageId>,
    destination: Option<ByteString>,
    key: Option<ByteString>,
    message_type: Option<ByteString>,
    content_type: Option<ByteString>,
    payload: Option<Bytes>,
    headers: Option<ByteString>,
    created_at: Option<Timestamp>,
}

impl Fields {
    fn set(
        &mut self,
        column: Column,
        value: Value<'_>,
        reader: &Reader<'_>,
    ) -> Result<(), SourceError> {
        match column {
            Column::Id => self.id = Some(value.uuid(reader)?),
            Column::Destination => self.destination = Some(value.text(column, reader)?),
            Column::Key => self.key = Some(value.text(column, reader)?),
            Column::MessageType => self.message_type = Some(value.text(column, reader)?),
            Column::ContentType => self.content_type = Some(value.text(column, reader)?),
            Column::Payload => self.payload = Some(value.bytea(reader)?),
            Column::Headers => self.headers = Some(value.jsonb(reader)?),
            Column::CreatedAt => self.created_at = Some(value.timestamp(reader)?),
        }
        Ok(())
    }

    fn into_row(self, reader: &Reader<'_>) -> Result<OutboxRow, SourceError> {
        let missing = |column: Column| reader.malformed(&format!("a null {}", column.name()));
        Ok(OutboxRow {
            id: self.id.ok_or_else(|| missing(Column::Id))?,
            destination: self
                .destination
                .ok_or_else(|| missing(Column::Destination))?,
            key: self.key,
            message_type: self
                .message_type
                .ok_or_else(|| missing(Column::MessageType))?,
            content_type: self
                .content_type
                .ok_or_else(|| missing(Column::ContentType))?,
            payload: self.payload,
            headers: self.headers.ok_or_else(|| missing(Column::Headers))?,
            created_at: self.created_at.ok_or_else(|| missing(Column::CreatedAt))?,
        })
    }
}
