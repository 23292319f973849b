use bytes::{BufMut, Bytes, BytesMut};

use super::EnqueueError;
use crate::Message;

/// A chunk is sent once it has this many bytes: large enough for few calls, small enough for
/// memory. A row is never split.
const CHUNK_BYTES: usize = 64 * 1024;

/// `PGCOPY\n\377\r\n\0`, no flags, no header extension
/// (<https://www.postgresql.org/docs/current/sql-copy.html>).
const SIGNATURE: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const COLUMNS: i16 = 7;
const NULL_LENGTH: i32 = -1;
const END: i16 = -1;
/// The version that precedes a jsonb's text.
const JSONB_VERSION: u8 = 1;

/// Writes messages in the binary format of `COPY`, chunk by chunk.
pub(super) struct CopyChunks<'a> {
    messages: std::slice::Iter<'a, Message>,
    buffer: BytesMut,
    ended: bool,
}

impl<'a> CopyChunks<'a> {
    pub(super) fn new(messages: &'a [Message]) -> Self {
        let mut buffer = BytesMut::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8);
        buffer.put_slice(SIGNATURE);
        Self {
            messages: messages.iter(),
            buffer,
            ended: false,
        }
    }

    /// The next chunk; none after the last.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, EnqueueError> {
        if self.ended {
            return Ok(None);
        }
        while self.buffer.len() < CHUNK_BYTES {
            let Some(message) = self.messages.next() else {
                self.buffer.put_i16(END);
                self.ended = true;
                break;
            };
            put_row(&mut self.buffer, message)?;
        }
        Ok(Some(self.buffer.split().freeze()))
    }
}

fn put_row(buffer: &mut BytesMut, message: &Message) -> Result<(), EnqueueError> {
    buffer.put_i16(COLUMNS);
    put_field(buffer, message.message_id().as_bytes())?;
    put_field(buffer, message.destination().as_bytes())?;
    put_optional(buffer, message.key_text().map(str::as_bytes))?;
    put_field(buffer, message.message_type().as_bytes())?;
    put_field(buffer, message.content_type_text().as_bytes())?;
    put_optional(buffer, message.payload().map(|payload| &payload[..]))?;
    put_field(buffer, &headers_jsonb(message)?)
}

fn put_optional(buffer: &mut BytesMut, field: Option<&[u8]>) -> Result<(), EnqueueError> {
    match field {
        Some(bytes) => put_field(buffer, bytes),
        None => {
            buffer.put_i32(NULL_LENGTH);
            Ok(())
        }
    }
}

fn put_field(buffer: &mut BytesMut, bytes: &[u8]) -> Result<(), EnqueueError> {
    buffer.put_i32(i32::try_from(bytes.len()).map_err(database)?);
    buffer.put_slice(bytes);
    Ok(())
}

/// The headers as PostgreSQL receives a jsonb.
pub(super) fn headers_jsonb(message: &Message) -> Result<Vec<u8>, EnqueueError> {
    let mut jsonb = vec![JSONB_VERSION];
    message.headers().write_json(&mut jsonb).map_err(database)?;
    Ok(jsonb)
}

pub(super) fn database(
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> EnqueueError {
    EnqueueError::Database {
        source: source.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(messages: &[Message]) -> Vec<Bytes> {
        let mut chunks = CopyChunks::new(messages);
        std::iter::from_fn(|| chunks.next().unwrap()).collect()
    }

    #[test]
    fn chunks_hold_whole_rows_and_end_once() {
        let messages: Vec<Message> = (0..100)
            .map(|_| Message::new("d", "t").bytes(vec![0; 4096]))
            .collect();
        let chunks = chunks(&messages);
        assert!(chunks.len() > 1);
        assert!(chunks.iter().all(|chunk| chunk.len() < CHUNK_BYTES + 8192));
        assert!(chunks[0].starts_with(SIGNATURE));
        assert!(chunks.last().unwrap().ends_with(&END.to_be_bytes()));
    }

    #[test]
    fn row_is_written_column_by_column() {
        let message = Message::new("dest", "type").header("a", "b");
        let chunks = chunks(std::slice::from_ref(&message));
        let [chunk] = chunks.as_slice() else {
            panic!("one small chunk expected");
        };
        let mut expected = SIGNATURE.to_vec();
        expected.extend_from_slice(&[0, 7, 0, 0, 0, 16]);
        expected.extend_from_slice(message.message_id().as_bytes());
        expected.extend_from_slice(b"\0\0\0\x04dest\xff\xff\xff\xff\0\0\0\x04type");
        expected.extend_from_slice(b"\0\0\0\x18application/octet-stream\xff\xff\xff\xff");
        expected.extend_from_slice(b"\0\0\0\x0a\x01{\"a\":\"b\"}\xff\xff");
        assert_eq!(&chunk[..], expected);
    }
}
