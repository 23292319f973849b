use std::time::{Duration, Instant};

use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::{AcquireError, Batch, Outcome, Sink};

use super::KafkaSink;
use super::closing::Closing;
use super::destinations::Destinations;
use super::errors::unusable;
use super::isolation::Isolation;
use super::producer::Producer;
use super::properties::Properties;
use super::refusals::refusals;
use super::sending::{Halt, Sending};
use super::settings::{KafkaSettings, KafkaSettingsError};
use crate::sink::at_least_once::{CheckpointStore, Publisher};

/// How long one `publish` waits for acknowledgements before it hands control back.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Kafka without transactions: each message is visible as soon as it is acknowledged.
///
/// The producer is idempotent, waits for all in-sync replicas, and never gives a message up by
/// itself: within a partition, what the broker has is always a prefix of what was sent. Where that
/// cannot be kept (a message is refused, the process ends), the producer is thrown away and the batch
/// is sent again from its beginning: consumers may see some of it twice, but each key's messages
/// first in their order.
pub struct KafkaPublisher {
    settings: KafkaSettings,
    properties: Properties,
    destinations: Destinations,
    sending: Sending,
    isolation: Isolation,
    closing: Closing,
    producer: Option<Producer>,
    /// The batch in hand, by its checkpoint's sequence.
    sequence: Option<u64>,
}

impl KafkaPublisher {
    /// A publisher that has not connected yet.
    ///
    /// # Errors
    /// Settings that cannot work, or would break the guarantee.
    pub fn new(settings: KafkaSettings) -> Result<Self, KafkaSettingsError> {
        let properties = Properties::new(&settings)?;
        Ok(Self {
            settings,
            properties,
            destinations: Destinations::default(),
            sending: Sending::stopping_at_refusal(),
            isolation: Isolation::default(),
            closing: Closing::default(),
            producer: None,
            sequence: None,
        })
    }

    fn retire(&mut self) {
        self.sequence = None;
        if let Some(producer) = self.producer.take() {
            self.closing.close(producer);
        }
    }

    /// Some messages were given up: who is to blame? The others may be with the broker, or not.
    fn blame(&mut self, batch: &Batch) -> Outcome {
        let Some(producer) = &self.producer else {
            return Outcome::Abort {
                reason: "the producer is gone".to_owned(),
            };
        };
        // The producer stops at the first message that it gives up, and gives up all others.
        producer.serve_events(Instant::now() + WAIT_MAX);
        let failures = producer.deliveries().take_failures();
        let reason = "messages were refused".to_owned();
        self.isolation.blame(batch, &failures, reason)
    }
}

impl Publisher for KafkaPublisher {
    fn acquire(&mut self) -> Result<(), AcquireError> {
        self.retire();
        if !self.closing.make_room() {
            let reason = "earlier clients are still closing their connections";
            return Err(AcquireError::Unavailable(reason.to_owned()));
        }
        self.destinations.forget();
        let config = self.properties.lasting_producer().map_err(unusable)?;
        let producer = Producer::start(&config).map_err(unusable)?;
        self.producer = Some(producer);
        Ok(())
    }

    fn publish(&mut self, batch: &Batch) -> Outcome {
        if batch.messages.is_empty() {
            return Outcome::Durable;
        }
        let Some(producer) = &mut self.producer else {
            let reason = "the right to publish was not acquired".to_owned();
            return Outcome::Indefinite { reason };
        };
        let sequence = batch.checkpoint.sequence;
        if self.sequence != Some(sequence) {
            let found = refusals(
                batch,
                producer,
                &mut self.destinations,
                &self.settings,
                &self.properties,
            );
            match found {
                Err(reason) => {
                    let outcome = producer.without_answer(reason);
                    if !matches!(outcome, Outcome::Retry { .. }) {
                        // Its files may have been rotated: the next producer reads them anew.
                        self.retire();
                    }
                    return outcome;
                }
                Ok(refusals) if !refusals.is_empty() => return Outcome::Poison(refusals),
                Ok(_) => {}
            }
            self.sequence = Some(sequence);
            self.isolation.keep(batch);
            self.sending.restart();
        }
        let deadline = Instant::now() + WAIT_MAX;
        let places = 0..batch.messages.len();
        let sent = self
            .sending
            .send(producer, batch, places, Some(&self.isolation), deadline);
        let outcome = match sent {
            Ok(()) => Outcome::Durable,
            Err(Halt::Later(reason)) => return Outcome::Retry { reason },
            Err(Halt::Abort(reason)) => Outcome::Abort { reason },
            Err(Halt::Failures) => match self.sending.take_not_taken() {
                not_taken if not_taken.is_empty() => self.blame(batch),
                not_taken => Outcome::Poison(not_taken),
            },
            Err(Halt::Trouble(trouble)) => match self.blame(batch) {
                // What the producer stopped for is told by the messages it gave up.
                Outcome::Abort { .. } => trouble.into_outcome(),
                outcome => outcome,
            },
        };
        self.sequence = None;
        if outcome != Outcome::Durable {
            // Its queue may still hold messages of this batch.
            self.retire();
            if let Err(error) = self.acquire() {
                let reason = error.to_string();
                return Outcome::Indefinite { reason };
            }
        }
        outcome
    }

    fn settled(&mut self, _: &Checkpoint) {}

    fn release(&mut self) {
        self.retire();
    }
}

impl Drop for KafkaPublisher {
    fn drop(&mut self) {
        self.retire();
    }
}

/// The checkpoint topic, each checkpoint in a transaction of its own: whoever lost the transactional
/// id cannot write another.
impl CheckpointStore for KafkaSink {
    fn peek(&mut self) -> Result<Option<Checkpoint>, AcquireError> {
        Sink::peek(self)
    }

    fn acquire(&mut self, epoch: u64) -> Result<Option<Checkpoint>, AcquireError> {
        Sink::acquire(self, epoch)
    }

    fn write(&mut self, checkpoint: &Checkpoint) -> Outcome {
        Sink::publish(
            self,
            &Batch {
                messages: Vec::new(),
                checkpoint: checkpoint.clone(),
            },
        )
    }

    fn release(&mut self) {
        Sink::release(self);
    }
}
