use bytes::{Buf, Bytes};
use bytestring::ByteString;
use outbox_core::{MessageId, OutboxRow, Timestamp};

use super::reader::Reader;
use super::relation::Relation;
use crate::source::SourceError;

/// The version byte in front of a binary `jsonb`.
const JSONB_VERSION: u8 = 1;

/// The most columns a table of PostgreSQL has.
const COLUMNS_MAX: usize = 1600;

/// Insert: a row of the outbox. Its fields are slices of the buffer it arrived in.
pub(super) fn insert(mut reader: Reader, relation: &Relation) -> Result<OutboxRow, SourceError> {
    if reader.u8()? != b'N' {
        return Err(reader.malformed("no new tuple"));
    }
    let count = usize::from(reader.u16()?);
    if count != relation.columns || count > COLUMNS_MAX {
        return Err(reader.malformed("a tuple of another shape than its relation"));
    }
    let mut row = Columns::default();
    for place in 0..count {
        let value = match reader.u8()? {
            b'n' => None,
            b'b' => {
                let length = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
                Some(reader.bytes(length)?)
            }
            // Asked for binary, the server falls back to text only for types without a binary
            // form, and an inserted row has no unchanged out-of-line value.
            kind => return Err(reader.malformed(&format!("a value of kind {kind:#04x}"))),
        };
        row.set(place, value, relation);
    }
    row.into_row(&reader)
}

/// The values of the columns we know.
#[derive(Default)]
struct Columns {
    id: Option<Bytes>,
    destination: Option<Bytes>,
    key: Option<Bytes>,
    message_type: Option<Bytes>,
    content_type: Option<Bytes>,
    payload: Option<Bytes>,
    headers: Option<Bytes>,
    created_at: Option<Bytes>,
}

impl Columns {
    fn set(&mut self, place: usize, value: Option<Bytes>, relation: &Relation) {
        let column = match place {
            place if place == relation.id => &mut self.id,
            place if place == relation.destination => &mut self.destination,
            place if place == relation.key => &mut self.key,
            place if place == relation.message_type => &mut self.message_type,
            place if place == relation.content_type => &mut self.content_type,
            place if place == relation.payload => &mut self.payload,
            place if place == relation.headers => &mut self.headers,
            place if place == relation.created_at => &mut self.created_at,
            _ => return,
        };
        *column = value;
    }

    fn into_row(self, reader: &Reader) -> Result<OutboxRow, SourceError> {
        let missing = |name: &str| reader.malformed(&format!("a null {name}"));
        let text = |value: Option<Bytes>, name: &str| -> Result<ByteString, SourceError> {
            let value = value.ok_or_else(|| missing(name))?;
            ByteString::try_from(value)
                .map_err(|_| reader.malformed(&format!("a {name} that is not UTF-8")))
        };
        let id = self.id.ok_or_else(|| missing("id"))?;
        let id: [u8; 16] = id
            .as_ref()
            .try_into()
            .map_err(|_| reader.malformed("an id that is not a UUID"))?;
        let mut headers = self.headers.ok_or_else(|| missing("headers"))?;
        if headers.try_get_u8().ok() != Some(JSONB_VERSION) {
            return Err(reader.malformed("a jsonb of another version"));
        }
        let mut created_at = self.created_at.ok_or_else(|| missing("created_at"))?;
        let created_at = created_at
            .try_get_i64()
            .map_err(|_| reader.malformed("a created_at that is not a timestamp"))?;
        Ok(OutboxRow {
            id: MessageId::from_bytes(id),
            destination: text(self.destination, "destination")?,
            key: self.key.map(|key| text(Some(key), "key")).transpose()?,
            message_type: text(self.message_type, "type")?,
            content_type: text(self.content_type, "content_type")?,
            payload: self.payload,
            headers: text(Some(headers), "headers")?,
            created_at: Timestamp::from_postgresql_us(created_at),
        })
    }
}
