use std::collections::HashMap;
use std::time::Duration;

use outbox_core::sink::AcquireError;
use rdkafka::admin::ResourceSpecifier;
use rdkafka::types::RDKafkaErrorCode;

use super::KafkaAdministration;
use crate::sink::kafka::admin::AdminError;
use crate::sink::kafka::checkpoint_topic::PARTITION;
use crate::sink::kafka::destinations::TopicState;
use crate::sink::kafka::errors::{Trouble, unusable};
use crate::sink::kafka::producer::Producer;

/// A topic as it is. What the broker does not say, for want of a privilege, is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicDescription {
    /// How many partitions it has.
    pub partitions: usize,
    /// The replicas of its least replicated partition.
    pub replication_factor: usize,
    /// How it is cleaned: `delete`, `compact` or both.
    pub cleanup_policy: Option<String>,
    /// How many replicas must have a record before it is acknowledged.
    pub min_insync_replicas: Option<usize>,
    /// The largest record, with what the protocol adds, in bytes.
    pub message_bytes_max: Option<usize>,
    /// Whether a replica that lacks acknowledged records may become leader, and lose them.
    pub unclean_leader_election: Option<bool>,
}

impl TopicDescription {
    fn new(partitions: usize, replicas: usize, settings: &HashMap<String, String>) -> Self {
        let number = |name| settings.get(name).and_then(|value| value.parse().ok());
        let unclean = settings.get("unclean.leader.election.enable");
        Self {
            partitions,
            replication_factor: replicas,
            cleanup_policy: settings.get("cleanup.policy").cloned(),
            min_insync_replicas: number("min.insync.replicas"),
            message_bytes_max: number("max.message.bytes"),
            unclean_leader_election: unclean.and_then(|value| value.parse().ok()),
        }
    }
}

impl KafkaAdministration {
    /// A topic as it is; none when it does not exist. Never creates it.
    ///
    /// # Errors
    /// The brokers do not answer, or refuse this client.
    pub fn describe_topic(&self, topic: &str) -> Result<Option<TopicDescription>, AcquireError> {
        let TopicState::Exists {
            partitions,
            replicas,
        } = self.state(topic)?
        else {
            return Ok(None);
        };
        let settings = self.settings(&ResourceSpecifier::Topic(topic), "settings of a topic")?;
        Ok(Some(TopicDescription::new(partitions, replicas, &settings)))
    }

    /// The topic of checkpoints as it is; none when it does not exist.
    ///
    /// # Errors
    /// See [`describe_topic`](Self::describe_topic).
    pub fn describe_checkpoint_topic(&self) -> Result<Option<TopicDescription>, AcquireError> {
        self.describe_topic(&self.settings.checkpoint_topic)
    }

    /// The longest time-out that a broker lets a transaction have
    /// (`transaction.max.timeout.ms`); none where it does not say.
    ///
    /// # Errors
    /// See [`describe_topic`](Self::describe_topic).
    pub fn transaction_timeout_max(&self, broker: i32) -> Result<Option<Duration>, AcquireError> {
        let settings = self.settings(&ResourceSpecifier::Broker(broker), "settings of a broker")?;
        let limit = settings.get("transaction.max.timeout.ms");
        Ok(limit
            .and_then(|limit| limit.parse().ok())
            .map(Duration::from_millis))
    }

    /// Whether the broker would let the relay begin transactions, tried with its own transactional id.
    /// Fences whoever publishes under it: only for while the relay's slot is free.
    ///
    /// # Errors
    /// The broker does not answer, or refuses: the transactional id, the cluster, the time-out.
    pub fn try_transactions(&self) -> Result<(), AcquireError> {
        let config = self
            .properties
            .transactional_producer(&self.settings)
            .map_err(unusable)?;
        let producer = Producer::start(&config).map_err(unusable)?;
        producer
            .connect(&self.settings.checkpoint_topic, PARTITION)
            .and_then(|()| producer.init_transactions())
            .map_err(Trouble::into_acquire_error)
    }

    /// How long the relay's transactions may stay open.
    #[must_use]
    pub const fn transaction_timeout(&self) -> Duration {
        self.properties.transaction_timeout()
    }

    /// Describing settings needs a privilege of its own, and no relay depends on it.
    fn settings(
        &self,
        of: &ResourceSpecifier<'_>,
        what: &str,
    ) -> Result<HashMap<String, String>, AcquireError> {
        match self.admin()?.settings(of) {
            Ok(settings) => Ok(settings),
            Err(AdminError::Refused(
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed,
            )) => Ok(HashMap::new()),
            Err(error) => Err(self.admin_failed(what, error)),
        }
    }
}
