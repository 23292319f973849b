//! Requests that reach the broker late, after librdkafka has repeated them.

use std::time::Instant;

use outbox_core::sink::{Batch, Outcome, Sink};
use testbed::proxy::KafkaProxy;
use testbed::proxy::kafka::{Action, Fault, Injected, RequestKind, Until};

use super::broker::{self, Broker, settled};
use super::reading::committed_payloads;
use super::support::{Relay, SOON, payloads, publish_surely};
use crate::sink::kafka::KafkaSink;

/// The broker's answers to a request of a producer that another one has replaced.
const FENCED: [Option<i16>; 2] = [Some(47), Some(90)];

/// A relay that reaches the broker through the proxy, and gives a request up after a second.
fn relay(broker: &Broker, proxy: &KafkaProxy) -> Relay {
    let mut relay = Relay::new(broker);
    let properties = [
        ("bootstrap.servers", proxy.address()),
        ("socket.timeout.ms", "1000".to_owned()),
    ];
    let properties = properties.map(|(name, value)| (name.to_owned(), value));
    relay.settings.properties.extend(properties);
    relay
}

/// Such a relay with the right to publish, after its first batch of four.
fn begun(broker: &Broker, proxy: &KafkaProxy) -> (Relay, KafkaSink) {
    let relay = relay(broker, proxy);
    let mut sink = relay.sink();
    sink.acquire(1).unwrap();
    publish_surely(&mut sink, &relay.batch(1, 4));
    (relay, sink)
}

/// What was held came in the midst of a later transaction, and the broker refused it.
fn was_refused(held: &Injected) {
    let late = settled(held);
    assert!(late.in_later_transaction, "{late:?}");
    assert!(FENCED.contains(&late.error_code), "{late:?}");
}

fn inject(proxy: &KafkaProxy, relay: &Relay, kind: RequestKind, action: Action) -> Injected {
    proxy.inject(Fault {
        transactional_id: relay.settings.transactional_id(),
        kind,
        occurrence: 1,
        action,
    })
}

/// Goes the way of a relay while nothing is durable and nobody to blame: what the sink says then.
fn conclusion(sink: &mut KafkaSink, batch: &Batch) -> Outcome {
    let deadline = Instant::now() + SOON;
    while Instant::now() < deadline {
        match sink.publish(batch) {
            Outcome::Retry { .. } | Outcome::Ongoing { .. } | Outcome::Abort { .. } => {}
            outcome => return outcome,
        }
    }
    panic!("no conclusion within {SOON:?}");
}

/// The second batch: four messages, and a fifth that the broker refuses.
fn with_a_refused_one(relay: &Relay) -> Batch {
    let small = format!("{}-small", relay.topic);
    relay.create_topic(&small, 1, &[("max.message.bytes", "1000")]);
    let mut batch = relay.batch(2, 5);
    batch.messages[4].row.destination = small.into();
    batch.messages[4].row.payload = Some(vec![0; 2000].into());
    batch
}

/// Publishes the second batch until the sink knows whom the broker refuses.
fn give_up_the_refused_one(sink: &mut KafkaSink, batch: &Batch) {
    let deadline = Instant::now() + SOON;
    while Instant::now() < deadline {
        match conclusion(sink, batch) {
            Outcome::Poison(refusals) => {
                let refused: Vec<_> = refusals.iter().map(|found| found.batch_index).collect();
                assert_eq!(refused, [4]);
                return;
            }
            Outcome::Indefinite { .. } => {
                assert_eq!(sink.acquire(1).unwrap().unwrap().sequence, 1);
            }
            outcome => panic!("{outcome:?}"),
        }
    }
    panic!("nothing was refused within {SOON:?}");
}

