use bytes::Bytes;
use bytestring::ByteString;

use crate::sink::Delivery;
use crate::{MessageId, Timestamp};

/// One row of the outbox table as the write-ahead log carries it: what a sink publishes.
///
/// The text and byte fields are slices of one piece of memory, which the rows that arrived together
/// share; cloning copies no payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// The message's identity.
    pub id: MessageId,
    /// Topic, queue, exchange route or stream: what the sink makes of it is its own matter.
    pub destination: ByteString,
    /// Messages of one key keep their order; without a key a message has none.
    pub key: Option<ByteString>,
    /// The kind of event, such as `PolicyIssued`.
    pub message_type: ByteString,
    /// The media type of the payload.
    pub content_type: ByteString,
    /// The payload; `None` is a tombstone.
    pub payload: Option<Bytes>,
    /// A JSON object of strings as stored, or what a caller's own INSERT made of it: the sink
    /// refuses the row when it is something else.
    pub headers: ByteString,
    /// When the service enqueued it (its transaction's start).
    pub created_at: Timestamp,
}

impl OutboxRow {
    /// The bytes that a consumer gets: payload, texts and headers, without any framing.
    #[must_use]
    pub fn content_bytes(&self) -> usize {
        self.destination.len()
            + self.key.as_ref().map_or(0, |key| key.len())
            + self.message_type.len()
            + self.content_type.len()
            + self.payload.as_ref().map_or(0, Bytes::len)
            + self.headers.len()
    }

    /// The bytes this row holds in memory while it waits, give or take the allocator's rounding:
    /// its content, the bookkeeping, and the framing it arrived in.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        /// What the server puts around the fields of a row.
        const FRAMING_BYTES: usize = 96;
        size_of::<Delivery>() + FRAMING_BYTES + self.content_bytes()
    }
}
