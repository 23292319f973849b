//! What the user may write: second names, what is refused by name, and which values would break the
//! guarantee.

use std::collections::BTreeMap;

use super::{MAX_IN_FLIGHT, MESSAGE_TIMEOUT};
use crate::sink::kafka::settings::KafkaSettingsError;

/// Second names of properties, so that a default is never set beside the user's own value.
pub(super) const ALIASES: &[(&str, &str)] = &[
    ("metadata.broker.list", "bootstrap.servers"),
    ("request.required.acks", "acks"),
    ("max.in.flight", MAX_IN_FLIGHT),
    ("queue.buffering.max.ms", "linger.ms"),
    ("message.send.max.retries", "retries"),
    ("compression.codec", "compression.type"),
    ("delivery.timeout.ms", MESSAGE_TIMEOUT),
    ("auto.commit.enable", "enable.auto.commit"),
];

/// Properties that nobody but the sink may set, each with the reason.
const REFUSED: &[(&str, &str)] = &[
    (
        "transactional.id",
        "it is outbox-<relay>: fencing depends on it",
    ),
    ("isolation.level", "checkpoints are read committed"),
    ("group.id", "the relay joins no consumer group"),
    ("group.instance.id", "the relay joins no consumer group"),
    (
        "enable.auto.commit",
        "the relay keeps its place in the checkpoint, not in a group",
    ),
    (
        "enable.auto.offset.store",
        "the relay keeps its place in the checkpoint, not in a group",
    ),
    (
        "auto.offset.reset",
        "the checkpoint topic is always read from its beginning",
    ),
    (
        "enable.partition.eof",
        "the relay needs it to read checkpoints",
    ),
    (
        "allow.auto.create.topics",
        "topics are created by create_topics, never by accident",
    ),
    (
        "delivery.report.only.error",
        "every message's acknowledgement is awaited",
    ),
    (
        "enable.gapless.guarantee",
        "it makes a refused message fatal for the whole relay",
    ),
    ("message.max.bytes", "set limits.message_bytes_max"),
    (
        "statistics.interval.ms",
        "the relay finds hidden retries by it",
    ),
    (
        "log.connection.close",
        "the relay finds hidden retries by it",
    ),
    (
        "log_level",
        "the relay finds hidden retries by it; set log.level",
    ),
    ("log.queue", "the relay finds hidden retries by it"),
    ("enabled_events", "the relay finds hidden retries by it"),
    ("test.mock.num.brokers", "the broker must be a real one"),
    (
        "plugin.library.paths",
        "foreign code could change what is sent",
    ),
    ("queuing.strategy", "messages must leave in order"),
];

/// The properties under their first names, unless one is not the user's to set.
pub(super) fn canonical(
    written: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, KafkaSettingsError> {
    let mut user = BTreeMap::new();
    for (property, value) in written {
        let alias = ALIASES.iter().find(|(alias, _)| alias == property);
        let name = alias.map_or(property.as_str(), |(_, name)| name);
        if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
            return Err(KafkaSettingsError::Refused {
                property: property.clone(),
                reason,
            });
        }
        if let Some((_, other)) = alias.filter(|(_, name)| written.contains_key(*name)) {
            return Err(KafkaSettingsError::Twice {
                property: property.clone(),
                other,
            });
        }
        user.insert(name.to_owned(), value.trim().to_owned());
    }
    match user.get("bootstrap.servers") {
        Some(servers) if !servers.is_empty() => Ok(user),
        _ => Err(KafkaSettingsError::BootstrapServersMissing),
    }
}

/// Refuses a value that would break the guarantee.
pub(super) fn require(
    user: &BTreeMap<String, String>,
    property: &str,
    allowed: &[&str],
    reason: &str,
) -> Result<(), KafkaSettingsError> {
    match user.get(property) {
        Some(value) if !allowed.contains(&value.as_str()) => Err(KafkaSettingsError::Value {
            property: property.to_owned(),
            expected: format!("{}: {reason}", allowed.join(" or ")),
        }),
        _ => Ok(()),
    }
}

/// Refuses to spread a key over partitions.
pub(super) fn refuse_random_partitioner(
    user: &BTreeMap<String, String>,
) -> Result<(), KafkaSettingsError> {
    match user.get("partitioner").map(String::as_str) {
        Some("random") => Err(KafkaSettingsError::Value {
            property: "partitioner".to_owned(),
            expected: "one that sends a key to one partition: keys would lose their order"
                .to_owned(),
        }),
        _ => Ok(()),
    }
}

/// A property that is a number of a range, or its default.
pub(super) fn number(
    user: &BTreeMap<String, String>,
    property: &str,
    default: u64,
    range: std::ops::RangeInclusive<u64>,
) -> Result<u64, KafkaSettingsError> {
    let Some(text) = user.get(property) else {
        return Ok(default);
    };
    text.parse()
        .ok()
        .filter(|value| range.contains(value))
        .ok_or_else(|| KafkaSettingsError::Value {
            property: property.to_owned(),
            expected: format!("a number from {} to {}", range.start(), range.end()),
        })
}
