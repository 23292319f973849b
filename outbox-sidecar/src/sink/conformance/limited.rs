//! The broker in memory, as the suite needs it.

use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::{AcquireError, Batch, Outcome, Refusal, RefusalReason, Sink};

use super::seen::{MESSAGE_BYTES_MAX, Seen};
use crate::sink::memory::{MemoryBroker, MemorySink};

/// The messages of a destination.
pub(super) fn seen_in(broker: &MemoryBroker, destination: &str) -> Vec<Seen> {
    let messages = broker.messages();
    let here = messages
        .iter()
        .filter(|delivery| delivery.row.destination == destination);
    here.map(|delivery| Seen {
        id: delivery.row.id.to_string(),
        key: delivery.row.key.as_ref().map(ToString::to_string),
        payload: delivery.row.payload.as_ref().map(|bytes| bytes.to_vec()),
        headers: serde_json::from_str(&delivery.row.headers).unwrap(),
    })
    .collect()
}

/// The broker in memory knows no limit of its own.
pub(super) struct LimitedSink(pub(super) MemorySink);

impl Sink for LimitedSink {
    fn peek(&mut self) -> Result<Option<Checkpoint>, AcquireError> {
        self.0.peek()
    }

    fn acquire(&mut self, epoch: u64) -> Result<Option<Checkpoint>, AcquireError> {
        self.0.acquire(epoch)
    }

    fn publish(&mut self, batch: &Batch) -> Outcome {
        let mut too_large = Vec::new();
        for (batch_index, delivery) in batch.messages.iter().enumerate() {
            if delivery.row.content_bytes() > MESSAGE_BYTES_MAX {
                too_large.push(Refusal {
                    batch_index,
                    reason: RefusalReason::TooLarge,
                    error: "too large".to_owned(),
                });
            }
        }
        if too_large.is_empty() {
            self.0.publish(batch)
        } else {
            Outcome::Poison(too_large)
        }
    }

    fn release(&mut self) {
        self.0.release();
    }
}
