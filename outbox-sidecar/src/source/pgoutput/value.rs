use bytes::Bytes;
use bytestring::ByteString;
use outbox_core::{MessageId, Timestamp};

use super::reader::Reader;
use super::relation::Column;
use super::text_format::{bytea_from_text, timestamp_from_text};
use crate::source::SourceError;

/// The version byte in front of a binary `jsonb`.
const JSONB_VERSION: u8 = 1;

/// A value of a tuple that is not null, in either of PostgreSQL's formats.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Binary(&'a [u8]),
    Text(&'a [u8]),
}

impl Value<'_> {
    pub(super) fn uuid(self, reader: &Reader<'_>) -> Result<MessageId, SourceError> {
        let id = match self {
            Self::Binary(bytes) => bytes.try_into().ok().map(MessageId::from_bytes),
            Self::Text(text) => std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.parse().ok()),
        };
        id.ok_or_else(|| reader.malformed("an id that is not a UUID"))
    }

    pub(super) fn text(
        self,
        column: Column,
        reader: &Reader<'_>,
    ) -> Result<ByteString, SourceError> {
        let (Self::Binary(text) | Self::Text(text)) = self;
        reader.keep_text(text, column.name())
    }

    pub(super) fn bytea(self, reader: &Reader<'_>) -> Result<Bytes, SourceError> {
        match self {
            Self::Binary(bytes) => Ok(reader.keep(bytes)),
            Self::Text(text) => bytea_from_text(text)
                .map(Bytes::from)
                .ok_or_else(|| reader.malformed("a payload that is not a bytea")),
        }
    }

    pub(super) fn jsonb(self, reader: &Reader<'_>) -> Result<ByteString, SourceError> {
        let text = match self {
            Self::Binary([JSONB_VERSION, text @ ..]) | Self::Text(text) => text,
            Self::Binary(_) => return Err(reader.malformed("a jsonb of another version")),
        };
        reader.keep_text(text, Column::Headers.name())
    }

    pub(super) fn timestamp(self, reader: &Reader<'_>) -> Result<Timestamp, SourceError> {
        let time = match self {
            Self::Binary(bytes) => bytes
                .try_into()
                .ok()
                .map(|bytes| Timestamp::from_postgresql_us(i64::from_be_bytes(bytes))),
            Self::Text(text) => std::str::from_utf8(text).ok().and_then(timestamp_from_text),
        };
        time.ok_or_else(|| reader.malformed("a created_at that is not a timestamp"))
    }
}
