//! A batch's messages, handed to the producer one after the other.

use std::time::{Instant, SystemTime};

use outbox_core::Timestamp;
use outbox_core::sink::{Batch, Refusal, RefusalReason};

use super::deliveries::Settled;
use super::errors::Trouble;
use super::isolation::Isolation;
use super::producer::{Producer, SendError};
use super::record::RecordWriter;

/// Of a full queue's records so many must be settled before sending goes on.
const QUEUE_ROOM: u64 = 1000;

/// Why a step did not come to its end.
pub(super) enum Halt {
    /// The same call again goes on.
    Later(String),
    /// The transaction must be rolled back.
    Abort(String),
    /// Some deliveries failed.
    Failures,
    /// This message was not even taken.
    Refused(Refusal),
    Trouble(Trouble),
}

/// How far the batch in hand is handed over, and what outlives it.
#[derive(Default)]
pub(super) struct Sending {
    next: usize,
    writer: RecordWriter,
    pub(super) isolation: Isolation,
}

impl Sending {
    /// The next call to [`Sending::send`] begins with the first message.
    pub(super) fn restart(&mut self) {
        self.next = 0;
    }

    /// Hands over what of the batch was not handed over yet. Whatever ends a call early, the next
    /// one goes on with the message that was not taken.
    pub(super) fn send(
        &mut self,
        producer: &mut Producer,
        batch: &Batch,
        deadline: Instant,
    ) -> Result<(), Halt> {
        let now = Timestamp::from(SystemTime::now());
        let timeline = batch.checkpoint.timeline;
        for (index, delivery) in batch.messages.iter().enumerate().skip(self.next) {
            self.next = index;
            let travels_alone = self.isolation.is_alone(batch.checkpoint.sequence, index);
            if travels_alone {
                self.wait_at(index, producer, 0, deadline)?;
            }
            loop {
                let record = self.writer.record(delivery, timeline, now, index);
                match producer.send(record) {
                    Ok(()) => break,
                    Err(SendError::QueueFull) if producer.unsettled() == 0 => {
                        let refused = Refusal {
                            batch_index: index,
                            reason: RefusalReason::TooLarge,
                            error: "librdkafka's empty queue has no room for it: raise \
                                    queue.buffering.max.kbytes in kafka.properties"
                                .to_owned(),
                        };
                        return Err(Halt::Refused(refused));
                    }
                    Err(SendError::QueueFull) => {
                        let room = producer.unsettled().saturating_sub(QUEUE_ROOM);
                        self.wait_at(index, producer, room, deadline)?;
                    }
                    Err(SendError::TooLarge(text)) => {
                        let refused = Refusal {
                            batch_index: index,
                            reason: RefusalReason::TooLarge,
                            error: text,
                        };
                        return Err(Halt::Refused(refused));
                    }
                    Err(SendError::DestinationGone(text)) => return Err(Halt::Abort(text)),
                    Err(SendError::Trouble(trouble)) => return Err(Halt::Trouble(trouble)),
                }
            }
            if travels_alone {
                self.wait_at(index + 1, producer, 0, deadline)?;
            }
        }
        self.next = batch.messages.len();
        Ok(())
    }

    fn wait_at(
        &mut self,
        next: usize,
        producer: &Producer,
        unsettled_max: u64,
        deadline: Instant,
    ) -> Result<(), Halt> {
        self.next = next;
        settle(producer, unsettled_max, deadline, "messages")
    }
}

/// Waits until at most so many of the records have no answer, at most until `deadline`.
pub(super) fn settle(
    producer: &Producer,
    unsettled_max: u64,
    deadline: Instant,
    what: &str,
) -> Result<(), Halt> {
    match producer.wait(unsettled_max, deadline) {
        Ok(Settled::All) => Ok(()),
        Ok(Settled::Failed) => Err(Halt::Failures),
        Ok(Settled::Waiting) => Err(Halt::Later(match producer.last_error() {
            Some((_, error)) => format!("{what} are not acknowledged; last error: {error}"),
            None => format!("{what} are not acknowledged"),
        })),
        Err(trouble) => Err(Halt::Trouble(trouble)),
    }
}
