//! Gauges of the replication slot, of a standby as well: what they warn of happens while nobody reads it.

use std::time::Duration;

use metrics::{Unit, describe_gauge, gauge};

use super::names;
use crate::source::slot::Slot;

/// The server's words for how safe a slot's log is.
const WAL_STATUS: [&str; 4] = ["reserved", "extended", "unreserved", "lost"];

/// The server's words for why a slot is of no use any more.
/// <https://www.postgresql.org/docs/current/view-pg-replication-slots.html>
const INVALIDATION_REASONS: [&str; 4] = [
    "wal_removed",
    "rows_removed",
    "wal_level_insufficient",
    "idle_timeout",
];

pub(super) fn describe() {
    describe_gauge!(
        names::SLOT_WAL_STATUS,
        Unit::Count,
        "1 at what the server says of the slot"
    );
    describe_gauge!(
        names::SLOT_SAFE_WAL_BYTES,
        Unit::Bytes,
        "log until the slot is in danger"
    );
    describe_gauge!(
        names::SLOT_INVALIDATED,
        Unit::Count,
        "1 at why the server has given the slot up"
    );
    describe_gauge!(
        names::SLOT_INACTIVE,
        Unit::Seconds,
        "since when nobody has read the slot; 0 while somebody does"
    );
    describe_gauge!(
        names::SLOT_INACTIVE_MAX,
        Unit::Seconds,
        "how long nobody may read it until the server gives it up; 0 without limit"
    );
}

/// Sets them; a slot that is not there any more must not look as it did last.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a double")]
pub(super) fn set(slot: Option<&Slot>) {
    for status in WAL_STATUS {
        let is = slot.is_some_and(|slot| slot.wal_status == status);
        gauge!(names::SLOT_WAL_STATUS, names::LABEL_STATUS => status).set(f64::from(u8::from(is)));
    }
    for reason in INVALIDATION_REASONS {
        let is = slot.is_some_and(|slot| slot.invalidation_reason.as_deref() == Some(reason));
        gauge!(names::SLOT_INVALIDATED, names::LABEL_REASON => reason).set(f64::from(u8::from(is)));
    }
    let safe = slot.and_then(|slot| slot.safe_wal_bytes);
    gauge!(names::SLOT_SAFE_WAL_BYTES).set(safe.map_or(f64::NAN, |bytes| bytes as f64));
    let seconds = |duration: Option<Duration>| duration.map_or(f64::NAN, |d| d.as_secs_f64());
    gauge!(names::SLOT_INACTIVE).set(seconds(slot.and_then(|slot| slot.inactive)));
    gauge!(names::SLOT_INACTIVE_MAX).set(seconds(slot.and_then(|slot| slot.inactive_max)));
}

#[cfg(test)]
mod tests {
    use outbox_core::Lsn;
    use outbox_core::relay::SlotState;

    use super::*;
    use crate::telemetry::exporter::recorder;

    #[test]
    fn a_slot_that_was_given_up_shows_why_and_one_that_is_gone_shows_nothing() {
        let lost = Slot {
            state: SlotState {
                confirmed_flush: Lsn::ZERO,
                fault: Some("invalidated: idle_timeout".to_owned()),
                holder: None,
            },
            is_foreign: false,
            wal_status: "lost".to_owned(),
            safe_wal_bytes: None,
            invalidation_reason: Some("idle_timeout".to_owned()),
            inactive: Some(Duration::from_secs(7)),
            inactive_max: Some(Duration::ZERO),
        };
        let page = |slot: Option<&Slot>| {
            let recorder = recorder();
            metrics::with_local_recorder(&recorder, || set(slot));
            recorder.handle().render()
        };
        for (page, line) in [
            (
                page(Some(&lost)),
                "outbox_slot_invalidated{reason=\"idle_timeout\"} 1",
            ),
            (
                page(Some(&lost)),
                "outbox_slot_invalidated{reason=\"wal_removed\"} 0",
            ),
            (
                page(Some(&lost)),
                "outbox_slot_wal_status{status=\"lost\"} 1",
            ),
            (page(Some(&lost)), "outbox_slot_safe_wal_bytes NaN"),
            (page(Some(&lost)), "outbox_slot_inactive_seconds 7"),
            (page(Some(&lost)), "outbox_slot_inactive_max_seconds 0"),
            (
                page(None),
                "outbox_slot_invalidated{reason=\"idle_timeout\"} 0",
            ),
            (page(None), "outbox_slot_wal_status{status=\"lost\"} 0"),
            (page(None), "outbox_slot_inactive_seconds NaN"),
        ] {
            assert!(
                page.lines().any(|written| written == line),
                "{line}: {page}"
            );
        }
    }
}
