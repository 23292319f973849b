//! Kafka, exactly once: each batch is one transaction that carries its own checkpoint.
//!
//! [`KafkaSink`] keeps the contract of [`outbox_core::sink::Sink`] on librdkafka:
//!
//! - A batch's messages and its checkpoint become visible to read-committed readers together, or
//!   not at all. The checkpoint is sent once every message is acknowledged.
//! - `acquire` fences every earlier producer of the relay (transactional id `outbox-<relay>`), and
//!   reads the checkpoint up to a barrier record of its own.
//! - librdkafka repeats requests inside, and a delayed copy of a commit can hit the next
//!   transaction. A transaction that shows any trace of that (see `suspicion`) ends as
//!   [`Outcome::Indefinite`], whatever the library says: the next producer's epoch refuses the
//!   copy, and the checkpoint tells what is durable.
//!
//! Nothing waits without a limit, also with a frozen broker: 5 s for a look-up or for
//! acknowledgements in one call, 10 s for a connection, a commit, an abort or the barrier, 15 s for
//! `init_transactions` and for the next record of the checkpoint topic. The limits stand as named
//! constants where they are kept.

mod activation;
mod admin;
mod administration;
mod checkpoint_topic;
mod closing;
mod deliveries;
mod destinations;
mod errors;
mod isolation;
mod producer;
mod properties;
mod record;
mod settings;
mod suspicion;
mod transaction;

pub use administration::{BrokerSummary, CheckpointTopicDescription, KafkaAdministration};
pub use settings::{KafkaSettings, KafkaSettingsError};

use bytestring::ByteString;
use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::{AcquireError, Batch, Outcome, Refusal, RefusalReason, Sink};

use activation::{Activation, activate};
use checkpoint_topic::{CheckpointReader, End};
use closing::Closing;
use destinations::{DestinationError, Destinations};
use producer::Producer;
use properties::Properties;
use transaction::{Surroundings, Transaction};

use super::headers::check_headers;

/// A relay's access to Kafka.
///
/// ```no_run
/// use outbox_core::sink::Sink;
/// use outbox_sidecar::sink::kafka::{KafkaSettings, KafkaSink};
///
/// let mut sink = KafkaSink::new(KafkaSettings {
///     relay: "policy".into(),
///     properties: [("bootstrap.servers".into(), "localhost:9092".into())].into(),
///     checkpoint_topic: "outbox-checkpoints".into(),
///     create_topics: false,
///     partitions: 6,
///     replication_factor: 3,
///     message_bytes_max: 1024 * 1024,
/// })?;
/// let checkpoint = sink.acquire(1)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct KafkaSink {
    settings: KafkaSettings,
    properties: Properties,
    destinations: Destinations,
    closing: Closing,
    active: Option<Active>,
}

/// What a holder of the right to publish has.
struct Active {
    producer: Producer,
    transaction: Transaction,
}

impl KafkaSink {
    /// A sink that has not connected yet.
    ///
    /// # Errors
    /// Settings that cannot work, or would break the guarantee.
    pub fn new(settings: KafkaSettings) -> Result<Self, KafkaSettingsError> {
        let properties = Properties::new(&settings)?;
        Ok(Self {
            settings,
            properties,
            destinations: Destinations::default(),
            closing: Closing::default(),
            active: None,
        })
    }

