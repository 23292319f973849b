//! What is done to one request, and what has become of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::error::Error;
use crate::proxy::kafka::request::RequestKind;

/// One fault, which strikes one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Whose requests.
    pub transactional_id: String,
    /// Which of them.
    pub kind: RequestKind,
    /// The how many-th from now on: 1 is the next.
    pub occurrence: usize,
    /// What happens to it.
    pub action: Action,
}

/// What a fault does. A connection keeps its order, as TCP does: what comes behind a request or an
/// answer that waits, waits, too. The broker's side of a connection stays open, whatever the client
/// does, until everything that waits was delivered and answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The request waits.
    Hold(Until),
    /// The request waits for so long.
    Delay(Duration),
    /// The connection is reset, and the broker never sees the request.
    CutBefore,
    /// The connection is reset once the broker has answered.
    CutAfter,
    /// The answer waits.
    HoldAnswer(Until),
    /// The answer waits for so long.
    DelayAnswer(Duration),
    /// The answer is lost, and nothing else comes on this connection.
    DropAnswer,
}

/// For how long something waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Until [`Injected::release`].
    Released,
    /// Until the same transactional id sends the how many-th request of a kind, counted from the
    /// moment the fault strikes. The broker sees what waited first, and answers it.
    Before(RequestKind, usize),
}

/// What has become of a fault so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// No such request has come yet.
    Armed,
    /// It never will: it was released before its request came.
    Disarmed,
    /// Its request has come; what it holds waits.
    Struck,
    /// What it holds is on its way to the broker, or to the client.
    Released,
    /// The broker has answered, or the connection is gone.
    Settled,
}

/// What is known of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How far it is.
    pub stage: Stage,
    /// When its request came.
    pub struck: Option<Instant>,
    /// What was held was let go while a transaction was open that had begun after the strike.
    pub in_later_transaction: bool,
    /// What the broker answered, where the answer has one error code: 0 is success.
    pub error_code: Option<i16>,
}

/// A fault that a proxy was told.
#[derive(Debug, Clone)]
pub struct Injected {
    progress: Arc<watch::Sender<Progress>>,
}

impl Injected {
    pub(super) fn armed() -> Self {
        let (progress, _) = watch::channel(Progress {
            stage: Stage::Armed,
            struck: None,
            in_later_transaction: false,
            error_code: None,
        });
        Self {
            progress: Arc::new(progress),
        }
    }

    /// What is known by now.
    #[must_use]
    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Whether its request has come.
    #[must_use]
    pub fn has_struck(&self) -> bool {
        self.progress().struck.is_some()
    }

    /// Lets go what waits; a fault that has not struck yet never will.
    pub fn release(&self) {
        self.let_go(false);
    }

    /// Waits until the fault is at this stage, or past it.
    ///
    /// # Errors
    /// When it is not within `deadline`.
    pub async fn reached(&self, stage: Stage, deadline: Duration) -> Result<Progress, Error> {
        let mut seen = self.progress.subscribe();
        let past = |progress: &Progress| rank(progress.stage) >= rank(stage);
        match tokio::time::timeout(deadline, seen.wait_for(past)).await {
            Ok(Ok(progress)) => Ok(*progress),
            _ => Err(Error::new(format!(
                "a fault is not {stage:?} within {deadline:?}, but {:?}",
                self.progress().stage
            ))),
        }
    }

    pub(super) fn strike(&self) {
        self.advance(Stage::Struck, |progress| {
            progress.struck = Some(Instant::now());
        });
    }

    pub(super) fn let_go(&self, in_later_transaction: bool) {
        self.progress.send_if_modified(|progress| {
            progress.stage = match progress.stage {
                Stage::Armed => Stage::Disarmed,
                Stage::Struck => Stage::Released,
                _ => return false,
            };
            progress.in_later_transaction = in_later_transaction;
            true
        });
    }

    pub(super) fn settle(&self, error_code: Option<i16>) {
        self.advance(Stage::Settled, |progress| progress.error_code = error_code);
    }

    /// Waits until what this fault holds may go on.
    pub(super) async fn until_let_go(&self) {
        let mut seen = self.progress.subscribe();
        let released = |progress: &Progress| rank(progress.stage) >= rank(Stage::Released);
        // The sender is ours: it cannot be gone.
        let _ = seen.wait_for(released).await;
    }

    fn advance(&self, stage: Stage, change: impl FnOnce(&mut Progress)) {
        self.progress.send_if_modified(|progress| {
            let forward = rank(stage) > rank(progress.stage);
            if forward {
                progress.stage = stage;
                change(progress);
            }
            forward
        });
    }
}

const fn rank(stage: Stage) -> u8 {
    match stage {
        Stage::Armed => 0,
        Stage::Struck => 1,
        Stage::Released => 2,
        Stage::Settled => 3,
        Stage::Disarmed => 4,
    }
}
