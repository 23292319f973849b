use std::time::Instant;

use outbox_core::sink::{AcquireError, Sink};

use super::broker;
use super::support::{Relay, SOON, publish_surely};
use crate::sink::kafka::checkpoint_topic::PARTITION;
use crate::sink::kafka::deliveries::{CONTROL, Settled};
use crate::sink::kafka::producer::{Producer, Record};
use crate::sink::kafka::properties::Properties;

fn write_record(relay: &Relay, payload: &[u8]) {
    let properties = Properties::new(&relay.settings).unwrap();
    let mut producer = Producer::start(&properties.plain_producer().unwrap()).unwrap();
    let record = Record {
        topic: &relay.settings.checkpoint_topic,
        partition: Some(PARTITION),
        key: Some(relay.settings.relay.as_bytes()),
        payload: Some(payload),
        headers: None,
        timestamp_ms: None,
        tag: CONTROL,
    };
    assert!(producer.send(record).is_ok());
    let settled = producer.wait(0, Instant::now() + SOON);
    assert!(matches!(settled, Ok(Settled::All)));
}

#[test]
fn a_corrupt_record_is_named_and_nothing_goes_on() {
    let broker = broker::shared();
    let relay = Relay::new(&broker);
    write_record(&relay, b"{\"checksum\":\"0\"}");
    for error in [relay.sink().peek(), relay.sink().acquire(1)].map(Result::unwrap_err) {
        let AcquireError::CheckpointCorrupt(text) = &error else {
            panic!("{error:?}");
        };
        let place = format!(
            "topic {} partition 0 offset 1",
            relay.settings.checkpoint_topic
        );
        assert!(text.starts_with(&place), "{text}");
        assert!(text.contains("not a checkpoint"), "{text}");
    }
}

#[test]
fn another_relays_checkpoint_under_this_key_is_corrupt() {
    let broker = broker::shared();
    let relay = Relay::new(&broker);
    let mut foreign = relay.checkpoint(1);
    foreign.relay = "stranger".into();
    write_record(&relay, &foreign.encode());
    let error = relay.sink().acquire(1).unwrap_err();
    assert!(matches!(&error, AcquireError::CheckpointCorrupt(text) if text.contains("stranger")));
}

#[test]
fn a_sequence_that_steps_back_shows_two_writers() {
    let broker = broker::shared();
    let relay = Relay::new(&broker);
    write_record(&relay, &relay.checkpoint(4).encode());
    write_record(&relay, &relay.checkpoint(4).encode());
    let error = relay.sink().acquire(1).unwrap_err();
    assert!(
        matches!(&error, AcquireError::TwoWriters(text) if text.contains("offset 2")),
        "{error}"
    );
}

#[test]
fn a_missing_topic_is_not_an_empty_one() {
    let broker = broker::shared();
    let relay = Relay::without_topics(&broker);
    for error in [relay.sink().peek(), relay.sink().acquire(1)].map(Result::unwrap_err) {
        let named = matches!(&error, AcquireError::CheckpointMissing(text)
            if text.contains(&relay.settings.checkpoint_topic));
        assert!(named, "{error:?}");
    }
    assert!(relay.administration().create_checkpoint_topic().unwrap());
    assert_eq!(relay.sink().peek(), Ok(None));
    assert_eq!(relay.sink().acquire(1), Ok(None));
}

#[test]
fn a_topic_of_several_partitions_has_no_order_and_is_refused() {
    let broker = broker::shared();
    let relay = Relay::without_topics(&broker);
    relay.create_topic(&relay.settings.checkpoint_topic, 2, &[]);
    let error = relay.sink().acquire(1).unwrap_err();
    assert!(
        matches!(&error, AcquireError::Fatal(text) if text.contains("2 partitions")),
        "{error}"
    );
}

#[test]
fn the_topic_is_made_as_it_must_be_and_only_once() {
    let broker = broker::shared();
    let relay = Relay::without_topics(&broker);
    let administration = relay.administration();
    assert_eq!(administration.describe_checkpoint_topic(), Ok(None));
    assert_eq!(administration.create_checkpoint_topic(), Ok(true));
    assert_eq!(administration.create_checkpoint_topic(), Ok(false));
    let topic = administration.describe_checkpoint_topic().unwrap().unwrap();
    assert_eq!(topic.partitions, 1);
    assert_eq!(topic.replication_factor, 1);
    assert_eq!(topic.cleanup_policy.as_deref(), Some("compact"));
    assert_eq!(topic.min_insync_replicas, Some(1));
    assert_eq!(administration.topic_exists(&relay.topic), Ok(false));
    let summary = administration.broker_summary().unwrap();
    assert_eq!(summary.brokers.len(), 1);
    assert!(summary.cluster_id.is_some());
}

#[test]
fn a_removed_relay_has_no_checkpoint_and_may_begin_again() {
    let broker = broker::shared();
    let relay = Relay::new(&broker);
    let mut sink = relay.sink();
    sink.acquire(1).unwrap();
    publish_surely(&mut sink, &relay.batch(1, 1));
    relay.administration().tombstone().unwrap();
    assert_eq!(sink.acquire(1), Ok(None));
    relay
        .administration()
        .write_genesis(&relay.checkpoint(0))
        .unwrap();
    assert_eq!(sink.acquire(1).unwrap().unwrap().sequence, 0);
}

#[test]
fn a_second_genesis_disturbs_neither_the_first_nor_a_running_relay() {
    let broker = broker::shared();
    let relay = Relay::new(&broker);
    let mut sink = relay.sink();
    sink.acquire(1).unwrap();
    relay
        .administration()
        .write_genesis(&relay.checkpoint(0))
        .unwrap();
    publish_surely(&mut sink, &relay.batch(1, 1));
    assert_eq!(sink.acquire(1).unwrap().unwrap().sequence, 1);
}
