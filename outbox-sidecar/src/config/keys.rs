use super::origin::Raw;

/// A key of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// Its section and name, with a dot between.
    pub(super) name: &'static str,
    /// What its value is.
    pub(super) kind: Kind,
    /// Its default as text; `None` where there is none.
    pub(super) default: Option<&'static str>,
    /// Whether its value may hold a secret.
    pub(super) secret: bool,
}

/// What a value is. The environment and flags can only say it as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text, and sizes such as `8MiB`.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A list of texts; as text, with commas between.
    List,
}

impl Kind {
    /// The value that a text means; what cannot be read stays as written, for the error.
    pub(super) fn read(self, text: String) -> Raw {
        let read = match self {
            Self::Text => None,
            Self::Number => text.trim().parse().ok().map(Raw::Integer),
            Self::Boolean => text.trim().parse().ok().map(Raw::Boolean),
            Self::List => Some(Raw::List(
                text.split(',').map(|part| part.trim().to_owned()).collect(),
            )),
        };
        read.unwrap_or(Raw::Text(text))
    }
}

const fn key(name: &'static str, kind: Kind, default: Option<&'static str>) -> Key {
    Key {
        name,
        kind,
        default,
        secret: false,
    }
}

/// Every key but those of `kafka.properties`, which are librdkafka's.
pub(super) const KEYS: &[Key] = &[
    key("relay.name", Kind::Text, None),
    key("relay.destinations", Kind::List, Some("*")),
    key("relay.shard", Kind::Text, Some("0/1")),
    Key {
        name: "postgres.url",
        kind: Kind::Text,
        default: None,
        secret: true,
    },
    key("postgres.url_file", Kind::Text, None),
    key("postgres.password_file", Kind::Text, None),
    key("postgres.schema", Kind::Text, Some("outbox")),
    key("postgres.failover_slot", Kind::Boolean, Some("true")),
    key("kafka.delivery", Kind::Text, Some("exactly-once")),
    key(
        "kafka.checkpoint_topic",
        Kind::Text,
        Some("outbox-checkpoints"),
    ),
    key("kafka.password_file", Kind::Text, None),
    key("kafka.create_topics", Kind::Boolean, Some("false")),
    key("kafka.partitions", Kind::Number, Some("6")),
    key("kafka.replication_factor", Kind::Number, Some("3")),
    Key {
        name: "rabbitmq.url",
        kind: Kind::Text,
        default: None,
        secret: true,
    },
    Key {
        name: "rabbitmq.urls",
        kind: Kind::List,
        default: None,
        secret: true,
    },
    key("rabbitmq.url_file", Kind::Text, None),
    key("rabbitmq.unconfirmed_max", Kind::Number, Some("1000")),
    key("rabbitmq.create_queues", Kind::Boolean, Some("false")),
    key("rabbitmq.heartbeat_s", Kind::Number, Some("10")),
    Key {
        name: "rabbitmq_stream.url",
        kind: Kind::Text,
        default: None,
        secret: true,
    },
    Key {
        name: "rabbitmq_stream.urls",
        kind: Kind::List,
        default: None,
        secret: true,
    },
    key("rabbitmq_stream.url_file", Kind::Text, None),
    key(
        "rabbitmq_stream.checkpoint_stream",
        Kind::Text,
        Some("outbox-checkpoints"),
    ),
    key(
        "rabbitmq_stream.unconfirmed_max",
        Kind::Number,
        Some("1000"),
    ),
    key(
        "rabbitmq_stream.create_streams",
        Kind::Boolean,
        Some("false"),
    ),
    key("rabbitmq_stream.heartbeat_s", Kind::Number, Some("10")),
    key("stuck.policy", Kind::Text, Some("park-key")),
    key("stuck.gone_after", Kind::Number, Some("20")),
    key("stuck.gone_messages_max", Kind::Number, Some("1000000")),
    key("batch.messages_max", Kind::Number, Some("10000")),
    key("batch.bytes_max", Kind::Text, Some("8MiB")),
    key("batch.transaction_ms_max", Kind::Number, Some("5000")),
    key("retry.delay_ms_min", Kind::Number, Some("50")),
    key("retry.delay_ms_max", Kind::Number, Some("30000")),
    key("limits.buffer_bytes_max", Kind::Text, Some("16MiB")),
    key("limits.message_bytes_max", Kind::Text, Some("1MiB")),
    key("limits.messages_per_second_max", Kind::Number, Some("0")),
    key("limits.drain_s_max", Kind::Number, Some("20")),
    key("recovery.phantoms", Kind::Text, Some("stop")),
    key("http.listen", Kind::Text, Some("127.0.0.1:9464")),
    key("http.ready", Kind::Text, Some("member")),
    key("http.token_file", Kind::Text, Some("")),
    key("log.level", Kind::Text, Some("info")),
    key("log.format", Kind::Text, Some("json")),
];

