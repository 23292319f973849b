/// A key of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// Its section and name, with a dot between.
    pub(super) name: &'static str,
    /// Its default as text; `None` where there is none.
    pub(super) default: Option<&'static str>,
    /// Whether its value may hold a secret.
    pub(super) secret: bool,
}

const fn key(name: &'static str, default: Option<&'static str>) -> Key {
    Key {
        name,
        default,
        secret: false,
    }
}

/// Every key but those of `kafka.properties`, which are librdkafka's.
pub(super) const KEYS: &[Key] = &[
    key("relay.name", None),
    key("relay.destinations", Some("*")),
    key("relay.shard", Some("0/1")),
    Key {
        name: "postgres.url",
        default: None,
        secret: true,
    },
    key("postgres.url_file", None),
    key("postgres.password_file", None),
    key("postgres.schema", Some("outbox")),
    key("postgres.failover_slot", Some("true")),
    key("kafka.delivery", Some("exactly-once")),
    key("kafka.checkpoint_topic", Some("outbox-checkpoints")),
    key("kafka.create_topics", Some("false")),
    key("kafka.partitions", Some("6")),
    key("kafka.replication_factor", Some("3")),
    key("stuck.policy", Some("halt")),
    key("batch.messages_max", Some("10000")),
    key("batch.bytes_max", Some("8MiB")),
    key("batch.transaction_ms_max", Some("5000")),
    key("retry.delay_ms_min", Some("50")),
    key("retry.delay_ms_max", Some("30000")),
    key("limits.buffer_bytes_max", Some("16MiB")),
    key("limits.message_bytes_max", Some("1MiB")),
    key("limits.messages_per_second_max", Some("0")),
    key("limits.drain_s_max", Some("20")),
    key("recovery.phantoms", Some("stop")),
    key("http.listen", Some("127.0.0.1:9464")),
    key("http.ready", Some("member")),
    key("http.token_file", Some("")),
    key("log.level", Some("info")),
    key("log.format", Some("json")),
];

/// The prefix of what is handed to librdkafka.
pub(super) const PROPERTIES: &str = "kafka.properties.";

/// Sections of sinks that other releases have.
pub(super) const OTHER_SINKS: [&str; 3] = ["rabbitmq", "rabbitmq_stream", "stdout"];

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Whether the value of a key may be shown.
pub(super) fn is_secret(name: &str) -> bool {
    const MARKS: [&str; 4] = ["password", "secret", "jaas", "key.pem"];
    find(name).is_some_and(|key| key.secret)
        || name.starts_with(PROPERTIES) && MARKS.iter().any(|mark| name.contains(mark))
}

/// The key that looks most like an unknown one, if any does.
pub(super) fn nearest(unknown: &str) -> Option<String> {
    KEYS.iter()
        .map(|key| (distance(unknown, key.name), key.name))
        .min()
        .filter(|(distance, name)| *distance <= name.len() / 3)
        .map(|(_, name)| name.to_owned())
}

/// How many characters must change to turn one text into the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (number, from) in a.chars().enumerate() {
        let mut diagonal = number;
        let mut left = number + 1;
        let mut next = vec![left];
        for (above, to) in row.iter().skip(1).zip(&b) {
            let cost = diagonal + usize::from(from != *to);
            left = cost.min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(nearest("relay.nmae").as_deref(), Some("relay.name"));
        assert_eq!(
            nearest("batch.message_max").as_deref(),
            Some("batch.messages_max")
        );
        assert_eq!(nearest("something.else"), None);
    }

    #[test]
    fn passwords_are_secret() {
        assert!(is_secret("kafka.properties.sasl.password"));
        assert!(is_secret("postgres.url"));
        assert!(!is_secret("kafka.properties.bootstrap.servers"));
    }
}
