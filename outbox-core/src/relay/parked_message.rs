use super::EarlierEnds;
use crate::sink::{Delivery, RefusalReason};
use crate::{MessageId, Position};

/// What a relay does with a message that the broker refuses for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StuckPolicy {
    /// Set it aside, and behind it, in order, every later message of its key for its destination.
    #[default]
    ParkKey,
    /// Set it aside alone: later messages of its key overtake it.
    Park,
    /// Publish nothing more until an operator acts.
    Halt,
}

impl StuckPolicy {
    /// The policy as it is configured.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ParkKey => "park-key",
            Self::Park => "park",
            Self::Halt => "halt",
        }
    }
}

/// A message that is set aside in the database instead of being published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedMessage {
    /// The message, and where it stands in the commit order.
    pub delivery: Delivery,
    /// Why.
    pub reason: ParkReason,
    /// What the broker or the sink said; empty for one that only waits for its key.
    pub error: String,
    /// Later messages of its key wait behind it: it is the first of its key that waits.
    pub blocks_key: bool,
}

/// Why a message is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParkReason {
    /// The broker refused it for itself.
    Refused(RefusalReason),
    /// An earlier message of its key waits.
    KeyBlocked,
}

impl ParkReason {
    /// The reason as it stands in the table, in metrics' labels and in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused(reason) => reason.as_str(),
            Self::KeyBlocked => "key-blocked",
        }
    }
}

/// What the database holds of messages that were set aside before a relay became active.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParkedEarlier {
    /// Those that the checkpoint does not cover: set aside by a holder that did not come to it.
    pub uncovered: Vec<UncoveredRow>,
    /// The keys whose later messages wait.
    pub blocked: Vec<BlockedKey>,
    /// How often the relay has written about stuck messages, as far as this database knows.
    pub writes: u64,
    /// How earlier holders ended.
    pub ends: EarlierEnds,
}

/// A row of a message that comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UncoveredRow {
    /// Where the message stands in the commit order.
    pub position: Position,
    /// The message's identity.
    pub id: MessageId,
}

/// A key whose messages wait behind one that is set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockedKey {
    /// Where its messages were to go.
    pub destination: String,
    /// The key.
    pub key: String,
    /// Where the first of its messages stands that waits.
    pub from: Position,
}