/// The prefix of what is handed to librdkafka.
pub(super) const PROPERTIES: &str = "kafka.properties.";

/// The prefix of a route's fields, before its number.
pub(super) const ROUTES: &str = "rabbitmq.routes.";

/// The sections of sinks.
pub(super) const SINKS: [&str; 4] = ["kafka", "rabbitmq", "rabbitmq_stream", "stdout"];

/// The number and the name of a route's field, such as `0.exchange`.
pub(super) fn route_field(rest: &str) -> Option<(usize, &str)> {
    let (number, name) = rest.split_once('.')?;
    let known = ["destination", "exchange", "routing_key"].contains(&name);
    Some((number.parse().ok()?, name)).filter(|_| known)
}

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Whether some key lies in this section.
pub(super) fn is_section(name: &str) -> bool {
    let begins = |key: &str| {
        key.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('.'))
    };
    ["kafka.properties", "stdout"].contains(&name) || KEYS.iter().any(|key| begins(key.name))
}

/// Whether the value of a key may be shown.
pub(super) fn is_secret(name: &str) -> bool {
    const MARKS: [&str; 5] = [
        "password",
        "secret",
        "jaas",
        "oauthbearer.config",
        "key.pem",
    ];
    find(name).is_some_and(|key| key.secret)
        || name.starts_with(PROPERTIES) && MARKS.iter().any(|mark| name.contains(mark))
}

/// What somebody who wrote an unknown key may have meant, or could write there.
pub(super) fn advice(unknown: &str) -> String {
    if let Some(nearest) = nearest(unknown) {
        return format!("did you mean {nearest}?");
    }
    let (section, name) = unknown.split_once('.').unwrap_or((unknown, ""));
    if section == "kafka" && name.contains('.') {
        return format!("what is meant for librdkafka is written as {PROPERTIES}{name}");
    }
    if section == "stdout" {
        return "stdout has no keys".to_owned();
    }
    if is_section(section) && !name.is_empty() {
        return format!("{section} has {}", names_in(section).join(", "));
    }
    format!("the sections are {}", sections().join(", "))
}

/// The key that looks most like an unknown one, or has its name in another section.
fn nearest(unknown: &str) -> Option<&'static str> {
    let elsewhere = |key: &&Key| {
        unknown.split_once('.').is_some_and(|(_, name)| {
            key.name
                .split_once('.')
                .is_some_and(|(_, other)| other == name)
        })
    };
    KEYS.iter()
        .map(|key| (distance(unknown, key.name), key.name))
        .min()
        .filter(|(distance, name)| *distance <= name.len() / 4)
        .map(|(_, name)| name)
        .or_else(|| KEYS.iter().find(elsewhere).map(|key| key.name))
}

fn names_in(section: &str) -> Vec<&'static str> {
    let mut names: Vec<_> = KEYS
        .iter()
        .filter_map(|key| key.name.split_once('.'))
        .filter(|(of, _)| *of == section)
        .map(|(_, name)| name)
        .collect();
    match section {
        "kafka" => names.push("properties"),
        "rabbitmq" => names.push("routes"),
        _ => {}
    }
    names
}

fn sections() -> Vec<&'static str> {
    let mut sections: Vec<_> = KEYS
        .iter()
        .filter_map(|key| key.name.split_once('.'))
        .map(|(section, _)| section)
        .collect();
    sections.dedup();
    sections
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
        assert_eq!(advice("relay.nmae"), "did you mean relay.name?");
        assert_eq!(
            advice("batch.message_max"),
            "did you mean batch.messages_max?"
        );
        assert_eq!(advice("relay.schema"), "did you mean postgres.schema?");
    }

    #[test]
    fn otherwise_the_advice_says_what_there_is() {
        assert_eq!(advice("log.colour"), "log has level, format");
        assert_eq!(
            advice("kafka.bootstrap.servers"),
            "what is meant for librdkafka is written as kafka.properties.bootstrap.servers"
        );
        let sections = "the sections are relay, postgres, kafka, rabbitmq, rabbitmq_stream, \
                        stuck, batch, retry, limits, recovery, http, log";
        assert_eq!(advice("something.else"), sections);
        assert_eq!(advice("something"), sections);
    }

    #[test]
    fn every_default_is_of_its_kind() {
        for key in KEYS {
            let Some(default) = key.default else { continue };
            let read = key.kind.read(default.to_owned());
            let is_text = matches!(read, Raw::Text(_));
            assert_eq!(is_text, key.kind == Kind::Text, "{}", key.name);
        }
    }

    #[test]
    fn passwords_are_secret() {
        assert!(is_secret("kafka.properties.sasl.password"));
        assert!(is_secret("postgres.url"));
        assert!(!is_secret("kafka.properties.bootstrap.servers"));
    }
}
