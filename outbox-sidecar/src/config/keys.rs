//! Every key but those of `kafka.properties`, which are librdkafka's.

mod limits;
mod sinks;
mod source;
mod watching;

use super::key::Key;
use super::mask::is_secret_key;

/// The keys, in the order in which they are shown.
pub(super) fn all() -> impl Iterator<Item = &'static Key> {
    [source::KEYS, sinks::KEYS, limits::KEYS, watching::KEYS]
        .into_iter()
        .flatten()
}

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
    all().find(|key| key.name == name)
}

/// Whether some key lies in this section.
pub(super) fn is_section(name: &str) -> bool {
    let begins = |key: &str| {
        key.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('.'))
    };
    ["kafka.properties", "stdout"].contains(&name) || all().any(|key| begins(key.name))
}

/// Whether the value of a key may not be shown.
pub(super) fn is_secret(name: &str) -> bool {
    find(name).is_some_and(|key| key.secret) || is_secret_key(name)
}

#[cfg(test)]
mod tests {
    use super::super::key::{Allowed, Kind};
    use super::super::origin::Raw;
    use super::*;

    #[test]
    fn every_default_is_of_its_kind() {
        for key in all() {
            let Some(default) = key.default else { continue };
            let read = key.kind.read(default.to_owned());
            let is_text = matches!(read, Raw::Text(_));
            assert_eq!(is_text, key.kind == Kind::Text, "{}", key.name);
        }
    }

    #[test]
    fn every_key_has_a_meaning_and_says_what_it_may_be() {
        for key in all() {
            assert!(!key.meaning.is_empty(), "{}", key.name);
            assert!(!key.allowed.expected().is_empty(), "{}", key.name);
            let is_number = matches!(key.allowed, Allowed::Numbers { .. });
            let is_later = matches!(key.allowed, Allowed::OnlyDefault { .. });
            assert_eq!(
                is_number,
                key.kind == Kind::Number && !is_later,
                "{}",
                key.name
            );
        }
    }

    #[test]
    fn passwords_are_secret() {
        assert!(is_secret("kafka.properties.sasl.password"));
        assert!(is_secret("postgres.url"));
        assert!(!is_secret("kafka.properties.bootstrap.servers"));
    }
}
