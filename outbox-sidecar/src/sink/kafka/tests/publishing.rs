use std::collections::HashMap;
use std::time::SystemTime;

use outbox_core::Timestamp;
use outbox_core::sink::{Outcome, Sink};
use rdkafka::message::Message;

use super::broker;
use super::reading::{committed, committed_payloads, headers, uncommitted};
use super::support::{Relay, payloads, publish_surely};
use crate::sink::kafka::administration::partition_of;

#[test]
fn a_consumer_sees_every_field_of_the_row() {
    let broker = broker::shared();
    let relay = Relay::new(&broker);
    let mut sink = relay.sink();
    sink.acquire(1).unwrap();
    let mut batch = relay.batch(1, 2);
    batch.messages[0].row.headers = r#"{"tenant":"7","traceparent":"00-ab"}"#.into();
    batch.messages[0].row.created_at = Timestamp::from_unix_us(1_700_000_000_123_456);
    batch.messages[1].row.key = None;
    batch.messages[1].row.payload = None;
    publish_surely(&mut sink, &batch);

    let records = committed(&broker, &relay.topic);
    let first = records
        .iter()
        .find(|record| record.key().is_some())
        .unwrap();
    assert_eq!(first.key(), Some(&b"k0"[..]));
    assert_eq!(first.payload(), Some(&b"1.0"[..]));
    let id = batch.messages[0].row.id.to_string();
    let expected = [
        ("tenant", "7"),
        ("traceparent", "00-ab"),
        ("outbox-id", &id),
        ("outbox-type", "PolicyIssued"),
        ("content-type", "application/json"),
        ("outbox-position", "2:0/3E0:0"),
        ("outbox-created-at", "2023-11-14T22:13:20.123456Z"),
    ];
    assert_eq!(
        headers(first),
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    let age_ms =
        Timestamp::from(SystemTime::now()).as_unix_ms() - first.timestamp().to_millis().unwrap();
    assert!(
        (0..600_000).contains(&age_ms),
        "an old row has the present time: {age_ms}"
    );

    let second = records
        .iter()
        .find(|record| record.key().is_none())
        .unwrap();
    assert_eq!(second.payload(), None);
    let created_at = batch.messages[1].row.created_at;
    assert_eq!(
        second.timestamp().to_millis(),
        Some(created_at.as_unix_ms())
    );
}

#[test]
fn keys_lie_where_java_clients_put_them_and_keep_their_order() {
    let broker = broker::shared();
    let relay = Relay::new(&broker);
    let mut sink = relay.sink();
    sink.acquire(1).unwrap();
    for sequence in 1..=3 {
        publish_surely(&mut sink, &relay.batch(sequence, 500));
    }
    let mut last: HashMap<Vec<u8>, (u64, u64)> = HashMap::new();
    let records = committed(&broker, &relay.topic);
    assert_eq!(records.len(), 1500);
    for record in &records {
        let key = record.key().unwrap();
        assert_eq!(Some(record.partition()), partition_of(key, 3), "{key:?}");
        let text = String::from_utf8(record.payload().unwrap().to_vec()).unwrap();
        let (sequence, index) = text.split_once('.').unwrap();
        let place = (sequence.parse().unwrap(), index.parse().unwrap());
        if let Some(before) = last.insert(key.to_vec(), place) {
            assert!(before < place, "{before:?} before {place:?}");
        }
    }
}

#[test]
fn a_batch_larger_than_librdkafkas_queue_passes_through_it() {
    let broker = broker::shared();
    let mut relay = Relay::new(&broker);
    let limit = ("queue.buffering.max.messages".to_owned(), "2000".to_owned());
    relay.settings.properties.extend([limit]);
    let mut sink = relay.sink();
    sink.acquire(1).unwrap();
    publish_surely(&mut sink, &relay.batch(1, 10_000));
    assert_eq!(
        committed_payloads(&broker, &relay.topic),
        payloads(&[(1, 10_000)])
    );
}

#[test]
fn a_checkpoint_alone_moves_on() {
    let broker = broker::shared();
    let relay = Relay::new(&broker);
    let mut sink = relay.sink();
    sink.acquire(1).unwrap();
    publish_surely(&mut sink, &relay.batch(1, 0));
    assert_eq!(
        sink.acquire(1).unwrap().unwrap(),
        relay.sink().peek().unwrap().unwrap()
    );
    assert_eq!(sink.peek().unwrap().unwrap().sequence, 1);
    assert!(committed(&broker, &relay.topic).is_empty());
}

#[test]
fn what_was_rolled_back_is_never_visible() {
    let broker = broker::shared();
    let relay = Relay::new(&broker);
    let small = format!("{}-small", relay.topic);
    relay.create_topic(&small, 1, &[("max.message.bytes", "2000")]);
    let mut sink = relay.sink();
    sink.acquire(1).unwrap();
    let mut batch = relay.batch(1, 10);
    batch.messages[9].row.destination = small.as_str().into();
    batch.messages[9].row.payload = Some(vec![b'x'; 10_000].into());
    let poison = loop {
        match sink.publish(&batch) {
            Outcome::Poison(refusals) => break refusals,
            Outcome::Abort { .. } | Outcome::Retry { .. } => {}
            Outcome::Indefinite { .. } => drop(sink.acquire(1).unwrap()),
            outcome => panic!("{outcome:?}"),
        }
    };
    assert_eq!(poison.len(), 1);
    assert_eq!(poison[0].batch_index, 9);
    assert!(
        !uncommitted(&broker, &relay.topic).is_empty(),
        "nothing was sent"
    );
    assert!(committed(&broker, &relay.topic).is_empty());
    assert_eq!(sink.peek().unwrap().unwrap().sequence, 0);
    batch.messages.truncate(9);
    publish_surely(&mut sink, &batch);
    assert_eq!(
        committed_payloads(&broker, &relay.topic),
        payloads(&[(1, 9)])
    );
}
