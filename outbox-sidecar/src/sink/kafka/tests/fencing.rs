use outbox_core::sink::{Outcome, Sink};

use super::broker;
use super::reading::committed_payloads;
use super::support::{Relay, payloads, publish_surely};

#[test]
fn a_new_holder_fences_the_old_one_and_nothing_of_it_is_seen() {
    let broker = broker::shared();
    let relay = Relay::new(&broker);
    let (mut old, mut new) = (relay.sink(), relay.sink());
    assert_eq!(old.acquire(1).unwrap().unwrap().sequence, 0);
    publish_surely(&mut old, &relay.batch(1, 10));

    assert_eq!(new.acquire(1).unwrap().unwrap().sequence, 1);
    let outcome = old.publish(&relay.batch(2, 7));
    assert!(matches!(outcome, Outcome::Fenced { .. }), "{outcome:?}");
    let outcome = old.publish(&relay.batch(2, 7));
    assert!(matches!(outcome, Outcome::Indefinite { .. }), "{outcome:?}");

    publish_surely(&mut new, &relay.batch(2, 5));
    assert_eq!(
        committed_payloads(&broker, &relay.topic),
        payloads(&[(1, 10), (2, 5)])
    );
}

#[test]
fn looking_at_the_checkpoint_disturbs_nobody() {
    let broker = broker::shared();
    let relay = Relay::new(&broker);
    let mut active = relay.sink();
    active.acquire(1).unwrap();
    for sequence in 1..=3 {
        publish_surely(&mut active, &relay.batch(sequence, 3));
        let mut onlooker = relay.sink();
        assert_eq!(onlooker.peek().unwrap().unwrap().sequence, sequence);
    }
    assert!(matches!(
        active.publish(&relay.batch(4, 1)),
        Outcome::Durable | Outcome::Indefinite { .. }
    ));
}

#[test]
fn two_relays_share_the_checkpoint_topic() {
    let broker = broker::shared();
    let first = Relay::new(&broker);
    let mut second = Relay::without_topics(&broker);
    second
        .settings
        .checkpoint_topic
        .clone_from(&first.settings.checkpoint_topic);
    second.topic.clone_from(&first.topic);
    second
        .administration()
        .write_genesis(&second.checkpoint(0))
        .unwrap();
    let (mut one, mut two) = (first.sink(), second.sink());
    one.acquire(1).unwrap();
    two.acquire(1).unwrap();
    publish_surely(&mut one, &first.batch(1, 1));
    publish_surely(&mut two, &second.batch(1, 1));
    publish_surely(&mut one, &first.batch(2, 1));
    assert_eq!(
        one.acquire(1).unwrap().unwrap(),
        first.sink().peek().unwrap().unwrap()
    );
    assert_eq!(one.peek().unwrap().unwrap().sequence, 2);
    assert_eq!(two.acquire(1).unwrap().unwrap().sequence, 1);
}

#[test]
fn releasing_leaves_the_checkpoint_to_the_next() {
    let broker = broker::shared();
    let relay = Relay::new(&broker);
    let mut sink = relay.sink();
    sink.acquire(1).unwrap();
    publish_surely(&mut sink, &relay.batch(1, 3));
    sink.release();
    assert!(matches!(
        sink.publish(&relay.batch(2, 1)),
        Outcome::Indefinite { .. }
    ));
    assert_eq!(sink.acquire(1).unwrap().unwrap().sequence, 1);
    publish_surely(&mut sink, &relay.batch(2, 3));
    assert_eq!(
        committed_payloads(&broker, &relay.topic),
        payloads(&[(1, 3), (2, 3)])
    );
}
