//! Which faults a relay meets, and in what order: all from a seed.

use std::time::Duration;

use fastrand::Rng;
use testbed::proxy::kafka::{Action, RequestKind, Until};

/// So many faults a schedule has at most.
const FAULTS_MAX: usize = 4;
/// The relay gives a request up after this long.
pub(super) const SOCKET_TIMEOUT_MS: u64 = 500;

/// One relay's faults. Each lies in wait once the one before has struck, so that what one holds may
/// be let go among those that follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    pub(super) seed: u64,
    pub(super) faults: Vec<Planned>,
}

/// A fault, and the how many-th request from then on it strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) kind: RequestKind,
    pub(super) occurrence: usize,
    pub(super) action: Action,
}

impl Planned {
    /// Whether a request to commit or to roll back waits, and comes late.
    pub(super) fn holds_an_end(&self) -> bool {
        let is_end = matches!(self.kind, RequestKind::Commit | RequestKind::Abort);
        is_end && matches!(self.action, Action::Hold(_))
    }
}

impl Schedule {
    pub(super) fn of(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let mut faults = Vec::new();
        // Half of them begin with the fault that tears a plain client's next transaction.
        if random.bool() {
            faults.push(Planned {
                kind: end(&mut random),
                occurrence: random.usize(1..=3),
                action: Action::Hold(until(&mut random)),
            });
        }
        for _ in 0..random.usize(1..=FAULTS_MAX - 1) {
            faults.push(planned(&mut random));
        }
        Self { seed, faults }
    }

    /// Whether it needs messages that the broker refuses.
    pub(super) fn rolls_back(&self) -> bool {
        let mut faults = self.faults.iter();
        faults.any(|planned| planned.kind == RequestKind::Abort)
    }
}

/// The end of a transaction: more commits than aborts, as a relay has.
fn end(random: &mut Rng) -> RequestKind {
    match random.u8(0..3) {
        0 => RequestKind::Abort,
        _ => RequestKind::Commit,
    }
}

fn planned(random: &mut Rng) -> Planned {
    let kind = match random.u8(0..10) {
        0..5 => end(random),
        5..7 => RequestKind::Produce,
        7..9 => RequestKind::AddPartitions,
        _ => RequestKind::InitProducerId,
    };
    let occurrence = match kind {
        // Each needs a refused message, or a new producer.
        RequestKind::Abort | RequestKind::InitProducerId => 1,
        _ => random.usize(1..=6),
    };
    Planned {
        kind,
        occurrence,
        action: action(random),
    }
}

fn action(random: &mut Rng) -> Action {
    // From what passes unnoticed to what is given up.
    let time = Duration::from_millis(random.u64(1..3 * SOCKET_TIMEOUT_MS));
    match random.u8(0..10) {
        0..3 => Action::Hold(until(random)),
        3 => Action::HoldAnswer(until(random)),
        4 => Action::Delay(time),
        5 => Action::DelayAnswer(time),
        6 => Action::CutBefore,
        7..9 => Action::CutAfter,
        _ => Action::DropAnswer,
    }
}

/// A moment among the requests that follow. The first transaction after an end whose outcome is
/// doubted is the barrier's: one request of each kind.
fn until(random: &mut Rng) -> Until {
    match random.u8(0..5) {
        0 => Until::Before(RequestKind::AddPartitions, random.usize(1..=5)),
        1 => Until::Before(RequestKind::Commit, random.usize(1..=4)),
        _ => Until::Before(RequestKind::Produce, random.usize(1..=12)),
    }
}
