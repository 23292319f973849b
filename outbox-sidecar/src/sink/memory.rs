//! A broker inside this process: for tests of whatever stands before a sink.
//!
//! [`MemoryBroker`] is the log that tests look into and script; [`MemorySink`] is one relay's
//! access to it, with the same fencing and the same answers as a real one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outbox_core::MessageId;
use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::{AcquireError, Batch, Delivery, Outcome, Refusal, RefusalReason, Sink};

/// What the next call meets instead of success, in the order scripted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `publish` answers [`Outcome::Retry`].
    Retry,
    /// `publish` answers [`Outcome::Abort`].
    Abort,
    /// `publish` makes the batch durable and answers [`Outcome::Indefinite`].
    IndefiniteDurable,
    /// `publish` makes nothing durable and answers [`Outcome::Indefinite`].
    IndefiniteLost,
    /// `publish` answers [`Outcome::Fatal`].
    Fatal,
    /// Another holder takes over before the call, which then answers [`Outcome::Fenced`].
    TakenOver,
}

/// A broker's log in memory, shared by the sinks made from it and by the test that looks on.
///
/// ```
/// use outbox_core::sink::{AcquireError, Sink};
/// use outbox_sidecar::sink::memory::MemoryBroker;
///
/// let broker = MemoryBroker::default();
/// let mut sink = broker.sink();
/// assert_eq!(sink.acquire(1), Ok(None));
/// broker.set_unavailable(true);
/// assert!(matches!(sink.peek(), Err(AcquireError::Unavailable(_))));
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryBroker(Arc<Mutex<Log>>);

#[derive(Debug, Default)]
struct Log {
    messages: Vec<Delivery>,
    checkpoint: Option<Checkpoint>,
    epoch: u64,
    faults: VecDeque<Fault>,
    refused: Vec<(MessageId, RefusalReason)>,
    unavailable: bool,
}

impl MemoryBroker {
    /// A sink that publishes into this log.
    #[must_use]
    pub fn sink(&self) -> MemorySink {
        MemorySink {
            broker: self.clone(),
            epoch: None,
        }
    }

    /// Every message that is durable, in the order published.
    #[must_use]
    pub fn messages(&self) -> Vec<Delivery> {
        self.log().messages.clone()
    }

    /// How many messages are durable.
    #[must_use]
    pub fn message_count(&self) -> usize {
        self.log().messages.len()
    }

    /// The newest checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        self.log().checkpoint.clone()
    }

    /// Sets or deletes the checkpoint, as `init`, `remove` or an accident would.
    pub fn set_checkpoint(&self, checkpoint: Option<Checkpoint>) {
        self.log().checkpoint = checkpoint;
    }

    /// Adds a fault for one later `publish`.
    pub fn script(&self, fault: Fault) {
        self.log().faults.push_back(fault);
    }

    /// Whether every scripted fault was met.
    #[must_use]
    pub fn script_is_done(&self) -> bool {
        self.log().faults.is_empty()
    }

    /// From now on refuses this message for itself.
    pub fn refuse(&self, message: MessageId, reason: RefusalReason) {
        self.log().refused.push((message, reason));
    }

    /// Refuses no message any more that it was told of so far.
    pub fn refuse_no_more(&self) {
        self.log().refused.clear();
    }

    /// While true, no call gets through.
    pub fn set_unavailable(&self, unavailable: bool) {
        self.log().unavailable = unavailable;
    }

    /// Takes the right to publish from whoever holds it, as another relay would.
    pub fn take_over(&self) {
        self.log().epoch += 1;
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // A test that panicked while it held the lock left the log whole: nothing here unwinds
        // between two writes.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One relay's access to a [`MemoryBroker`].
#[derive(Debug)]
pub struct MemorySink {
    broker: MemoryBroker,
    epoch: Option<u64>,
}

impl Log {
    fn reachable(&self) -> Result<(), AcquireError> {
        if self.unavailable {
            return Err(AcquireError::Unavailable("scripted".to_owned()));
        }
        Ok(())
    }

    fn append(&mut self, batch: &Batch) {
        self.messages.extend_from_slice(&batch.messages);
        self.checkpoint = Some(batch.checkpoint.clone());
    }

    fn refusals(&self, batch: &Batch) -> Vec<Refusal> {
        let refusal = |(batch_index, delivery): (usize, &Delivery)| {
            let (_, reason) = *self.refused.iter().find(|(id, _)| *id == delivery.row.id)?;
            Some(Refusal {
                batch_index,
                reason,
                error: "scripted".to_owned(),
            })
        };
        batch
            .messages
            .iter()
            .enumerate()
            .filter_map(refusal)
            .collect()
    }
}

impl Sink for MemorySink {
    fn peek(&mut self) -> Result<Option<Checkpoint>, AcquireError> {
        let log = self.broker.log();
        log.reachable()?;
        Ok(log.checkpoint.clone())
    }

    fn acquire(&mut self, _epoch: u64) -> Result<Option<Checkpoint>, AcquireError> {
        let mut log = self.broker.log();
        log.reachable()?;
        log.epoch += 1;
        self.epoch = Some(log.epoch);
        Ok(log.checkpoint.clone())
    }

    fn publish(&mut self, batch: &Batch) -> Outcome {
        let reason = || "scripted".to_owned();
        let mut log = self.broker.log();
        let outcome = if self.epoch.is_none() {
            Outcome::Indefinite {
                reason: "the right to publish was not acquired".to_owned(),
            }
        } else if log.unavailable {
            Outcome::Retry { reason: reason() }
        } else {
            match log.faults.pop_front() {
                Some(Fault::TakenOver) => {
                    log.epoch += 1;
                    Outcome::Fenced { reason: reason() }
                }
                fault if self.epoch != Some(log.epoch) => {
                    // The fault was meant for a holder.
                    if let Some(fault) = fault {
                        log.faults.push_front(fault);
                    }
                    Outcome::Fenced { reason: reason() }
                }
                Some(Fault::Retry) => Outcome::Retry { reason: reason() },
                Some(Fault::Abort) => Outcome::Abort { reason: reason() },
                Some(Fault::Fatal) => Outcome::Fatal { reason: reason() },
                Some(Fault::IndefiniteLost) => Outcome::Indefinite { reason: reason() },
                Some(Fault::IndefiniteDurable) => {
                    log.append(batch);
                    Outcome::Indefinite { reason: reason() }
                }
                None => {
                    let refusals = log.refusals(batch);
                    if refusals.is_empty() {
                        log.append(batch);
                        Outcome::Durable
                    } else {
                        Outcome::Poison(refusals)
                    }
                }
            }
        };
        if matches!(
            outcome,
            Outcome::Indefinite { .. } | Outcome::Fenced { .. } | Outcome::Fatal { .. }
        ) {
            self.epoch = None;
        }
        outcome
    }

    fn release(&mut self) {
        self.epoch = None;
    }
}

#[cfg(test)]
mod tests;
