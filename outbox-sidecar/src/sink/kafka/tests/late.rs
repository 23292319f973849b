//! Requests that reach the broker late, after librdkafka has repeated them.

use std::time::Instant;

use outbox_core::sink::{Outcome, Sink};
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

fn inject(proxy: &KafkaProxy, relay: &Relay, kind: RequestKind, action: Action) -> Injected {
    proxy.inject(Fault {
        transactional_id: relay.settings.transactional_id(),
        kind,
        occurrence: 1,
        action,
    })
}

/// Goes the way of a relay while nothing is durable and nobody to blame: what the sink says then.
fn conclusion(sink: &mut KafkaSink, batch: &outbox_core::sink::Batch) -> Outcome {
    let deadline = Instant::now() + SOON;
    while Instant::now() < deadline {
        match sink.publish(batch) {
            Outcome::Retry { .. } | Outcome::Ongoing { .. } | Outcome::Abort { .. } => {}
            outcome => return outcome,
        }
    }
    panic!("no conclusion within {SOON:?}");
}

#[test]
fn a_commit_that_arrives_late_meets_another_producer_and_tears_nothing() {
    let (broker, proxy) = broker::behind_proxy();
    // Before the barrier's record, before the first message behind it, and among those.
    for produced in [1, 2, 4] {
        let relay = relay(&broker, &proxy);
        let mut sink = relay.sink();
        sink.acquire(1).unwrap();
        publish_surely(&mut sink, &relay.batch(1, 4));
        let until = Until::Before(RequestKind::Produce, produced);
        let held = inject(&proxy, &relay, RequestKind::Commit, Action::Hold(until));
        let outcome = conclusion(&mut sink, &relay.batch(2, 4));
        assert!(matches!(outcome, Outcome::Indefinite { .. }), "{outcome:?}");
        assert!(held.has_struck());
        // The repeated request was carried out.
        assert_eq!(sink.acquire(1).unwrap().unwrap().sequence, 2);
        publish_surely(&mut sink, &relay.batch(3, 20));
        let late = settled(&held);
        assert!(late.in_later_transaction, "{late:?}");
        assert!(FENCED.contains(&late.error_code), "{late:?}");
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
        let relay = relay(&broker, &proxy);
        let small = format!("{}-small", relay.topic);
        relay.create_topic(&small, 1, &[("max.message.bytes", "1000")]);
        let mut sink = relay.sink();
        sink.acquire(1).unwrap();
        publish_surely(&mut sink, &relay.batch(1, 4));
        let mut batch = relay.batch(2, 5);
        batch.messages[4].row.destination = small.into();
        batch.messages[4].row.payload = Some(vec![0; 2000].into());
        let until = Until::Before(RequestKind::Produce, produced);
        let held = inject(&proxy, &relay, RequestKind::Abort, Action::Hold(until));
        let outcome = conclusion(&mut sink, &batch);
        assert!(matches!(outcome, Outcome::Indefinite { .. }), "{outcome:?}");
        assert!(held.has_struck());
        let refusals = loop {
            assert_eq!(sink.acquire(1).unwrap().unwrap().sequence, 1);
            match conclusion(&mut sink, &batch) {
                Outcome::Poison(refusals) => break refusals,
                Outcome::Indefinite { .. } => {}
                outcome => panic!("{outcome:?}"),
            }
        };
        assert_eq!(refusals.len(), 1);
        assert_eq!(refusals[0].batch_index, 4);
        batch.messages.truncate(4);
        publish_surely(&mut sink, &batch);
        publish_surely(&mut sink, &relay.batch(3, 20));
        let late = settled(&held);
        assert!(late.in_later_transaction, "{late:?}");
        assert!(FENCED.contains(&late.error_code), "{late:?}");
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
        let relay = relay(&broker, &proxy);
        let mut sink = relay.sink();
        sink.acquire(1).unwrap();
        publish_surely(&mut sink, &relay.batch(1, 4));
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
