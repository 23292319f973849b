//! What the world of a scenario is made of, with values that read well: short numbers for LSNs,
//! ids and rows.

use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use crate::checkpoint::{Checkpoint, LastHandled};
use crate::relay::{
    BackoffLimits, BatchLimits, FailureKind, GoneLimits, Holder, Inspection, Now, RelayRow,
    Settings, SlotState, SourceFailure, StreamEvent, StuckPolicy,
};
use crate::{
    Frontier, HistoryEntry, Lsn, MessageId, OutboxRow, SystemId, TimelineHistory, TimelineId,
    Timestamp,
};

pub(super) fn settings() -> Settings {
    Settings {
        name: "policy".into(),
        batch: BatchLimits {
            messages_max: 1000,
            bytes_max: 1 << 20,
            transaction_max: Duration::from_secs(5),
        },
        buffer_bytes_max: 1 << 20,
        stuck: StuckPolicy::Halt,
        gone: GoneLimits {
            after: 3,
            messages_max: 5,
        },
        attempt_max: Duration::from_secs(30),
        retry: BackoffLimits {
            delay_min: Duration::from_millis(50),
            delay_max: Duration::from_secs(30),
        },
        drain_max: Duration::from_secs(20),
    }
}

pub(super) fn moment(monotonic: Duration) -> Now {
    let wall = Timestamp::from_unix_us(monotonic.as_micros() as i64);
    Now { monotonic, wall }
}

pub(super) fn inspection() -> Inspection {
    Inspection {
        in_recovery: false,
        wal_end: Lsn::new(1 << 40),
        slot: Some(SlotState {
            confirmed_flush: Lsn::new(1000),
            fault: None,
            holder: None,
        }),
        relay: Some(RelayRow {
            genesis_written: true,
            held: None,
            publication_accepted: None,
        }),
        publication_fingerprint: Some("p".into()),
        publication_fault: None,
    }
}

pub(super) fn checkpoint() -> Checkpoint {
    Checkpoint {
        relay: "policy".into(),
        system_id: SystemId(1),
        timeline: TimelineId(1),
        timeline_history: TimelineHistory::default(),
        frontier: Frontier::at(Lsn::new(1000)),
        last: None,
        stuck_writes: 0,
        publication_fingerprint: "p".into(),
        sequence: 0,
        written_at: Timestamp::default(),
    }
}

pub(super) fn holder(pid: i32) -> Holder {
    Holder {
        pid,
        backend_start: Some(Timestamp::from_unix_us(1)),
        reply_time: Some(Timestamp::from_unix_us(2)),
    }
}

pub(super) fn last(number: u32, commit_lsn: u64, index: u32) -> LastHandled {
    LastHandled {
        commit_lsn: Lsn::new(commit_lsn),
        xid: commit_lsn as u32,
        commit_time: Timestamp::default(),
        index,
        message_id: id(number),
    }
}

pub(super) fn history(entries: &[(u32, u64)]) -> TimelineHistory {
    entries
        .iter()
        .map(|(timeline, switch_point)| HistoryEntry {
            timeline: TimelineId(*timeline),
            switch_point: Lsn::new(*switch_point),
        })
        .collect()
}

pub(super) fn failure(kind: FailureKind) -> SourceFailure {
    SourceFailure {
        kind,
        message: "m".into(),
    }
}

pub(super) fn id(number: u32) -> MessageId {
    MessageId::from_bytes(u128::from(number).to_be_bytes())
}

/// A transaction's id is, for short, where it commits.
pub(super) fn begin(commit_lsn: u64) -> StreamEvent {
    late(commit_lsn, 0)
}

/// A transaction that committed so many milliseconds before the server sent it.
pub(super) fn late(commit_lsn: u64, late_by_ms: i64) -> StreamEvent {
    StreamEvent::Begin {
        commit_lsn: Lsn::new(commit_lsn),
        commit_time: Timestamp::default(),
        sent_at: Timestamp::from_unix_us(late_by_ms * 1000),
        xid: commit_lsn as u32,
    }
}

pub(super) fn row(number: u32) -> StreamEvent {
    sized(number, 0)
}

/// What a row without content holds in memory.
pub(super) fn row_bytes() -> usize {
    match row(0) {
        StreamEvent::Row(row) => row.memory_bytes(),
        _ => unreachable!("a row is a row"),
    }
}

/// A row with so many bytes of payload.
pub(super) fn sized(number: u32, bytes: usize) -> StreamEvent {
    StreamEvent::Row(OutboxRow {
        id: id(number),
        destination: ByteString::new(),
        key: None,
        message_type: ByteString::new(),
        content_type: ByteString::new(),
        payload: Some(Bytes::from(vec![0; bytes])),
        headers: ByteString::new(),
        created_at: Timestamp::default(),
    })
}

/// A transaction's commit record is 40 bytes long.
pub(super) fn commit(commit_lsn: u64) -> StreamEvent {
    StreamEvent::Commit {
        commit_lsn: Lsn::new(commit_lsn),
        end_lsn: Lsn::new(commit_lsn + 40),
    }
}

pub(super) fn keepalive(wal_end: u64) -> StreamEvent {
    StreamEvent::Keepalive {
        wal_end: Lsn::new(wal_end),
        reply_requested: false,
    }
}

pub(super) fn request(wal_end: u64) -> StreamEvent {
    StreamEvent::Keepalive {
        wal_end: Lsn::new(wal_end),
        reply_requested: true,
    }
}

pub(super) fn at(lsn: u64) -> Frontier {
    Frontier::at(Lsn::new(lsn))
}

pub(super) fn inside(commit_lsn: u64, count: u32) -> Frontier {
    Frontier::inside(Lsn::new(commit_lsn), count)
}
