use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use bytestring::ByteString;
use outbox_core::sink::RefusalReason;
use rdkafka::client::{Client, ClientContext};
use rdkafka::types::RDKafkaErrorCode;

use super::admin::{Admin, AdminError, TopicToCreate};
use super::properties::Properties;
use super::settings::KafkaSettings;

/// How long one look-up of a topic may take.
const METADATA_MAX: Duration = Duration::from_secs(5);
/// How long a topic that was just created may stay unknown to the brokers.
const CREATION_MAX: Duration = Duration::from_secs(10);
/// The pause between looks for it.
const CREATION_PAUSE: Duration = Duration::from_millis(50);
/// How long a topic must be missing before that is believed: a broker may hear of a topic later
/// than whoever created it.
const MISSING_PATIENCE: Duration = Duration::from_secs(3);
/// For so long a topic that was missing is believed to be missing still, without patience, when it is
/// looked up again: longer than the relay waits between messages that try whether it is back.
const MISSING_REMEMBERED: Duration = Duration::from_secs(60);
/// How many destinations are remembered; past it the memory starts afresh.
const DESTINATIONS_MAX: usize = 10_000;
/// The longest name of a topic, by Kafka's rules.
const TOPIC_NAME_BYTES_MAX: usize = 249;

/// The topics that are known to exist.
///
/// A message for a missing topic would only time out; so each destination is looked up before
/// its first message, and a missing one is known as missing.
#[derive(Debug, Default)]
pub(super) struct Destinations {
    known: HashSet<ByteString>,
    /// What was not found. It outlives producers: each message that tries a missing topic would hold
    /// everything else up again.
    missing: HashMap<String, Missing>,
}

/// A topic that is not there.
#[derive(Clone, Copy, Debug)]
struct Missing {
    since: Instant,
    looked_up: Instant,
}

impl Missing {
    /// Not found now, after what is known of it; whether that is believed.
    fn again(known: Option<Self>, now: Instant) -> (Self, bool) {
        let known = known.filter(|known| now - known.looked_up < MISSING_REMEMBERED);
        let missing = Self {
            since: known.map_or(now, |known| known.since),
            looked_up: now,
        };
        (missing, now - missing.since >= MISSING_PATIENCE)
    }
}

/// Why messages of a destination cannot be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DestinationError {
    /// They are refused for themselves.
    Refused(RefusalReason, String),
    /// The broker does not say.
    Unavailable(String),
}

impl Destinations {
    pub(super) fn is_known(&self, destination: &ByteString) -> bool {
        self.known.contains(destination)
    }

    /// Another producer, or other topics by now: each is looked up again.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// Makes sure that a destination exists.
    pub(super) fn look_up<C: ClientContext>(
        &mut self,
        destination: &ByteString,
        client: &Client<C>,
        settings: &KafkaSettings,
        properties: &Properties,
    ) -> Result<(), DestinationError> {
        check_name(destination, settings)?;
        if topic_state(client, destination)? == TopicState::Missing {
            if !settings.create_topics {
                let known = self.missing.get::<str>(destination).copied();
                let (missing, is_believed) = Missing::again(known, Instant::now());
                self.missing.insert(destination.to_string(), missing);
                if !is_believed {
                    return Err(DestinationError::Unavailable(format!(
                        "the topic {destination:?} is not known to the broker (yet)"
                    )));
                }
                return Err(DestinationError::Refused(
                    RefusalReason::DestinationMissing,
                    format!(
                        "the topic {destination:?} does not exist: create it, or set \
                         kafka.create_topics"
                    ),
                ));
            }
            create(destination, settings, properties)?;
            wait_until_visible(client, destination)?;
        }
        if self.known.len() >= DESTINATIONS_MAX {
            self.known.clear();
            self.missing.clear();
        }
        self.missing.remove::<str>(destination);
        // A copy: the destination is a slice of a network buffer that must not be kept alive.
        self.known.insert(ByteString::from(destination.to_string()));
        Ok(())
    }
}

fn check_name(destination: &str, settings: &KafkaSettings) -> Result<(), DestinationError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let invalid = |text: String| {
        Err(DestinationError::Refused(
            RefusalReason::DestinationInvalid,
            text,
        ))
    };
    if destination == settings.checkpoint_topic {
        return invalid(format!(
            "the topic {destination:?} holds the relay's own checkpoints"
        ));
    }
    let named = !matches!(destination, "" | "." | "..");
    if !named || destination.len() > TOPIC_NAME_BYTES_MAX || !destination.bytes().all(legal) {
        return invalid(format!(
            "{destination:?} cannot be a topic: 1 to {TOPIC_NAME_BYTES_MAX} letters, digits, dots, \
             underscores and hyphens"
        ));
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TopicState {
    Missing,
    Exists { partitions: usize, replicas: usize },
}

/// What the brokers say about a topic; that it is missing only once they have said so for a while.
pub(super) fn believed_state<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
) -> Result<TopicState, DestinationError> {
    let began = Instant::now();
    loop {
        let state = topic_state(client, topic)?;
        if state != TopicState::Missing || began.elapsed() >= MISSING_PATIENCE {
            return Ok(state);
        }
        std::thread::sleep(CREATION_PAUSE);
    }
}

