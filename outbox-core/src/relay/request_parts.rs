use bytestring::ByteString;

use crate::sink::RefusalReason;
use crate::{MessageId, OutboxRow, Position, RequestId, TimelineId};

/// A request, and where it stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestPlace {
    /// The request.
    pub id: RequestId,
    /// Its position: behind the messages of its transaction.
    pub position: Position,
    /// Its transaction's id.
    pub xid: u32,
}

/// What the database says of a request, or of the next part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestPart {
    /// Its transaction is decoded, but nobody sees its rows yet: it still waits for a standby.
    NotVisible,
    /// There is no such request: whoever wrote the logical message did not write the row.
    Unknown,
    /// Messages to publish.
    Messages {
        /// In the order of their numbers.
        messages: Vec<ReplayedMessage>,
        /// The number to go on from; `None` when these are the last.
        next: Option<u32>,
        /// How often the relay has written about stuck messages now.
        writes: u64,
    },
}

/// A message that was set aside and is to be published now, or was published and is to be once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayedMessage {
    /// Its number within the request, from 0.
    pub number: u32,
    /// Where it stands in the commit order, and on which timeline; `None` for one that is published once
    /// more.
    pub origin: Option<(TimelineId, Position)>,
    /// How often its replay was asked for.
    pub replays: u32,
    /// Why it had been set aside; empty for one that is published once more.
    pub reason: String,
    /// The message, as it is to be published.
    pub row: OutboxRow,
}

/// A message that was refused again when it was replayed, or when it was to be published once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedAgain {
    /// Its number within the request.
    pub number: u32,
    /// Its identity.
    pub id: MessageId,
    /// Where it stands in the commit order; `None` for one that was published before.
    pub position: Option<Position>,
    /// Where it was sent now.
    pub destination: ByteString,
    /// Its key.
    pub key: Option<ByteString>,
    /// Why.
    pub reason: RefusalReason,
    /// What the broker or the sink said.
    pub error: String,
}

/// What is left of a part of a request after a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftToPublish {
    /// The numbers of the messages, within what was asked about, that are still to be published. The
    /// others wait again: they were refused, or stand behind one in its key. By now somebody may have
    /// asked for them anew. Of what is published once more, only what was refused is left out.
    pub numbers: Vec<u32>,
    /// How often the relay has written about stuck messages now.
    pub writes: u64,
}

/// What became of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FinishedRequest {
    /// It asked to publish once more what had been published.
    pub is_redelivery: bool,
    /// Messages that were published.
    pub published: u64,
    /// Messages that were given up.
    pub skipped: u64,
    /// They, or the first of them; empty when this was noted before.
    pub skipped_messages: Vec<SkippedMessage>,
    /// Messages that wait again; of a redelivery those that were left out.
    pub returned: u64,
    /// The keys it concerned; a redelivery concerns none.
    pub keys: Vec<KeyAfter>,
}

/// A message that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedMessage {
    /// Its identity.
    pub id: MessageId,
    /// Where it stands in the commit order.
    pub position: Position,
    /// Where it was to go.
    pub destination: String,
    /// Its key.
    pub key: Option<String>,
    /// Why it had been set aside.
    pub reason: String,
}

/// A key after a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAfter {
    /// Where its messages go.
    pub destination: String,
    /// The key.
    pub key: String,
    /// Where the first of its messages stands that still waits; `None` when the key is free.
    pub blocked_from: Option<Position>,
}
