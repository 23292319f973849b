use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::{BufMut, BytesMut};
use outbox_core::{Lsn, Timestamp};
use tokio::sync::Notify;

/// What the relay wants the server to know, shared with the thread that tells it.
#[derive(Debug, Default)]
pub(crate) struct Confirmed {
    lsn: AtomicU64,
    ask_for_keepalive: AtomicBool,
    closing: AtomicBool,
    changed: Notify,
}

impl Confirmed {
    /// Everything before `lsn` is durable; the next status says so, at once.
    pub(crate) fn confirm(&self, lsn: Lsn) {
        self.lsn.fetch_max(lsn.as_u64(), Ordering::Release);
        self.changed.notify_one();
    }

    /// Whether each status asks the server to answer with its position.
    pub(crate) fn ask_for_keepalive(&self, ask: bool) {
        self.ask_for_keepalive.store(ask, Ordering::Release);
    }

    /// Ends the copy after one last status.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lsn(&self) -> u64 {
        self.lsn.load(Ordering::Acquire)
    }
}

/// Never more often than this, however often the server asks: a server that shuts down asks again
/// as soon as it is answered.
const ANSWER_INTERVAL_MIN: Duration = Duration::from_millis(10);

/// Never less often than this, whatever the sink does.
const STATUS_INTERVAL_MAX: Duration = Duration::from_secs(1);

/// When a status is due, on the clock of the reading thread.
#[derive(Debug)]
pub(super) struct StatusClock {
    interval: Duration,
    last: Duration,
    due: Duration,
}

impl StatusClock {
    /// At least every second and every third of the server's time-out.
    pub(super) fn new(wal_sender_timeout: Duration) -> Self {
        Self {
            interval: STATUS_INTERVAL_MAX.min(wal_sender_timeout / 3),
            last: Duration::ZERO,
            due: Duration::ZERO,
        }
    }

    /// The server asked, or there is news.
    pub(super) fn hasten(&mut self) {
        self.due = self.due.min(self.last + ANSWER_INTERVAL_MIN);
    }

    /// There is news that should not wait.
    pub(super) fn now(&mut self) {
        self.due = Duration::ZERO;
    }

    pub(super) const fn due(&self) -> Duration {
        self.due
    }

    pub(super) fn sent(&mut self, now: Duration) {
        self.last = now;
        self.due = now + self.interval;
    }
}

/// Writes a standby status update as CopyData. All three positions are the confirmed one: a
/// relay must never look like a standby that has received more than it has made durable.
/// <https://www.postgresql.org/docs/current/protocol-replication.html>
///
/// `wants_answer` asks the server for a keepalive even when the relay does not.
pub(super) fn write_status(confirmed: &Confirmed, wants_answer: bool, output: &mut BytesMut) {
    const CONTENT_BYTES: u32 = 1 + 8 + 8 + 8 + 8 + 1;
    let lsn = confirmed.lsn();
    output.put_u8(b'd');
    output.put_u32(4 + CONTENT_BYTES);
    output.put_u8(b'r');
    output.put_u64(lsn);
    output.put_u64(lsn);
    output.put_u64(lsn);
    output.put_i64(Timestamp::from(SystemTime::now()).as_postgresql_us());
    let asks = wants_answer || confirmed.ask_for_keepalive.load(Ordering::Acquire);
    output.put_u8(u8::from(asks));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_due_by_interval_and_soon_when_asked() {
        let mut clock = StatusClock::new(Duration::from_secs(4));
        assert_eq!(clock.due(), Duration::ZERO);
        clock.sent(Duration::from_secs(10));
        assert_eq!(clock.due(), Duration::from_secs(11));
        clock.hasten();
        assert_eq!(clock.due(), Duration::from_secs(10) + ANSWER_INTERVAL_MIN);
        assert_eq!(
            StatusClock::new(Duration::from_millis(600))
                .interval
                .as_millis(),
            200
        );
    }

    #[test]
    fn confirming_never_goes_back() {
        let confirmed = Confirmed::default();
        confirmed.confirm(Lsn::new(9));
        confirmed.confirm(Lsn::new(5));
        let mut output = BytesMut::new();
        write_status(&confirmed, false, &mut output);
        assert_eq!(output.len(), 39);
        assert_eq!(output[5], b'r');
        assert_eq!(output[6..14], 9_u64.to_be_bytes());
        assert_eq!(output[38], 0);
    }
}