/// What the brokers say about a topic, without creating it.
pub(super) fn topic_state<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
) -> Result<TopicState, DestinationError> {
    let metadata = client
        .fetch_metadata(Some(topic), METADATA_MAX)
        .map_err(|error| {
            DestinationError::Unavailable(format!("metadata of {topic:?}: {error}"))
        })?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Err(DestinationError::Unavailable(format!(
            "the metadata of {topic:?} does not contain it"
        )));
    };
    let code = found.error().map(RDKafkaErrorCode::from);
    match code {
        None => Ok(TopicState::Exists {
            partitions: found.partitions().len(),
            replicas: found
                .partitions()
                .iter()
                .map(|partition| partition.replicas().len())
                .min()
                .unwrap_or(0),
        }),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            Ok(TopicState::Missing)
        }
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => Err(DestinationError::Refused(
            RefusalReason::NotAuthorised,
            format!("the topic {topic:?} may not be described: allow DESCRIBE and WRITE on it"),
        )),
        Some(RDKafkaErrorCode::InvalidTopic) => Err(DestinationError::Refused(
            RefusalReason::DestinationInvalid,
            format!("the broker does not take {topic:?} as a topic"),
        )),
        Some(other) => Err(DestinationError::Unavailable(format!(
            "metadata of {topic:?}: {other}"
        ))),
    }
}

fn create(
    destination: &str,
    settings: &KafkaSettings,
    properties: &Properties,
) -> Result<(), DestinationError> {
    let topic = TopicToCreate {
        name: destination,
        partitions: settings.partitions,
        replication_factor: settings.replication_factor,
        configuration: &[],
    };
    let config = properties
        .plain_producer()
        .map_err(|error| DestinationError::Unavailable(error.to_string()))?;
    let created = Admin::connect(&config).and_then(|admin| admin.create_topic(&topic));
    match created {
        Ok(_) => {
            tracing::info!(
                topic = destination,
                partitions = settings.partitions,
                "created a topic for its first message"
            );
            Ok(())
        }
        Err(AdminError::Unavailable(reason)) => Err(DestinationError::Unavailable(reason)),
        Err(AdminError::Refused(code)) => Err(refused_creation(destination, code)),
    }
}

fn refused_creation(destination: &str, code: RDKafkaErrorCode) -> DestinationError {
    use RDKafkaErrorCode as Code;
    let text = format!("the topic {destination:?} does not exist and could not be created: {code}");
    match code {
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            DestinationError::Refused(RefusalReason::NotAuthorised, text)
        }
        Code::InvalidTopic => DestinationError::Refused(RefusalReason::DestinationInvalid, text),
        Code::InvalidReplicationFactor | Code::InvalidPartitions | Code::PolicyViolation => {
            DestinationError::Refused(RefusalReason::DestinationMissing, text)
        }
        _ => DestinationError::Unavailable(text),
    }
}

/// Waits until the brokers know a topic that was just created.
pub(super) fn wait_until_visible<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
) -> Result<(), DestinationError> {
    let deadline = Instant::now() + CREATION_MAX;
    loop {
        let state = topic_state(client, topic);
        match state {
            Ok(TopicState::Exists { partitions, .. }) if partitions > 0 => return Ok(()),
            Err(DestinationError::Refused(..)) => return state.map(|_| ()),
            _ if Instant::now() >= deadline => {
                return Err(DestinationError::Unavailable(format!(
                    "the topic {topic:?} was created but is not visible yet"
                )));
            }
            _ => std::thread::sleep(CREATION_PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_missing_once_that_was_seen_for_a_while_and_not_long_ago() {
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let (first, believed) = Missing::again(None, began);
        assert!(!believed);
        let (second, believed) = Missing::again(Some(first), after(1));
        assert!(!believed);
        let (third, believed) = Missing::again(Some(second), after(3));
        assert!(believed);
        // The next that tries it.
        let (fourth, believed) = Missing::again(Some(third), after(33));
        assert!(believed);
        // Somebody may have made it long since, and this broker has not heard of it.
        let (_, believed) = Missing::again(Some(fourth), after(200));
        assert!(!believed);
    }

    #[test]
    fn names_that_cannot_be_topics_are_refused_before_the_broker_is_asked() {
        let settings = KafkaSettings {
            relay: "r".into(),
            properties: std::collections::BTreeMap::new(),
            password_file: None,
            checkpoint_topic: "outbox-checkpoints".into(),
            create_topics: false,
            partitions: 1,
            replication_factor: 1,
            message_bytes_max: 1000,
        };
        let long = "x".repeat(250);
        for name in [
            "",
            ".",
            "..",
            "a b",
            "é",
            "a/b",
            "a\0b",
            &long,
            "outbox-checkpoints",
        ] {
            let refusal = check_name(name, &settings);
            let expected = Err(RefusalReason::DestinationInvalid);
            let reason = refusal.map_err(|error| match error {
                DestinationError::Refused(reason, _) => reason,
                DestinationError::Unavailable(text) => panic!("{text}"),
            });
            assert_eq!(reason, expected, "{name:?}");
        }
        assert_eq!(check_name("policy-events_v1.2", &settings), Ok(()));
    }
}
