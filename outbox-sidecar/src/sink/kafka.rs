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
mod broker_certificate;
mod checkpoint_topic;
mod closing;
mod connection_failures;
mod deliveries;
mod destinations;
mod errors;
mod failed_transaction;
mod inquest;
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
mod unauthorised;
mod undecided;

pub use administration::{
    BrokerSummary, KafkaAdministration, Misplaced, TopicDescription, WriteRight,
};
pub use publisher::KafkaPublisher;
pub use settings::{KafkaSettings, KafkaSettingsError};
pub(crate) use topic_reader::TopicReader;

use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::{AcquireError, Batch, Outcome, Sink};

use activation::{Activation, activate};
use checkpoint_topic::{CheckpointReader, End};
use closing::Closing;
use destinations::Destinations;
use isolation::Isolation;
use producer::Producer;
use properties::Properties;
use refusals::refusals;
use transaction::{Surroundings, Transaction};
use undecided::{UndecidedReader, View};

/// A relay's access to Kafka.
///
/// ```no_run
/// use outbox_core::sink::Sink;
/// use outbox_sidecar::sink::kafka::{KafkaSettings, KafkaSink};
///
/// let mut sink = KafkaSink::new(KafkaSettings {
///     relay: "policy".into(),
///     properties: [("bootstrap.servers".into(), "localhost:9092".into())].into(),
///     password_file: None,
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
    /// Outlives a producer: what is known of the batch in hand holds for the next one, too.
    isolation: Isolation,
    active: Option<Active>,
}

/// What a holder of the right to publish has.
struct Active {
    producer: Producer,
    transaction: Transaction,
    /// For so many batches it keeps a single request on its way; then another takes its place.
    careful_batches: Option<u32>,
}

/// After a refused message so many batches are published with one request at a time: others follow,
/// as a rule, and a new producer for each costs more.
const CAREFUL_BATCHES: u32 = 100;

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
            isolation: Isolation::default(),
            active: None,
        })
    }

    /// What hides the newest checkpoint from a reader of committed records: an open transaction of
    /// another.
    pub(crate) fn hidden(&mut self) -> Result<Option<String>, AcquireError> {
        let (reader, undecided) = self.readers()?;
        let view = reader.view(&undecided);
        self.closing.close((reader, undecided));
        Ok(match view? {
            View::Whole { .. } => None,
            View::Hidden(open_transaction) => Some(open_transaction),
        })
    }

    fn readers(&mut self) -> Result<(CheckpointReader, UndecidedReader), AcquireError> {
        if !self.closing.make_room() {
            let reason = "earlier clients are still closing their connections";
            return Err(AcquireError::Unavailable(reason.to_owned()));
        }
        let reader = CheckpointReader::open(&self.settings, &self.properties)?;
        let undecided = UndecidedReader::open(&self.settings, &self.properties)?;
        Ok((reader, undecided))
    }

    fn retire(&mut self) {
        if let Some(active) = self.active.take() {
            self.closing.close(active.producer);
        }
    }
}

impl Sink for KafkaSink {
    fn peek(&mut self) -> Result<Option<Checkpoint>, AcquireError> {
        let (reader, undecided) = self.readers()?;
        let newest = match reader.view(&undecided) {
            Ok(View::Whole { end }) => reader
                .begin()
                .and_then(|()| reader.read_to(&End::Offset(end))),
            Ok(View::Hidden(open_transaction)) => Err(AcquireError::Unavailable(open_transaction)),
            Err(error) => Err(error),
        };
        self.closing.close((reader, undecided));
        newest
    }

    fn acquire(&mut self, _epoch: u64) -> Result<Option<Checkpoint>, AcquireError> {
        self.retire();
        let careful_batches = self.isolation.is_open().then_some(CAREFUL_BATCHES);
        self.properties
            .one_request_at_a_time(careful_batches.is_some());
        let Activation { producer, newest } =
            activate(&self.settings, &mut self.properties, &mut self.closing)?;
        // The look-up before a destination's first message also makes it known to this producer.
        self.destinations.forget();
        self.active = Some(Active {
            transaction: Transaction::new(producer.traces().mark()),
            producer,
            careful_batches,
        });
        Ok(newest)
    }

    fn publish(&mut self, batch: &Batch) -> Outcome {
        let begins = match &self.active {
            None => {
                let reason = "the right to publish was not acquired".to_owned();
                return Outcome::Indefinite { reason };
            }
            Some(active) if active.careful_batches == Some(0) => {
                self.retire();
                let reason = "no message was refused for a while: a faster producer takes over";
                return Outcome::Indefinite {
                    reason: reason.to_owned(),
                };
            }
            Some(active) => !active.transaction.is_open(),
        };
        if begins && let Some(active) = &self.active {
            self.isolation.keep(batch);
            let found = refusals(
                batch,
                &active.producer,
                &mut self.destinations,
                &self.settings,
                &self.properties,
            );
            match found {
                Err(reason) => {
                    let outcome = active.producer.without_answer(reason);
                    if !matches!(outcome, Outcome::Retry { .. }) {
                        // Its files may have been rotated: the next producer reads them anew.
                        self.retire();
                    }
                    return outcome;
                }
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
            careful_batches,
        }) = &mut self.active
        else {
            let reason = "the right to publish was not acquired".to_owned();
            return Outcome::Indefinite { reason };
        };
        let (outcome, merely_slow) =
            transaction.publish(producer, batch, &around, &mut self.isolation);
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
            Outcome::Abort { .. } => self.destinations.forget(),
            Outcome::Durable => {
                self.isolation = Isolation::default();
                *careful_batches = careful_batches.map(|left| left.saturating_sub(1));
            }
            Outcome::Retry { .. } | Outcome::Ongoing { .. } | Outcome::Poison(_) => {}
        }
        outcome
    }

    fn release(&mut self) {
        // Until the next time anything may change at the broker.
        self.isolation = Isolation::default();
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
