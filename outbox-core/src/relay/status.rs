use crate::{Frontier, Lsn, SystemId, TimelineId, Timestamp};

/// What a relay is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// PostgreSQL has not been reached yet.
    Starting,
    /// Another relay holds the slot, or a server is away.
    Standby,
    /// Taking the slot and the right to publish.
    Activating,
    /// Publishing, or waiting for something to publish.
    Active,
    /// Finding out what became of a batch.
    Recovering,
    /// Finishing the batch in flight, then stopping.
    Draining,
    /// Up, publishing nothing, until an operator acts.
    Held,
    /// At its end.
    Stopped,
}

impl Phase {
    /// The word for `/status` and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Standby => "standby",
            Self::Activating => "activating",
            Self::Active => "active",
            Self::Recovering => "recovering",
            Self::Draining => "draining",
            Self::Held => "held",
            Self::Stopped => "stopped",
        }
    }

    /// Whether slot and right to publish are ours.
    #[must_use]
    pub const fn is_holder(self) -> bool {
        matches!(self, Self::Active | Self::Recovering | Self::Draining)
    }
}

/// How far a relay is, for `/status` and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it is doing.
    pub phase: Phase,
    /// The durable frontier, while active.
    pub frontier: Option<Frontier>,
    /// The position last confirmed to the slot, while active.
    pub confirmed: Option<Lsn>,
    /// The checkpoint's sequence, while active.
    pub sequence: Option<u64>,
    /// The end of what the server has shown, while active.
    pub seen: Option<Lsn>,
    /// The cluster and timeline, while active.
    pub cluster: Option<(SystemId, TimelineId)>,
    /// Bytes of messages that wait for the sink.
    pub buffer_bytes: usize,
    /// Messages the sink has in hand.
    pub in_flight: usize,
    /// When the oldest message that is not durable committed.
    pub oldest_commit_time: Option<Timestamp>,
    /// Keys whose messages wait behind one that was set aside, while active.
    pub blocked_keys: usize,
    /// Destinations that count as gone, while active.
    pub destinations_gone: usize,
    /// So many processes in a row that held the relay ended without a word; 0 once this one has got
    /// past that.
    pub unclean_ends: u32,
    /// Messages that are still published with care, in small batches, after processes that ended
    /// without a word; 0 in ordinary running.
    pub careful_messages: usize,
}

impl Status {
    /// Of a relay that does not hold the slot.
    pub(super) const fn without_position(phase: Phase) -> Self {
        Self {
            phase,
            frontier: None,
            confirmed: None,
            sequence: None,
            seen: None,
            cluster: None,
            buffer_bytes: 0,
            in_flight: 0,
            oldest_commit_time: None,
            blocked_keys: 0,
            destinations_gone: 0,
            unclean_ends: 0,
            careful_messages: 0,
        }
    }
}
