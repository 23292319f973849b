//! Kafka, exactly once: each batch is one transaction that carries its own checkpoint; or at least
//! once, see [`KafkaPublisher`].
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
mod publisher;
mod record;
mod refusals;
mod sending;
mod settings;
mod suspicion;
mod topic_reader;
mod transaction;

pub use administration::{BrokerSummary, CheckpointTopicDescription, KafkaAdministration};
pub use publisher::KafkaPublisher;
pub use settings::{KafkaSettings, KafkaSettingsError};
pub(crate) use topic_reader::TopicReader;

use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::{AcquireError, Batch, Outcome, Sink};

use activation::{Activation, activate};
use checkpoint_topic::{CheckpointReader, End};
use closing::Closing;
use destinations::Destinations;
use producer::Producer;
use properties::Properties;
use refusals::refusals;
use transaction::{Surroundings, Transaction};

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
        if begins && let Some(active) = &self.active {
            let found = refusals(
                batch,
                &active.producer,
                &mut self.destinations,
                &self.settings,
                &self.properties,
            );
            match found {
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
            Outcome::Indefinite { .. }
            | Outcome::Fenced { .. }
            | Outcome::Diverged { .. }
            | Outcome::Fatal { .. } => {
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
