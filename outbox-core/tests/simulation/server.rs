use std::time::Duration;

use outbox_core::relay::{FailureKind, Holder, Inspection, RelayRow, SlotState, SourceFailure};
use outbox_core::{Lsn, Timestamp};

use super::log::{GENESIS, Logs};
use super::starts::Starts;

/// A PostgreSQL server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) log: usize,
    pub(crate) state: State,
    pub(crate) slot: Slot,
    pub(crate) held: Option<(u8, String)>,
    pub(crate) epoch: u64,
    pub(crate) starts: Starts,
    pub(crate) walsenders: Vec<Walsender>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Up,
    /// Waits until all walsenders have sent everything and had it confirmed.
    Stopping,
    Down,
}

#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) dropped: bool,
    pub(crate) confirmed: u64,
    /// What a crash leaves of it.
    pub(crate) saved: u64,
    /// What it was, for a standby whose copy lags.
    pub(crate) earlier: Vec<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Walsender {
    pub(crate) pid: i32,
    pub(crate) client: usize,
    pub(crate) started: Duration,
    pub(crate) reply: Duration,
    pub(crate) streaming: bool,
    /// The next transaction to send, and how many of its events are sent.
    pub(crate) next: usize,
    pub(crate) within: usize,
    pub(crate) sent: u64,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self {
            log: 0,
            state: State::Up,
            slot: Slot {
                dropped: false,
                confirmed: GENESIS,
                saved: GENESIS,
                earlier: vec![GENESIS],
            },
            held: None,
            epoch: 0,
            starts: Starts::default(),
            walsenders: Vec::new(),
        }
    }

    pub(crate) fn holder(&self) -> Option<&Walsender> {
        self.walsenders.iter().find(|sender| sender.streaming)
    }

    pub(crate) fn walsender(&mut self, pid: i32) -> Option<&mut Walsender> {
        self.walsenders.iter_mut().find(|sender| sender.pid == pid)
    }

    /// Raises the epoch for whoever has the slot.
    pub(crate) fn claim_epoch(&mut self, pid: i32) -> Result<u64, SourceFailure> {
        if self.holder().map(|sender| sender.pid) != Some(pid) {
            return Err(failure(FailureKind::ClaimSuperseded));
        }
        self.epoch += 1;
        Ok(self.epoch)
    }

    pub(crate) fn confirm(&mut self, lsn: u64) {
        if lsn > self.slot.confirmed {
            self.slot.confirmed = lsn;
            self.slot.earlier.push(lsn);
        }
    }

    pub(crate) fn inspection(&self, logs: &Logs) -> Inspection {
        Inspection {
            in_recovery: false,
            wal_end: Lsn::new(logs.get(self.log).end),
            slot: (!self.slot.dropped).then(|| SlotState {
                confirmed_flush: Lsn::new(self.slot.confirmed),
                fault: None,
                holder: self.holder().map(|sender| Holder {
                    pid: sender.pid,
                    backend_start: Some(timestamp(sender.started)),
                    reply_time: Some(timestamp(sender.reply)),
                }),
            }),
            relay: Some(RelayRow {
                genesis_written: true,
                held: self.held.clone(),
                publication_accepted: None,
            }),
            publication_fingerprint: Some("p".into()),
            publication_fault: None,
        }
    }

    /// Why nothing can be asked now.
    pub(crate) fn refusal(&self, cut: bool) -> Option<SourceFailure> {
        match self.state {
            _ if cut => Some(failure(FailureKind::Unreachable)),
            State::Up => None,
            State::Stopping => Some(failure(FailureKind::ServerShutdown)),
            State::Down => Some(failure(FailureKind::Unreachable)),
        }
    }
}

pub(crate) fn failure(kind: FailureKind) -> SourceFailure {
    SourceFailure {
        kind,
        message: String::new(),
    }
}

/// When every transaction committed, by the server's clock.
pub(crate) const COMMIT_TIME: Timestamp = Timestamp::from_unix_us(1_000_000);

pub(crate) fn timestamp(at: Duration) -> Timestamp {
    Timestamp::from_unix_us(i64::try_from(at.as_micros()).unwrap_or(i64::MAX))
}
