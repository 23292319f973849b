use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::properties::Properties;

/// What the Kafka sink is told by the configuration.
#[derive(Clone)]
pub struct KafkaSettings {
    /// The relay's name: the checkpoints' key, and `outbox-<relay>` the transactional id.
    pub relay: String,
    /// What is handed to librdkafka, under the names of its documentation.
    pub properties: BTreeMap<String, String>,
    /// A file that holds the password, read anew for each client; it wins over `sasl.password`.
    pub password_file: Option<PathBuf>,
    /// The topic that holds the checkpoints of every relay of this Kafka cluster.
    pub checkpoint_topic: String,
    /// Whether a destination that does not exist is created; otherwise its messages are refused.
    pub create_topics: bool,
    /// How many partitions a created destination gets; at least 1.
    pub partitions: u32,
    /// How many replicas created topics get; at least 1.
    pub replication_factor: u32,
    /// The largest record that is sent, key and headers included, in bytes.
    pub message_bytes_max: usize,
}

/// Settings that cannot work, or would break the guarantee. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum KafkaSettingsError {
    /// A setting outside its range.
    #[error("{setting} must be {expected}")]
    Range {
        /// The setting's name.
        setting: &'static str,
        /// What would be valid.
        expected: &'static str,
    },
    /// No broker is named.
    #[error("kafka.properties: \"bootstrap.servers\" is missing: name at least one broker")]
    BootstrapServersMissing,
    /// A property that is the relay's own business.
    #[error("kafka.properties: {property:?} may not be set: {reason}")]
    Refused {
        /// The property, as it was written.
        property: String,
        /// Why.
        reason: &'static str,
    },
    /// A property whose value would break the guarantee or is out of its range.
    #[error("kafka.properties: {property:?} must be {expected}")]
    Value {
        /// The property, as it was written.
        property: String,
        /// What would be valid, and why.
        expected: String,
    },
    /// One property under both of its names.
    #[error("kafka.properties: {property:?} is another name of {other:?}, keep one of them")]
    Twice {
        /// The property, as it was written.
        property: String,
        /// Its name in librdkafka.
        other: &'static str,
    },
    /// A property that librdkafka refuses.
    #[error("kafka.properties: {property:?}: {cause}")]
    Unknown {
        /// The property, as it was written.
        property: String,
        /// What librdkafka says.
        cause: String,
    },
    /// A file that a setting names cannot be used.
    #[error("{setting}: {}: {why}", file.display())]
    File {
        /// The setting, `kafka.password_file` or a property.
        setting: &'static str,
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Properties that do not go together.
    #[error("kafka.properties: librdkafka refuses them: {cause}")]
    Together {
        /// What librdkafka says.
        cause: String,
    },
}

/// What a record may have at most: Kafka's own messages stay far below.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// librdkafka's own lower limit for `message.max.bytes`.
const MESSAGE_BYTES_MIN: usize = 1000;

impl KafkaSettings {
    /// The relay's transactional id.
    #[must_use]
    pub fn transactional_id(&self) -> String {
        format!("outbox-{}", self.relay)
    }

    /// How long a batch may take: its messages time out before its transaction does.
    ///
    /// # Errors
    /// Settings that cannot work, or would break the guarantee.
    pub fn batch_timeout(&self) -> Result<Duration, KafkaSettingsError> {
        Properties::new(self).map(|properties| properties.message_timeout())
    }

    /// The key of this relay's barrier records: beside its checkpoints, never among them.
    pub(super) fn barrier_key(&self) -> String {
        format!("{}/barrier", self.relay)
    }

    pub(super) fn check_ranges(&self) -> Result<(), KafkaSettingsError> {
        let checks = [
            (
                !self.relay.is_empty() && !self.relay.contains('/'),
                "relay.name",
                "a name without a slash",
            ),
            (
                !self.checkpoint_topic.is_empty(),
                "kafka.checkpoint_topic",
                "the name of a topic",
            ),
            (
                (1..=i32::MAX as u32).contains(&self.partitions),
                "kafka.partitions",
                "at least 1",
            ),
            (
                (1..=i16::MAX as u32).contains(&self.replication_factor),
                "kafka.replication_factor",
                "between 1 and 32767",
            ),
            (
                (MESSAGE_BYTES_MIN..=MESSAGE_BYTES_MAX).contains(&self.message_bytes_max),
                "limits.message_bytes_max",
                "between 1000 bytes and 64 MiB",
            ),
        ];
        match checks.into_iter().find(|(holds, ..)| !holds) {
            Some((_, setting, expected)) => Err(KafkaSettingsError::Range { setting, expected }),
            None => Ok(()),
        }
    }
}
