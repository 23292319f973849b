//! Which requests came, and which fault strikes which.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::proxy::kafka::fault::{Action, Fault, Injected, Stage, Until};
use crate::proxy::kafka::request::{Request, RequestKind};

/// So many requests are remembered; the oldest are forgotten first.
const SEEN_MAX: usize = 20_000;

/// A request that came from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Of which transactional id.
    pub transactional_id: String,
    /// Of which kind.
    pub kind: RequestKind,
    /// On which connection, counted from the proxy's start.
    pub connection: u64,
    /// When.
    pub at: Instant,
}

/// What a request has to expect.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// These are let go first.
    pub(super) let_go: Vec<(Injected, bool)>,
    /// What happens to the request itself.
    pub(super) strike: Option<(Action, Injected)>,
}

#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    faults: Vec<Watched>,
    seen: VecDeque<Seen>,
    transactions: HashMap<String, Transactions>,
}

/// A fault, how many requests it has counted, and what of its id had begun when it struck.
#[derive(Debug)]
struct Watched {
    fault: Fault,
    injected: Injected,
    counted: usize,
    begun_before: u64,
}

/// What the broker was told of an id's transactions.
#[derive(Debug, Default, Clone, Copy)]
struct Transactions {
    begun: u64,
    is_open: bool,
}

impl Ledger {
    pub(super) fn inject(&self, fault: Fault) -> Injected {
        let injected = Injected::armed();
        self.entries().faults.push(Watched {
            fault,
            injected: injected.clone(),
            counted: 0,
            begun_before: 0,
        });
        injected
    }

    pub(super) fn seen(&self, transactional_id: &str) -> Vec<Seen> {
        let entries = self.entries();
        let of_id = |seen: &&Seen| seen.transactional_id == transactional_id;
        entries.seen.iter().filter(of_id).cloned().collect()
    }

    /// A request that was kept for a while is on its way to the broker after all.
    pub(super) fn passed(&self, request: &Request) {
        let mut entries = self.entries();
        let id = request.transactional_id.clone();
        entries
            .transactions
            .entry(id)
            .or_default()
            .note(request.kind);
    }

    /// Notes a request, and says what happens to it.
    pub(super) fn judge(&self, connection: u64, request: &Request) -> Verdict {
        let mut entries = self.entries();
        let entries = &mut *entries;
        if entries.seen.len() == SEEN_MAX {
            entries.seen.pop_front();
        }
        entries.seen.push_back(Seen {
            transactional_id: request.transactional_id.clone(),
            kind: request.kind,
            connection,
            at: Instant::now(),
        });
        let id = request.transactional_id.clone();
        let transactions = entries.transactions.entry(id).or_default();
        let mut verdict = Verdict::default();
        entries.faults.retain(Watched::is_alive);
        for watched in &mut entries.faults {
            if watched.fault.transactional_id == request.transactional_id {
                watched.judge(request, *transactions, &mut verdict);
            }
        }
        let withheld = verdict.strike.as_ref().is_some_and(|(action, _)| {
            matches!(
                action,
                Action::Hold(_) | Action::Delay(_) | Action::CutBefore
            )
        });
        if !withheld {
            transactions.note(request.kind);
        }
        verdict
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    fn is_alive(&self) -> bool {
        let stage = self.injected.progress().stage;
        !matches!(stage, Stage::Disarmed | Stage::Settled)
    }

    fn judge(&mut self, request: &Request, transactions: Transactions, verdict: &mut Verdict) {
        let awaited = match (self.injected.progress().stage, self.fault.action) {
            (Stage::Armed, _) => (self.fault.kind, self.fault.occurrence),
            (Stage::Struck, Action::Hold(until) | Action::HoldAnswer(until)) => match until {
                Until::Released => return,
                Until::Before(kind, occurrence) => (kind, occurrence),
            },
            _ => return,
        };
        let is_armed = self.injected.progress().stage == Stage::Armed;
        if request.kind != awaited.0 || (is_armed && verdict.strike.is_some()) {
            return;
        }
        self.counted += 1;
        if self.counted < awaited.1 {
            return;
        }
        if is_armed {
            self.counted = 0;
            self.begun_before = transactions.begun;
            self.injected.strike();
            verdict.strike = Some((self.fault.action, self.injected.clone()));
        } else {
            let is_later = transactions.is_open && transactions.begun > self.begun_before;
            verdict.let_go.push((self.injected.clone(), is_later));
        }
    }
}

impl Transactions {
    fn note(&mut self, kind: RequestKind) {
        match kind {
            RequestKind::AddPartitions | RequestKind::AddOffsets => {
                if !self.is_open {
                    self.is_open = true;
                    self.begun += 1;
                }
            }
            RequestKind::Commit | RequestKind::Abort | RequestKind::InitProducerId => {
                self.is_open = false;
            }
            RequestKind::Produce | RequestKind::OffsetCommit => {}
        }
    }
}
