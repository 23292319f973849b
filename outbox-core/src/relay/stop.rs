use std::fmt;

use super::Phantoms;
use crate::sink::{Delivery, RefusalReason};
use crate::{Frontier, Lsn, MessageId, Position, SystemId, TimelineId, Timestamp};

/// Why a relay ends its process. Nothing was published or confirmed on the strength of a doubt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// It was asked to.
    #[error("drained")]
    Drained,
    /// A bug: one of our own invariants does not hold.
    #[error("invariant violated, nothing was published: {0}; please report this")]
    Invariant(String),
    /// The server said what the protocol does not allow.
    #[error("the replication stream cannot be understood: {0}")]
    Protocol(String),
    /// Refused before this process was ever active.
    #[error("{0}")]
    Refused(String),
    /// The broker's checkpoints show two writers.
    #[error("{0}")]
    TwoWriters(String),
    /// The publication is not what the configuration or the checkpoint says.
    #[error("{0}")]
    PublicationDiffers(String),
    /// `init` never ran, or never came to its end.
    #[error("the relay is not set up: {0}; run `outbox-sidecar init`")]
    NotInitialised(String),
    /// The slot does not exist.
    #[error(
        "the replication slot does not exist: what committed meanwhile may be unpublished; \
         see exit code 4 in docs/command-line.md"
    )]
    SlotMissing,
    /// The slot exists but cannot be read any more.
    #[error("the replication slot is lost ({0}); see docs/command-line.md, Exit codes")]
    SlotLost(String),
    /// The publication does not exist.
    #[error("{0}; see docs/command-line.md, Exit codes: what committed without it was not sent")]
    PublicationMissing(String),
    /// The slot has been confirmed beyond the checkpoint.
    #[error(
        "the slot is confirmed up to {confirmed_flush}, the checkpoint stands at {frontier}: \
         messages in between were never published; see docs/command-line.md, Exit codes"
    )]
    SlotAhead {
        /// What the slot says.
        confirmed_flush: Lsn,
        /// What the checkpoint says.
        frontier: Frontier,
    },
    /// There is no checkpoint though one was written.
    #[error("the checkpoint is gone: {0}; see docs/command-line.md, Exit codes")]
    CheckpointMissing(String),
    /// The checkpoint cannot be read.
    #[error("the checkpoint cannot be read: {0}; see docs/command-line.md, Exit codes")]
    CheckpointCorrupt(String),
    /// Another cluster than the checkpoint's.
    #[error(
        "this is cluster {found}, the checkpoint belongs to cluster {expected}: \
         check postgres.url and relay.name"
    )]
    OtherCluster {
        /// The checkpoint's.
        expected: SystemId,
        /// The server's.
        found: SystemId,
    },
    /// The server is behind the checkpoint's timeline, or on a branch of its own.
    #[error(
        "the server is on timeline {found}, which does not descend from timeline {expected} of \
         the checkpoint: an old primary, or a restored copy"
    )]
    OtherTimeline {
        /// The checkpoint's.
        expected: TimelineId,
        /// The server's.
        found: TimelineId,
    },
    /// The server's log ends before the checkpoint.
    #[error(
        "the server's log ends at {wal_end}, before the checkpoint at {frontier}: it was set \
         back; see docs/command-line.md, Exit codes"
    )]
    LogSetBack {
        /// The end of the log.
        wal_end: Lsn,
        /// The checkpoint's frontier.
        frontier: Frontier,
    },
    /// The log does not hold what was published.
    #[error("the log differs from what was published: {0}; see docs/command-line.md, Exit codes")]
    Diverged(String),
    /// Messages were published that the surviving timeline does not hold.
    #[error("{0}")]
    Phantoms(Box<Phantoms>),
    /// What the relay wrote about stuck messages is not in the database any more.
    #[error(
        "the relay has written {expected} times into outbox.parked what became of stuck messages, the \
         database knows of {found}: it was set back, or lost them in a fail-over; see \
         docs/command-line.md, Exit codes"
    )]
    StuckWritesMissing {
        /// What the checkpoint says.
        expected: u64,
        /// What the database says.
        found: u64,
    },
    /// An earlier run stopped for a reason that only an operator can clear.
    #[error("held since an earlier run: {reason}")]
    HeldEarlier {
        /// The exit code of that run.
        exit_code: u8,
        /// Its reason.
        reason: String,
    },
}

impl Stop {
    /// The exit code of the process.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Drained => 0,
            Self::Invariant(_) | Self::Protocol(_) | Self::Refused(_) | Self::TwoWriters(_) => 1,
            Self::PublicationDiffers(_) => 2,
            Self::NotInitialised(_)
            | Self::SlotMissing
            | Self::SlotLost(_)
            | Self::PublicationMissing(_) => 4,
            Self::SlotAhead { .. } | Self::CheckpointMissing(_) | Self::CheckpointCorrupt(_) => 5,
            Self::OtherCluster { .. }
            | Self::OtherTimeline { .. }
            | Self::LogSetBack { .. }
            | Self::Diverged(_)
            | Self::StuckWritesMissing { .. }
            | Self::Phantoms(_) => 6,
            Self::HeldEarlier { exit_code, .. } => *exit_code,
        }
    }

    /// Whether the evidence may vanish by itself, so that it must be written down: a supervisor
    /// starts the process again while the log grows past its old end.
    pub(super) const fn must_be_remembered(&self) -> bool {
        matches!(
            self,
            Self::LogSetBack { .. } | Self::Diverged(_) | Self::Phantoms(_)
        )
    }
}

/// The message that halted a relay: it stays up and publishes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HaltedMessage {
    /// Its identity.
    pub id: MessageId,
    /// Where it stands in the commit order.
    pub position: Position,
    /// When its transaction committed.
    pub commit_time: Timestamp,
    /// Where it was to go.
    pub destination: String,
    /// The kind of refusal.
    pub reason: RefusalReason,
    /// What the broker said.
    pub error: String,
}

impl HaltedMessage {
    pub(super) fn new(delivery: &Delivery, reason: RefusalReason, error: String) -> Self {
        Self {
            id: delivery.row.id,
            position: delivery.position,
            commit_time: delivery.commit_time,
            destination: delivery.row.destination.to_string(),
            reason,
            error,
        }
    }
}

impl fmt::Display for HaltedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "message {} at {} for {:?} was refused ({}): {}; publishing has halted before it: mend \
             the cause, then restart the relay",
            self.id,
            self.position,
            self.destination,
            self.reason.as_str(),
            self.error
        )
    }
}
