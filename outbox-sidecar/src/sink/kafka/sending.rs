//! A batch's messages, handed to the producer one after the other.

use std::collections::HashMap;
use std::time::{Instant, SystemTime};

use bytestring::ByteString;
use outbox_core::Timestamp;
use outbox_core::sink::{Batch, Delivery, Refusal, RefusalReason};

use super::deliveries::Settled;
use super::errors::Trouble;
use super::isolation::{Isolation, Pace, paced_bytes};
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
    /// Some deliveries failed, or messages were not even taken.
    Failures,
    Trouble(Trouble),
}

/// How far messages are handed over.
#[derive(Default)]
pub(super) struct Sending {
    next: usize,
    writer: RecordWriter,
    /// How many bytes may be on the way of destinations that take only so many at once.
    travelling: HashMap<ByteString, usize>,
    /// What was handed over last travels alone.
    is_alone: bool,
    not_taken: Vec<Refusal>,
    stops_at_refusal: bool,
}

impl Sending {
    /// Nothing is handed over after a message that is not taken: for producers whose messages are
    /// visible at once, where nothing may overtake it.
    pub(super) fn stopping_at_refusal() -> Self {
        Self {
            stops_at_refusal: true,
            ..Self::default()
        }
    }

    /// The next call to [`Sending::send`] begins with the first message.
    pub(super) fn restart(&mut self) {
        self.next = 0;
        self.is_alone = false;
        self.travelling.clear();
        self.not_taken.clear();
    }

    /// How many messages were handed over, or not taken, since the beginning.
    pub(super) fn handed_over(&self) -> usize {
        self.next
    }

    /// The messages that librdkafka did not even take.
    pub(super) fn take_not_taken(&mut self) -> Vec<Refusal> {
        std::mem::take(&mut self.not_taken)
    }

    /// Hands over what was not handed over yet of these places in the batch, until all of it is
    /// acknowledged. Whatever ends a call early, the next one goes on with the message that was not
    /// taken. Messages that were refused together go as the isolation says.
    pub(super) fn send(
        &mut self,
        producer: &mut Producer,
        batch: &Batch,
        places: impl Iterator<Item = usize>,
        isolation: Option<&Isolation>,
        deadline: Instant,
    ) -> Result<(), Halt> {
        let now = Timestamp::from(SystemTime::now());
        let timeline = batch.checkpoint.timeline;
        let isolation = isolation.filter(|isolation| !isolation.is_free());
        for index in places.skip(self.next) {
            let Some(delivery) = batch.messages.get(index) else {
                break;
            };
            let pace = isolation.map_or(Pace::Free, |isolation| isolation.pace(delivery));
            self.wait_for(pace, delivery, producer, deadline)?;
            loop {
                let record = self.writer.record(delivery, timeline, now, index);
                match producer.send(record) {
                    Ok(()) => break,
                    Err(SendError::QueueFull) if producer.unsettled() == 0 => {
                        let text = "librdkafka's empty queue has no room for it: raise \
                                    queue.buffering.max.kbytes in kafka.properties";
                        self.refuse(index, text.to_owned());
                        break;
                    }
                    Err(SendError::QueueFull) => {
                        let room = producer.unsettled().saturating_sub(QUEUE_ROOM);
                        settle(producer, room, deadline, "messages are")?;
                    }
                    Err(SendError::TooLarge(text)) => {
                        self.refuse(index, text);
                        break;
                    }
                    Err(SendError::TransactionFailed(_)) => return Err(Halt::Failures),
                    Err(SendError::DestinationGone(text)) => return Err(Halt::Abort(text)),
                    Err(SendError::Trouble(trouble)) => return Err(Halt::Trouble(trouble)),
                }
            }
            self.next += 1;
            if let Pace::Within(_) = pace {
                let destination = delivery.row.destination.clone();
                *self.travelling.entry(destination).or_default() += paced_bytes(delivery);
            }
            self.is_alone = pace == Pace::Alone;
            if self.stops_at_refusal && !self.not_taken.is_empty() {
                return Err(Halt::Failures);
            }
        }
        settle(producer, 0, deadline, "messages are")?;
        self.travelling.clear();
        if self.not_taken.is_empty() {
            Ok(())
        } else {
            Err(Halt::Failures)
        }
    }

    fn refuse(&mut self, batch_index: usize, error: String) {
        self.not_taken.push(Refusal {
            batch_index,
            reason: RefusalReason::TooLarge,
            error,
        });
    }

    /// librdkafka makes its requests of whatever waits for a partition. So two messages share none
    /// for certain only if the first is acknowledged before the second is handed over.
    fn wait_for(
        &mut self,
        pace: Pace,
        delivery: &Delivery,
        producer: &Producer,
        deadline: Instant,
    ) -> Result<(), Halt> {
        let crowded = match pace {
            Pace::Free => false,
            Pace::Alone => true,
            Pace::Within(limit) => {
                let before = self.travelling.get(&delivery.row.destination);
                before.is_some_and(|bytes| bytes + paced_bytes(delivery) > limit)
            }
        };
        if crowded || self.is_alone {
            settle(producer, 0, deadline, "messages are")?;
            self.is_alone = false;
            self.travelling.clear();
        }
        Ok(())
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
        Ok(Settled::Waiting) => {
            let reason = format!("{what} not acknowledged");
            match producer.explain(Trouble::Unclear(reason)) {
                Trouble::Unclear(reason) => Err(Halt::Later(reason)),
                refused => Err(Halt::Trouble(refused)),
            }
        }
        Err(trouble) => Err(Halt::Trouble(trouble)),
    }
}
