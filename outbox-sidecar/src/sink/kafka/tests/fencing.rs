use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use outbox_core::sink::{Outcome, Sink};

use super::broker::{self, Broker};
use super::reading::committed_payloads;
use super::support::{Relay, SOON, payloads, publish_surely};

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

/// Another relay with the same topics.
fn neighbour(broker: &Broker, first: &Relay) -> Relay {
    let mut second = Relay::without_topics(broker);
    second
        .settings
        .checkpoint_topic
        .clone_from(&first.settings.checkpoint_topic);
    second.topic.clone_from(&first.topic);
    second
        .administration()
        .write_genesis(&second.checkpoint(0))
        .unwrap();
    second
}

#[test]
fn a_topic_that_never_rests_is_read_to_what_was_its_end() {
    const LOOKS: usize = 12;
    /// A look takes a few dozen of the others' transactions; waiting for a rest, it took thousands.
    const TRANSACTIONS_MAX: usize = LOOKS * 250;
    let broker = broker::shared();
    let quiet = Relay::new(&broker);
    let busy = [(); 2].map(|()| neighbour(&broker, &quiet));
    let (is_over, transactions) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (began, beginnings) = mpsc::channel();
    std::thread::scope(|scope| {
        for relay in &busy {
            let (is_over, transactions, began) = (&is_over, &transactions, began.clone());
            scope.spawn(move || {
                let mut sink = relay.sink();
                sink.acquire(1).unwrap();
                let mut sequence = 0;
                while !is_over.load(Ordering::Relaxed) {
                    sequence += 1;
                    publish_surely(&mut sink, &relay.batch(sequence, 1));
                    transactions.fetch_add(1, Ordering::Relaxed);
                    let _ = began.send(());
                }
            });
        }
        // They are at it.
        for _ in 0..20 {
            beginnings.recv_timeout(SOON).unwrap();
        }
        let relays = [&quiet, &busy[0], &busy[1]].into_iter().cycle();
        let looks: Vec<_> = relays
            .take(LOOKS)
            .map(|relay| relay.sink().peek())
            .collect();
        is_over.store(true, Ordering::Relaxed);
        let transactions = transactions.load(Ordering::Relaxed);
        println!("{transactions} transactions during {LOOKS} looks");
        assert!(transactions < TRANSACTIONS_MAX, "{transactions}");
        for look in looks {
            assert!(look.unwrap().is_some());
        }
    });
}

#[test]
fn two_relays_share_the_checkpoint_topic() {
    let broker = broker::shared();
    let first = Relay::new(&broker);
    let second = neighbour(&broker, &first);
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
