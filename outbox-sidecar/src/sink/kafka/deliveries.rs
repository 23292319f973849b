use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;

/// The acknowledgements of one producer's records, counted by the thread that librdkafka's events
/// arrive on and awaited by the thread that sends.
///
/// An acknowledged record costs two atomic operations and no lock.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    /// Records whose fate is known, since the producer began.
    settled: AtomicU64,
    /// The count that a waiting thread wants to hear of; 0 while nobody waits.
    awaited: AtomicU64,
    any_failed: AtomicBool,
    failed: Mutex<Vec<FailedDelivery>>,
    changed: Condvar,
    /// Where the last record without a place in a batch went.
    control_offset: AtomicI64,
}

/// A record that the broker, or librdkafka on its way there, gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FailedDelivery {
    /// The message's place in its batch, or [`CONTROL`].
    pub(super) tag: usize,
    /// What the broker said.
    pub(super) code: RDKafkaErrorCode,
}

/// The tag of records that are no message of a batch: checkpoints and barriers.
pub(super) const CONTROL: usize = usize::MAX;

/// What became of the awaited records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// All are acknowledged.
    All,
    /// At least one was given up.
    Failed,
    /// Not yet.
    Waiting,
}

impl Deliveries {
    /// A record's fate is known.
    pub(super) fn settle(&self, tag: usize, result: Result<i64, RDKafkaErrorCode>) {
        match result {
            Ok(offset) if tag == CONTROL => self.control_offset.store(offset, Ordering::SeqCst),
            Ok(_) => {}
            Err(code) => {
                self.failures().push(FailedDelivery { tag, code });
                self.any_failed.store(true, Ordering::SeqCst);
            }
        }
        let settled = self.settled.fetch_add(1, Ordering::SeqCst) + 1;
        let awaited = self.awaited.load(Ordering::SeqCst);
        if awaited != 0 && (settled == awaited || result.is_err()) {
            // Taking the lock orders this after the waiter's look at the counters.
            drop(self.failures());
            self.changed.notify_all();
        }
    }

    /// How many records' fate is known, since the producer began.
    pub(super) fn settled(&self) -> u64 {
        self.settled.load(Ordering::SeqCst)
    }

    /// Waits until `sent` records are settled, at most until `deadline`.
    pub(super) fn wait(&self, sent: u64, deadline: Instant) -> Settled {
        let mut guard = self.failures();
        self.awaited.store(sent, Ordering::SeqCst);
        let settled = loop {
            if self.any_failed.load(Ordering::SeqCst) {
                break Settled::Failed;
            }
            if self.settled.load(Ordering::SeqCst) >= sent {
                break Settled::All;
            }
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining == Duration::ZERO {
                break Settled::Waiting;
            }
            (guard, _) = self
                .changed
                .wait_timeout(guard, remaining)
                .unwrap_or_else(PoisonError::into_inner);
        };
        self.awaited.store(0, Ordering::SeqCst);
        settled
    }

    /// The records given up since the last call.
    pub(super) fn take_failures(&self) -> Vec<FailedDelivery> {
        let mut failed = self.failures();
        self.any_failed.store(false, Ordering::SeqCst);
        std::mem::take(&mut *failed)
    }

    /// The offset of the last [`CONTROL`] record that was acknowledged.
    pub(super) fn control_offset(&self) -> i64 {
        self.control_offset.load(Ordering::SeqCst)
    }

    fn failures(&self) -> MutexGuard<'_, Vec<FailedDelivery>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    #[test]
    fn a_waiter_is_woken_by_the_last_record() {
        let deliveries = Arc::new(Deliveries::default());
        let settling = Arc::clone(&deliveries);
        let thread = std::thread::spawn(move || {
            for offset in 0..100_000 {
                settling.settle(0, Ok(offset));
            }
        });
        assert_eq!(deliveries.wait(100_000, soon()), Settled::All);
        thread.join().unwrap();
        assert_eq!(deliveries.wait(100_001, Instant::now()), Settled::Waiting);
    }

    #[test]
    fn a_failure_wakes_at_once_and_is_told_once() {
        let deliveries = Arc::new(Deliveries::default());
        let settling = Arc::clone(&deliveries);
        let thread = std::thread::spawn(move || {
            settling.settle(3, Err(RDKafkaErrorCode::MessageSizeTooLarge));
        });
        assert_eq!(deliveries.wait(100, soon()), Settled::Failed);
        thread.join().unwrap();
        let failure = FailedDelivery {
            tag: 3,
            code: RDKafkaErrorCode::MessageSizeTooLarge,
        };
        assert_eq!(deliveries.take_failures(), [failure]);
        assert_eq!(deliveries.wait(1, soon()), Settled::All);
    }

    #[test]
    fn the_offset_of_a_control_record_is_kept() {
        let deliveries = Deliveries::default();
        deliveries.settle(CONTROL, Ok(42));
        deliveries.settle(0, Ok(7));
        assert_eq!(deliveries.control_offset(), 42);
    }
}
