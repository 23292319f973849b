//! Checkpoints that stand behind an open transaction: nobody takes them for gone.

use std::time::{Duration, Instant};

use outbox_core::sink::{AcquireError, Outcome, Sink};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::broker::{self, Broker};
use super::support::{Relay, SOON, publish_surely};
use crate::sink::kafka::KafkaSink;

/// Begins a transaction under this id with a record of this key in the topic of checkpoints.
fn open_transaction(
    broker: &Broker,
    relay: &Relay,
    id: &str,
    key: &str,
    payload: &[u8],
) -> BaseProducer {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", broker.bootstrap())
        .set("transactional.id", id)
        .set("transaction.timeout.ms", "60000");
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(SOON).unwrap();
    producer.begin_transaction().unwrap();
    let record = BaseRecord::to(&relay.settings.checkpoint_topic);
    producer.send(record.key(key).payload(payload)).unwrap();
    producer.flush(SOON).unwrap();
    producer
}

fn stranger(broker: &Broker, relay: &Relay) -> BaseProducer {
    let id = format!("stranger-of-{}", relay.settings.relay);
    open_transaction(broker, relay, &id, "stranger", b"not ours")
}

/// What a look at the checkpoint waits for.
fn awaited(sink: &mut KafkaSink) -> String {
    match sink.peek() {
        Err(AcquireError::Unavailable(text)) => text,
        other => panic!("{other:?}"),
    }
}

/// The sequence of the checkpoint, once it is seen.
fn seen(sink: &mut KafkaSink) -> Option<u64> {
    let deadline = Instant::now() + SOON;
    loop {
        match sink.peek() {
            Ok(found) => return found.map(|found| found.sequence),
            Err(AcquireError::Unavailable(text)) => assert!(Instant::now() < deadline, "{text}"),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_first_checkpoint_behind_an_open_transaction_is_waited_for() {
    let broker = broker::shared();
    let relay = Relay::without_genesis(&broker);
    let stranger = stranger(&broker, &relay);
    let mut sink = relay.sink();
    assert_eq!(sink.peek(), Ok(None), "nothing of ours is hidden");
    relay
        .administration()
        .write_genesis(&relay.checkpoint(0))
        .unwrap();
    let text = awaited(&mut sink);
    for part in [
        "an open transaction of another in the topic of checkpoints",
        "offset 0",
        "\"stranger\"",
        relay.settings.checkpoint_topic.as_str(),
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    stranger.abort_transaction(SOON).unwrap();
    assert_eq!(seen(&mut sink), Some(0));
}

/// What said before that the end was reached counts no more.
#[test]
fn a_first_checkpoint_is_seen_when_the_transaction_before_it_ends_during_the_look() {
    let broker = broker::shared();
    for delay_ms in (0..1000).step_by(150) {
        let relay = Relay::without_genesis(&broker);
        let stranger = stranger(&broker, &relay);
        relay
            .administration()
            .write_genesis(&relay.checkpoint(0))
            .unwrap();
        let ending = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(delay_ms));
            stranger.abort_transaction(SOON).unwrap();
        });
        assert_eq!(seen(&mut relay.sink()), Some(0), "after {delay_ms} ms");
        ending.join().unwrap();
    }
}

#[test]
fn an_older_checkpoint_does_not_pass_for_the_newest_behind_an_open_transaction() {
    let broker = broker::shared();
    let relay = Relay::new(&broker);
    let mut active = relay.sink();
    active.acquire(1).unwrap();
    publish_surely(&mut active, &relay.batch(1, 1));
    let stranger = stranger(&broker, &relay);
    let mut onlooker = relay.sink();
    assert_eq!(seen(&mut onlooker), Some(1), "nothing of ours is hidden");
    let outcome = active.publish(&relay.batch(2, 1));
    assert!(
        matches!(outcome, Outcome::Durable | Outcome::Indefinite { .. }),
        "{outcome:?}"
    );
    let text = awaited(&mut onlooker);
    assert!(text.contains("an open transaction of another"), "{text}");
    stranger.commit_transaction(SOON).unwrap();
    assert_eq!(seen(&mut onlooker), Some(2));
}

#[test]
fn a_relay_that_died_before_its_commit_holds_up_no_look_at_its_checkpoint() {
    let broker = broker::shared();
    let relay = Relay::new(&broker);
    let (id, key) = (relay.settings.transactional_id(), &relay.settings.relay);
    let next = relay.checkpoint(1).encode();
    let _dead = open_transaction(&broker, &relay, &id, key, &next);
    let mut sink = relay.sink();
    assert_eq!(sink.peek().unwrap().unwrap().sequence, 0);
    assert_eq!(sink.acquire(1).unwrap().unwrap().sequence, 0);
    publish_surely(&mut sink, &relay.batch(1, 1));
}

#[test]
fn a_life_that_began_behind_an_open_transaction_of_the_one_before_is_waited_for() {
    let broker = broker::shared();
    let relay = Relay::new(&broker);
    let (id, key) = (relay.settings.transactional_id(), &relay.settings.relay);
    let next = relay.checkpoint(7).encode();
    let dead = open_transaction(&broker, &relay, &id, key, &next);
    let mut administration = relay.administration();
    administration.tombstone().unwrap();
    let mut sink = relay.sink();
    awaited(&mut sink);
    administration.write_genesis(&relay.checkpoint(0)).unwrap();
    awaited(&mut sink);
    dead.abort_transaction(SOON).unwrap();
    assert_eq!(seen(&mut sink), Some(0));
}