#[test]
fn a_commit_that_arrives_late_meets_another_producer_and_tears_nothing() {
    let (broker, proxy) = broker::behind_proxy();
    // Before the barrier's record, before the first message behind it, and among those.
    for produced in [1, 2, 4] {
        let (relay, mut sink) = begun(&broker, &proxy);
        let until = Until::Before(RequestKind::Produce, produced);
        let held = inject(&proxy, &relay, RequestKind::Commit, Action::Hold(until));
        let outcome = conclusion(&mut sink, &relay.batch(2, 4));
        assert!(matches!(outcome, Outcome::Indefinite { .. }), "{outcome:?}");
        assert!(held.has_struck());
        // The repeated request was carried out.
        assert_eq!(sink.acquire(1).unwrap().unwrap().sequence, 2);
        publish_surely(&mut sink, &relay.batch(3, 20));
        was_refused(&held);
        assert_eq!(
            committed_payloads(&broker, &relay.topic),
            payloads(&[(1, 4), (2, 4), (3, 20)])
        );
    }
}

#[test]
fn an_abort_that_arrives_late_meets_another_producer_and_takes_nothing_away() {
    let (broker, proxy) = broker::behind_proxy();
    for produced in [1, 2, 4] {
        let (relay, mut sink) = begun(&broker, &proxy);
        let mut batch = with_a_refused_one(&relay);
        let until = Until::Before(RequestKind::Produce, produced);
        let held = inject(&proxy, &relay, RequestKind::Abort, Action::Hold(until));
        let outcome = conclusion(&mut sink, &batch);
        assert!(matches!(outcome, Outcome::Indefinite { .. }), "{outcome:?}");
        assert!(held.has_struck());
        assert_eq!(sink.acquire(1).unwrap().unwrap().sequence, 1);
        give_up_the_refused_one(&mut sink, &batch);
        batch.messages.truncate(4);
        publish_surely(&mut sink, &batch);
        publish_surely(&mut sink, &relay.batch(3, 20));
        was_refused(&held);
        assert_eq!(
            committed_payloads(&broker, &relay.topic),
            payloads(&[(1, 4), (2, 4), (3, 20)])
        );
    }
}

/// The request that gives a producer its epoch can be late as well: it fences whoever came after.
#[test]
fn an_earlier_producers_beginning_that_arrives_late_costs_a_new_producer_and_nothing_else() {
    let (broker, proxy) = broker::behind_proxy();
    for produced in [2, 3] {
        let (relay, mut sink) = begun(&broker, &proxy);
        let until = Until::Before(RequestKind::Produce, produced);
        let held = inject(
            &proxy,
            &relay,
            RequestKind::InitProducerId,
            Action::Hold(until),
        );
        let deadline = Instant::now() + SOON;
        while let Err(error) = sink.acquire(1) {
            assert!(Instant::now() < deadline, "{error}");
        }
        assert!(held.has_struck());
        let stayed = publish_surely(&mut sink, &relay.batch(2, 20));
        assert!(!stayed);
        let late = settled(&held);
        assert!(late.in_later_transaction, "{late:?}");
        publish_surely(&mut sink, &relay.batch(3, 4));
        assert_eq!(
            committed_payloads(&broker, &relay.topic),
            payloads(&[(1, 4), (2, 20), (3, 4)])
        );
    }
}

#[test]
fn what_a_rolled_back_batch_has_sent_and_comes_late_is_seen_by_nobody() {
    let (broker, proxy) = broker::behind_proxy();
    for kind in [RequestKind::Produce, RequestKind::AddPartitions] {
        for produced in [1, 5, 10] {
            let (relay, mut sink) = begun(&broker, &proxy);
            let mut batch = with_a_refused_one(&relay);
            let until = Until::Before(RequestKind::Produce, produced);
            let held = inject(&proxy, &relay, kind, Action::Hold(until));
            give_up_the_refused_one(&mut sink, &batch);
            batch.messages.truncate(4);
            publish_surely(&mut sink, &batch);
            let mut published = vec![(1, 4), (2, 4)];
            // Enough records for the moment to come, and then as many again.
            for sequence in 3..9 {
                publish_surely(&mut sink, &relay.batch(sequence, 20));
                published.push((sequence, 20));
            }
            settled(&held);
            assert_eq!(
                committed_payloads(&broker, &relay.topic),
                payloads(&published)
            );
        }
    }
}
