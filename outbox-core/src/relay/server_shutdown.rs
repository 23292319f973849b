use std::time::Duration;

use super::settings::{SHUTDOWN_PATIENCE, SHUTDOWN_REQUESTS};
use crate::Lsn;

/// Notices that the server waits for us so that it can stop.
///
/// A server that shuts down keeps its walsender until everything sent is confirmed, and asks
/// again as often as it is answered. With the broker away we cannot confirm: the copy must end,
/// or the server stays up for ever.
#[derive(Debug, Default)]
pub(super) struct ServerShutdown {
    asked: Option<Asked>,
}

#[derive(Debug)]
struct Asked {
    wal_end: Lsn,
    first: Duration,
    times: u32,
}

impl ServerShutdown {
    /// The server asked for an answer at `wal_end`; whether it is stopping.
    pub(super) fn is_stopping(&mut self, wal_end: Lsn, now: Duration) -> bool {
        match &mut self.asked {
            Some(asked) if asked.wal_end == wal_end => {
                asked.times = asked.times.saturating_add(1);
                asked.times >= SHUTDOWN_REQUESTS
                    && now.saturating_sub(asked.first) >= SHUTDOWN_PATIENCE
            }
            _ => {
                self.asked = Some(Asked {
                    wal_end,
                    first: now,
                    times: 1,
                });
                false
            }
        }
    }

    /// What was asked for is confirmed.
    pub(super) fn answered(&mut self) {
        self.asked = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_many_requests_at_one_place_over_time_mean_a_shutdown() {
        let at = Lsn::new(10);
        let mut shutdown = ServerShutdown::default();
        for _ in 0..100 {
            assert!(!shutdown.is_stopping(at, Duration::from_millis(900)));
        }
        assert!(shutdown.is_stopping(at, Duration::from_millis(1900)));
        assert!(!shutdown.is_stopping(Lsn::new(11), Duration::from_secs(9)));
        shutdown.answered();
        assert!(!shutdown.is_stopping(Lsn::new(11), Duration::from_secs(90)));
    }
}
