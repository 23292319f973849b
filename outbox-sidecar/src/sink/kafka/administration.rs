mod inspection;
mod placement;
mod write_right;

pub use inspection::TopicDescription;
pub use placement::Misplaced;
#[cfg(test)]
pub(super) use placement::partition_of;
pub use write_right::WriteRight;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::AcquireError;
use rdkafka::types::RDKafkaErrorCode;

use super::admin::{Admin, AdminError, TopicToCreate};
use super::checkpoint_topic::PARTITION;
use super::deliveries::{CONTROL, Settled};
use super::destinations::{DestinationError, TopicState, topic_state, wait_until_visible};
use super::errors::{Trouble, unusable};
use super::producer::{Producer, Record, SendError};
use super::properties::Properties;
use super::settings::{KafkaSettings, KafkaSettingsError};

/// How long a single record's acknowledgement may take.
const RECORD_MAX: Duration = Duration::from_secs(15);
/// How long the brokers' answer about themselves may take.
const METADATA_MAX: Duration = Duration::from_secs(5);
/// Segments as small as Kafka allows: the active one is never compacted, and must be read.
const SEGMENT_BYTES: &str = "1048576";

/// What `init`, `check` and `remove` ask of Kafka. Never touches a running relay's producer.
pub struct KafkaAdministration {
    settings: KafkaSettings,
    properties: Properties,
    producer: Producer,
}

/// The brokers, as they describe themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerSummary {
    /// The Kafka cluster's id.
    pub cluster_id: Option<String>,
    /// Each broker's id and address.
    pub brokers: BTreeMap<i32, String>,
}

