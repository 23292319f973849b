//! What a running relay says of itself: `/status`, readiness and the gauges read from it.

use std::time::{Duration, Instant};

use outbox_core::Timestamp;
use outbox_core::relay::{HaltedMessage, Status};
use serde::Serialize;

use crate::control::Gauges;

/// The state of a running relay at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// When it was made: an old one means that the driver no longer turns.
    pub(crate) made_at: Instant,
    /// The relay's name.
    pub(crate) relay: String,
    /// What the state machine says.
    pub(crate) status: Status,
    /// Whether the relay has been active or has stood by at least once.
    pub(crate) started: bool,
    /// Whether the last contact with each side worked.
    pub(crate) source: Side,
    /// See `source`.
    pub(crate) sink: Side,
    /// Why it stands by, if it does.
    pub(crate) standby_reason: Option<String>,
    /// Why it publishes nothing until an operator acts.
    pub(crate) held: Option<HaltedMessage>,
    /// What SQL shows.
    pub(crate) gauges: Gauges,
}

/// One side of the relay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Side {
    /// Whether the last contact worked.
    pub(crate) connected: bool,
    /// The last error; it stays until the next contact that works.
    pub(crate) error: Option<String>,
}

impl Report {
    /// A relay that has not done anything yet.
    pub(crate) fn starting(relay: &str, status: Status) -> Self {
        Self {
            made_at: Instant::now(),
            relay: relay.to_owned(),
            status,
            started: false,
            source: Side::default(),
            sink: Side::default(),
            standby_reason: None,
            held: None,
            gauges: Gauges::default(),
        }
    }

    /// Bytes of log between what is durable and the server's end.
    pub(crate) fn lag_bytes(&self) -> Option<u64> {
        let end = self.gauges.wal_end.max(self.status.seen)?;
        Some(end.bytes_since(self.status.frontier?.lsn))
    }

    /// How long ago the oldest transaction committed that is not durable, in seconds; 0 when there
    /// is none. Only a relay that is active, or that a message halted, knows it.
    pub(crate) fn lag_seconds(&self, now: Timestamp) -> Option<f64> {
        let oldest = match &self.held {
            Some(halted) => Some(halted.commit_time),
            _ if !self.status.phase.is_holder() => return None,
            _ => self.status.oldest_commit_time,
        };
        Some(oldest.map_or(0.0, |committed| now.since(committed).as_secs_f64()))
    }

    /// The report as JSON, LSNs as PostgreSQL prints them.
    pub(crate) fn to_json(&self, now: Timestamp) -> serde_json::Value {
        let status = &self.status;
        let slot = self.gauges.slot.as_ref();
        let seconds = |duration: Option<Duration>| duration.map(|duration| duration.as_secs());
        serde_json::json!({
            "relay": self.relay,
            "phase": status.phase.as_str(),
            "started": self.started,
            "standby_reason": self.standby_reason,
            "held": self.held.as_ref().map(held_json),
            "system_id": status.cluster.map(|(system_id, _)| system_id.to_string()),
            "timeline": status.cluster.map(|(_, timeline)| timeline.0),
            "frontier": status.frontier.map(|frontier| frontier.to_string()),
            "confirmed": status.confirmed.map(|lsn| lsn.to_string()),
            "sequence": status.sequence,
            "wal_end": self.gauges.wal_end.max(status.seen).map(|lsn| lsn.to_string()),
            "lag_bytes": self.lag_bytes(),
            "lag_seconds": self.lag_seconds(now),
            "buffer_bytes": status.buffer_bytes,
            "in_flight": status.in_flight,
            "blocked_keys": status.blocked_keys,
            "destinations_gone": status.destinations_gone,
            "unclean_ends": status.unclean_ends,
            "careful_messages": status.careful_messages,
            "set_aside": self.gauges.waiting,
            "source": self.source,
            "sink": self.sink,
            "slot_wal_status": slot.map(|slot| &slot.wal_status),
            "slot_safe_wal_bytes": slot.and_then(|slot| slot.safe_wal_bytes),
            "slot_invalidation_reason": slot.and_then(|slot| slot.invalidation_reason.as_ref()),
            "slot_inactive_seconds": seconds(slot.and_then(|slot| slot.inactive)),
            "slot_inactive_max_seconds": seconds(slot.and_then(|slot| slot.inactive_max)),
            "partitions_ahead": self.gauges.partitions_ahead,
            "default_partition_rows": self.gauges.default_partition_rows,
        })
    }
}

fn held_json(held: &HaltedMessage) -> serde_json::Value {
    serde_json::json!({
        "reason": held.reason.as_str(),
        "error": held.error,
        "message_id": held.id.to_string(),
        "position": held.position.to_string(),
        "destination": held.destination,
    })
}
