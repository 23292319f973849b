use std::time::Duration;

use super::settings::{LINGER_MAX, LINGER_MIN, LINGER_SHARE};

/// How long a free sink is kept waiting for a fuller batch.
///
/// A batch costs the same whatever it holds. While the server sends what committed some time ago,
/// more is sure to come, and a small share of the time that a message is late by adds little to it:
/// fewer, fuller batches leave the processors to the server. A message that comes as it commits
/// waits for nothing, and nothing waits once the server has sent all that it has.
#[derive(Debug, Default)]
pub(super) struct Linger {
    /// Until when the oldest of the waiting transactions may wait.
    until: Option<Duration>,
}

impl Linger {
    /// A transaction has arrived whose sending began so long after its commit.
    pub(super) fn arrived(&mut self, late_by: Duration, now: Duration) {
        let patience = (late_by / LINGER_SHARE).min(LINGER_MAX);
        if patience >= LINGER_MIN && self.until.is_none() {
            self.until = Some(now + patience);
        }
    }

    /// The server has sent everything, or what has arrived is on its way: nothing waits any more.
    pub(super) fn end(&mut self) {
        self.until = None;
    }

    /// Until when a batch that is not full should wait.
    pub(super) fn until(&self, now: Duration) -> Option<Duration> {
        self.until.filter(|until| now < *until)
    }
}
