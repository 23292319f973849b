//! A message as a broker shows it to whoever reads, whatever the broker.

use outbox_core::{MessageId, Position, TimelineId, Timestamp};

/// One message that was read back. What is `None` was not there, or not what we write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Published<'a> {
    /// The partition of a topic or of a super stream; 0 of a plain stream.
    pub(crate) partition: u32,
    /// Its place there.
    pub(crate) offset: u64,
    pub(crate) id: Option<MessageId>,
    pub(crate) position: Option<(TimelineId, Position)>,
    /// For the how-manieth time it was asked for, if it says of itself that it was sent on purpose once
    /// more; 0 where that is not to be read.
    pub(crate) replay: Option<u32>,
    /// Whether it says that it had been published before: its position is not its row's then.
    pub(crate) is_redelivery: bool,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) message_type: Option<&'a [u8]>,
    pub(crate) content_type: Option<&'a [u8]>,
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) payload: Option<&'a [u8]>,
    /// Everybody else's: what is left once ours are taken out.
    pub(crate) headers: Vec<(&'a str, &'a [u8])>,
}

/// What was read of one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DestinationRead {
    /// Whether the broker knows it at all.
    pub(crate) exists: bool,
    /// How many messages the broker has deleted at its beginning, by its own rules.
    pub(crate) deleted: u64,
    /// How many more messages are seen by those who also read what was rolled back.
    pub(crate) rolled_back: u64,
    /// Remarks for whoever judges, in words.
    pub(crate) remarks: Vec<String>,
}

/// Why a broker could not be read to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ReadError(pub(crate) String);
