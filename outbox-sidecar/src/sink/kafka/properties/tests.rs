use super::written::ALIASES;
use super::*;

fn with(properties: &[(&str, &str)]) -> Result<Properties, KafkaSettingsError> {
    let pairs = properties
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()));
    Properties::new(&KafkaSettings {
        relay: "policy".into(),
        properties: pairs
            .chain([("bootstrap.servers".into(), "localhost:1".into())])
            .collect(),
        password_file: None,
        checkpoint_topic: "outbox-checkpoints".into(),
        create_topics: false,
        partitions: 6,
        replication_factor: 3,
        message_bytes_max: 1024 * 1024,
    })
}

fn refusal(property: &str, value: &str) -> String {
    let error = with(&[(property, value)]).err();
    error
        .unwrap_or_else(|| panic!("{property}={value} was accepted"))
        .to_string()
}

#[test]
fn what_would_break_the_guarantee_is_refused_by_name() {
    for (property, value) in [
        ("enable.idempotence", "false"),
        ("acks", "1"),
        ("request.required.acks", "0"),
        ("transactional.id", "mine"),
        ("max.in.flight", "6"),
        ("max.in.flight.requests.per.connection", "0"),
        ("isolation.level", "read_uncommitted"),
        ("group.id", "g"),
        ("enable.auto.commit", "true"),
        ("auto.commit.enable", "true"),
        ("allow.auto.create.topics", "true"),
        ("delivery.report.only.error", "true"),
        ("message.timeout.ms", "30000"),
        ("delivery.timeout.ms", "0"),
        ("transaction.timeout.ms", "900001"),
        ("socket.timeout.ms", "59000"),
        ("retries", "0"),
        ("partitioner", "random"),
        ("statistics.interval.ms", "0"),
        ("log_level", "0"),
        ("queuing.strategy", "lifo"),
    ] {
        let text = refusal(property, value);
        let canonical = ALIASES.iter().find(|(alias, _)| *alias == property);
        let named =
            text.contains(property) || canonical.is_some_and(|(_, name)| text.contains(name));
        assert!(named, "{property}: {text}");
    }
}

#[test]
fn an_unknown_property_is_named_and_its_value_is_not() {
    assert!(refusal("bootstrap.server", "secret").contains("bootstrap.server"));
    let text = refusal("security.protocol", "hunter2");
    assert!(text.contains("security.protocol"), "{text}");
}

#[test]
fn one_property_under_two_names_is_refused() {
    let error = with(&[("linger.ms", "1"), ("queue.buffering.max.ms", "2")]).err();
    assert!(error.unwrap().to_string().contains("linger.ms"));
}

#[test]
fn the_users_own_values_win_over_our_defaults() {
    let properties = with(&[("queue.buffering.max.ms", "7"), ("compression.type", "lz4")]).unwrap();
    let config = properties.plain_producer().unwrap();
    assert_eq!(config.get("linger.ms"), Some("7"));
    assert_eq!(config.get("compression.type"), Some("lz4"));
    assert_eq!(config.get("partitioner"), Some("murmur2_random"));
}

#[test]
fn time_outs_shrink_with_the_transactions_own() {
    let properties = with(&[("transaction.timeout.ms", "3000")]).unwrap();
    let config = properties.plain_producer().unwrap();
    assert_eq!(config.get("message.timeout.ms"), Some("2000"));
    assert_eq!(config.get("socket.timeout.ms"), Some("1000"));
    assert_eq!(properties.transaction_timeout(), Duration::from_secs(3));
}

#[test]
fn a_slow_brokers_limit_grows_and_ends() {
    let mut properties = with(&[]).unwrap();
    assert_eq!(properties.suspicious_after(), Duration::from_millis(50));
    assert!(properties.slower());
    assert_eq!(properties.suspicious_after(), Duration::from_millis(100));
    while properties.slower() {}
    assert_eq!(properties.suspicious_after(), Duration::from_millis(1600));
}