impl KafkaAdministration {
    /// A client of the brokers; it connects with its first request.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub fn new(settings: KafkaSettings) -> Result<Self, KafkaSettingsError> {
        let properties = Properties::new(&settings)?;
        let producer = Producer::start(&properties.plain_producer()?).map_err(|error| {
            KafkaSettingsError::Together {
                cause: error.to_string(),
            }
        })?;
        Ok(Self {
            settings,
            properties,
            producer,
        })
    }

    /// The cluster's id and its brokers.
    ///
    /// # Errors
    /// The brokers do not answer within 5 s, or refuse this client.
    pub fn broker_summary(&self) -> Result<BrokerSummary, AcquireError> {
        let client = self.producer.client();
        let metadata = client
            .fetch_metadata(None, METADATA_MAX)
            .map_err(|error| self.unavailable("metadata", &error.to_string()))?;
        let address = |broker: &rdkafka::metadata::MetadataBroker| {
            (broker.id(), format!("{}:{}", broker.host(), broker.port()))
        };
        Ok(BrokerSummary {
            cluster_id: client.fetch_cluster_id(METADATA_MAX),
            brokers: metadata.brokers().iter().map(address).collect(),
        })
    }

    /// Whether a topic exists. Never creates it.
    ///
    /// # Errors
    /// The brokers do not answer within 5 s, or refuse this client.
    pub fn topic_exists(&self, topic: &str) -> Result<bool, AcquireError> {
        let state = self.state(topic)?;
        Ok(state != TopicState::Missing)
    }

    /// Creates the checkpoint topic: one partition, compacted, small segments, and as many
    /// replicas as configured and the cluster has brokers for. True when it was created, false
    /// when it was there already.
    ///
    /// # Errors
    /// The brokers do not answer, or do not allow it.
    pub fn create_checkpoint_topic(&self) -> Result<bool, AcquireError> {
        let topic = &self.settings.checkpoint_topic;
        if self.topic_exists(topic)? {
            return Ok(false);
        }
        let brokers = self.broker_summary()?.brokers.len();
        let replication_factor = u32::try_from(brokers)
            .unwrap_or(u32::MAX)
            .clamp(1, self.settings.replication_factor);
        let min_insync_replicas = if replication_factor >= 3 { "2" } else { "1" };
        let created = self.admin()?.create_topic(&TopicToCreate {
            name: topic,
            partitions: 1,
            replication_factor,
            configuration: &[
                ("cleanup.policy", "compact"),
                ("segment.bytes", SEGMENT_BYTES),
                ("min.insync.replicas", min_insync_replicas),
            ],
        });
        let created =
            created.map_err(|error| self.admin_failed("creating the checkpoint topic", error))?;
        let visible = wait_until_visible(self.producer.client(), topic);
        visible.map_err(|error| self.look_up_failed(error))?;
        Ok(created)
    }

    /// Writes a relay's first checkpoint.
    ///
    /// # Errors
    /// The record was not acknowledged: it may or may not be written, so write it again.
    pub fn write_genesis(&mut self, checkpoint: &Checkpoint) -> Result<(), AcquireError> {
        self.write(Some(&checkpoint.encode()))
    }

    /// Ends the relay's checkpoints: what is written later begins a new life.
    ///
    /// # Errors
    /// The record was not acknowledged: it may or may not be written, so write it again.
    pub fn tombstone(&mut self) -> Result<(), AcquireError> {
        self.write(None)
    }

    fn write(&mut self, payload: Option<&[u8]>) -> Result<(), AcquireError> {
        let topic = self.settings.checkpoint_topic.clone();
        if self.state(&topic)? == TopicState::Missing {
            return Err(AcquireError::CheckpointMissing(format!(
                "the checkpoint topic {topic:?} does not exist"
            )));
        }
        let relay = self.settings.relay.clone();
        let record = Record {
            topic: &topic,
            partition: Some(PARTITION),
            key: Some(relay.as_bytes()),
            payload,
            headers: None,
            timestamp_ms: None,
            tag: CONTROL,
        };
        self.producer.send(record).map_err(|error| match error {
            SendError::Trouble(trouble) => trouble.into_acquire_error(),
            SendError::QueueFull => self.unavailable("checkpoint", "the queue is full"),
            SendError::TooLarge(text)
            | SendError::DestinationGone(text)
            | SendError::TransactionFailed(text) => self.unavailable("checkpoint", &text),
        })?;
        let settled = self.producer.wait(0, Instant::now() + RECORD_MAX);
        match settled.map_err(Trouble::into_acquire_error)? {
            Settled::All => Ok(()),
            Settled::Waiting => Err(self.unavailable("checkpoint", "it is not acknowledged")),
            Settled::Failed => {
                let failures = self.producer.deliveries().take_failures();
                let code = failures.first().map(|failure| failure.code);
                let code = code.unwrap_or(RDKafkaErrorCode::Unknown);
                Err(Trouble::of_delivery("checkpoint", code).into_acquire_error())
            }
        }
    }

    fn admin(&self) -> Result<Admin, AcquireError> {
        let config = self.properties.plain_producer().map_err(unusable)?;
        Admin::connect(&config).map_err(|error| self.admin_failed("connecting", error))
    }

    fn state(&self, topic: &str) -> Result<TopicState, AcquireError> {
        topic_state(self.producer.client(), topic).map_err(|error| self.look_up_failed(error))
    }

    fn look_up_failed(&self, error: DestinationError) -> AcquireError {
        match error {
            DestinationError::Refused(_, text) => AcquireError::Fatal(text),
            DestinationError::Unavailable(text) => self.unavailable("look-up", &text),
        }
    }

    fn admin_failed(&self, what: &str, error: AdminError) -> AcquireError {
        match error {
            AdminError::Refused(code) => AcquireError::Fatal(format!("{what}: {code}")),
            AdminError::Unavailable(text) => self.unavailable(what, &text),
        }
    }

    fn unavailable(&self, what: &str, text: &str) -> AcquireError {
        self.producer
            .explain(Trouble::Unclear(format!("{what}: {text}")))
            .into_acquire_error()
    }
}