    /// The messages that are refused before anything is sent, or why that cannot be told now.
    fn check(&mut self, batch: &Batch) -> Result<Vec<Refusal>, String> {
        let Some(active) = &self.active else {
            return Ok(Vec::new());
        };
        let mut refusals = Vec::new();
        let mut last: Option<(&ByteString, Option<(RefusalReason, String)>)> = None;
        for (batch_index, delivery) in batch.messages.iter().enumerate() {
            let row = &delivery.row;
            let mut refuse = |reason, error| {
                refusals.push(Refusal {
                    batch_index,
                    reason,
                    error,
                });
            };
            match &last {
                Some((destination, refused)) if *destination == &row.destination => {
                    if let Some((reason, text)) = refused {
                        refuse(*reason, text.clone());
                        continue;
                    }
                }
                _ if self.destinations.is_known(&row.destination) => {
                    last = Some((&row.destination, None));
                }
                _ => {
                    let client = active.producer.client();
                    let found = self.destinations.look_up(
                        &row.destination,
                        client,
                        &self.settings,
                        &self.properties,
                    );
                    let refused = match found {
                        Ok(()) => None,
                        Err(DestinationError::Refused(reason, text)) => Some((reason, text)),
                        Err(DestinationError::Unavailable(reason)) => return Err(reason),
                    };
                    if let Some((reason, text)) = &refused {
                        refuse(*reason, text.clone());
                    }
                    let is_refused = refused.is_some();
                    last = Some((&row.destination, refused));
                    if is_refused {
                        continue;
                    }
                }
            }
            let bytes = record::record_bytes(delivery);
            if bytes > self.settings.message_bytes_max {
                let limit = self.settings.message_bytes_max;
                let text = format!(
                    "the record has {bytes} bytes, limits.message_bytes_max allows {limit}"
                );
                refuse(RefusalReason::TooLarge, text);
            } else if let Err(error) = check_headers(&row.headers) {
                refuse(RefusalReason::HeadersInvalid, error.to_string());
            }
        }
        Ok(refusals)
    }

    fn retire(&mut self) {
        if let Some(active) = self.active.take() {
            self.closing.close(active.producer);
        }
    }
}

impl Sink for KafkaSink {
    fn peek(&mut self) -> Result<Option<Checkpoint>, AcquireError> {
        if !self.closing.make_room() {
            let reason = "earlier clients are still closing their connections";
            return Err(AcquireError::Unavailable(reason.to_owned()));
        }
        let reader = CheckpointReader::open(&self.settings, &self.properties)?;
        let newest = reader.read_to(&End::Present);
        self.closing.close(reader);
        newest
    }

    fn acquire(&mut self, _epoch: u64) -> Result<Option<Checkpoint>, AcquireError> {
        self.retire();
        let Activation { producer, newest } =
            activate(&self.settings, &mut self.properties, &mut self.closing)?;
        // The look-up before a destination's first message also makes it known to this producer.
        self.destinations = Destinations::default();
        self.active = Some(Active {
            transaction: Transaction::new(producer.traces().mark()),
            producer,
        });
        Ok(newest)
    }

    fn publish(&mut self, batch: &Batch) -> Outcome {
        let begins = match &self.active {
            None => {
                let reason = "the right to publish was not acquired".to_owned();
                return Outcome::Indefinite { reason };
            }
            Some(active) => !active.transaction.is_open(),
        };
        if begins {
            match self.check(batch) {
                Err(reason) => return Outcome::Retry { reason },
                Ok(refusals) if !refusals.is_empty() => return Outcome::Poison(refusals),
                Ok(_) => {}
            }
        }
        let around = Surroundings {
            checkpoint_topic: &self.settings.checkpoint_topic,
            relay: &self.settings.relay,
            transaction_timeout: self.properties.transaction_timeout(),
            suspicious_after: self.properties.suspicious_after(),
        };
        let Some(Active {
            producer,
            transaction,
        }) = &mut self.active
        else {
            let reason = "the right to publish was not acquired".to_owned();
            return Outcome::Indefinite { reason };
        };
        let (outcome, merely_slow) = transaction.publish(producer, batch, &around);
        match &outcome {
            Outcome::Indefinite { .. } | Outcome::Fenced { .. } | Outcome::Fatal { .. } => {
                if merely_slow {
                    self.properties.slower();
                }
                self.retire();
            }
            // A destination may have been deleted meanwhile: each is looked up again.
            Outcome::Abort { .. } => self.destinations = Destinations::default(),
            Outcome::Durable | Outcome::Retry { .. } | Outcome::Poison(_) => {}
        }
        outcome
    }

    fn release(&mut self) {
        self.retire();
    }
}

impl Drop for KafkaSink {
    fn drop(&mut self) {
        self.retire();
    }
}

#[cfg(test)]
mod tests;
