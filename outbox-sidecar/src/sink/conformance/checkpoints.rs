//! The checkpoints of a relay that the suite plays.

use outbox_core::checkpoint::Checkpoint;
use outbox_core::{Frontier, Lsn, SystemId, TimelineHistory, TimelineId, Timestamp};

/// Between the commits of two batches.
pub(super) const STEP: u64 = 1_000_000;

/// The checkpoint that the relay begins with.
pub(super) fn genesis(relay: &str) -> Checkpoint {
    checkpoint(relay, 0, Frontier::at(Lsn::new(STEP)))
}

/// One that covers everything before the frontier.
pub(super) fn checkpoint(relay: &str, sequence: u64, frontier: Frontier) -> Checkpoint {
    Checkpoint {
        relay: relay.to_owned(),
        system_id: SystemId(7),
        timeline: TimelineId(1),
        timeline_history: TimelineHistory::default(),
        frontier,
        last: None,
        stuck_writes: 0,
        publication_fingerprint: "f".into(),
        sequence,
        written_at: Timestamp::from_unix_us(1_700_000_000_000_000),
    }
}
