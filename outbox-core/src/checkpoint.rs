//! How far a relay has come, provably: the record that is made durable with the messages.
//!
//! A [`Checkpoint`] says up to which [`Frontier`] everything is published, in which cluster and on
//! which timeline, and which message was the last. A relay that starts compares it with the
//! database and refuses to go on where the two do not fit.

mod encoding;
mod log;

#[cfg(any(test, fuzzing))]
pub(crate) use encoding::sealed;
pub use encoding::{DecodeCheckpointError, FORMAT};
pub use log::{CheckpointLog, SequenceError};

use crate::sink::Delivery;
use crate::{Frontier, Lsn, MessageId, Position, SystemId, TimelineHistory, TimelineId, Timestamp};

/// How far one relay has come.
///
/// ```
/// use outbox_core::checkpoint::Checkpoint;
/// use outbox_core::{Frontier, Lsn, SystemId, TimelineHistory, TimelineId, Timestamp};
///
/// let genesis = Checkpoint {
///     relay: "policy".into(),
///     system_id: SystemId(7_400_000_000_000_000_000),
///     timeline: TimelineId(1),
///     timeline_history: TimelineHistory::default(),
///     frontier: Frontier::at("0/1A2B3C8".parse()?),
///     last: None,
///     stuck_writes: 0,
///     publication_fingerprint: "5f3a".into(),
///     sequence: 0,
///     written_at: Timestamp::from_unix_us(1_790_000_000_000_000),
/// };
/// let bytes = genesis.encode();
/// assert_eq!(Checkpoint::decode(&bytes)?, genesis);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The relay's name.
    pub relay: String,
    /// The cluster whose log the frontier lies in.
    pub system_id: SystemId,
    /// The timeline of that log.
    pub timeline: TimelineId,
    /// The timeline's ancestors, so that a diverged one is told from a descendant.
    pub timeline_history: TimelineHistory,
    /// Every message before it is durable.
    pub frontier: Frontier,
    /// The last message handled; nothing of ours lies between it and the frontier.
    pub last: Option<LastHandled>,
    /// How often the relay had written down what became of stuck messages: a database that knows of
    /// fewer was set back, and has lost some of it.
    pub stuck_writes: u64,
    /// Which rows the publication lets through, as a hash of its definition.
    pub publication_fingerprint: String,
    /// Grows by one with each checkpoint of the relay; the genesis has 0.
    pub sequence: u64,
    /// When it was written, by the relay's clock. For people; nothing is decided by it.
    pub written_at: Timestamp,
}

/// The last message that was published, parked, or a replay request that was handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastHandled {
    /// Where its transaction's commit record starts.
    pub commit_lsn: Lsn,
    /// Its transaction's id: with the message id it tells a restored log from the one we read.
    pub xid: u32,
    /// When its transaction committed, by the server's clock.
    pub commit_time: Timestamp,
    /// Its number within the transaction.
    pub index: u32,
    /// The message's identity, or the request's on whose account it was published.
    pub message_id: MessageId,
}

impl From<&Delivery> for LastHandled {
    fn from(delivery: &Delivery) -> Self {
        Self {
            commit_lsn: delivery.position.commit_lsn,
            xid: delivery.xid,
            commit_time: delivery.commit_time,
            index: delivery.position.index,
            message_id: match &delivery.replay {
                Some(replay) => replay.request.into(),
                None => delivery.row.id,
            },
        }
    }
}

impl LastHandled {
    /// Where it stands in the commit order.
    #[must_use]
    pub const fn position(&self) -> Position {
        Position {
            commit_lsn: self.commit_lsn,
            index: self.index,
        }
    }
}
