use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use outbox_core::sink::Outcome;

use super::reading::{make_queue, take_all, take_payloads};
use crate::sink::at_least_once::Publisher as _;

use super::support::{
    SOON, batch_to, own, payloads, publish_surely, publisher, runtime, settings, shared, unique,
};

#[test]
fn a_killed_broker_loses_nothing_and_what_comes_again_has_its_id() {
    let rabbit = own();
    let queue = unique("queue");
    make_queue(&rabbit, &queue, "classic");
    let mut publisher = publisher(&settings(&rabbit));
    let batches: Vec<_> = (1..=20)
        .map(|number| batch_to(number, &queue, &[Some("a"); 50]))
        .collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            runtime().block_on(rabbit.kill()).unwrap();
            runtime().block_on(rabbit.restart()).unwrap();
        });
        for batch in &batches {
            assert_eq!(publish_surely(&mut publisher, batch), Outcome::Durable);
        }
    });
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut first_seen = Vec::new();
    for message in take_all(&rabbit, &queue) {
        let id = message.delivery.properties.message_id().clone().unwrap();
        let payload = String::from_utf8(message.delivery.data).unwrap();
        match seen.insert(id.as_str().to_owned(), payload.clone()) {
            None => first_seen.push(payload),
            Some(before) => assert_eq!(before, payload),
        }
    }
    // One key: whatever came twice, each came first in its order.
    let expected: Vec<String> = batches.iter().flat_map(payloads).collect();
    assert_eq!(first_seen, expected);
}

#[test]
fn a_memory_alarm_is_back_pressure() {
    let rabbit = own();
    let queue = unique("queue");
    make_queue(&rabbit, &queue, "classic");
    let mut publisher = publisher(&settings(&rabbit));
    let first = batch_to(1, &queue, &[None; 10]);
    assert_eq!(publish_surely(&mut publisher, &first), Outcome::Durable);
    let limit = |bytes: &str| {
        let order = ["set_vm_memory_high_watermark", "absolute", bytes];
        runtime().block_on(rabbit.control(&order)).unwrap();
    };
    limit("10MB");
    let deadline = Instant::now() + SOON;
    let mut batches = vec![first];
    // The broker blocks a connection with the first message that it sends into the alarm.
    let reason = loop {
        let sequence = 1 + batches.len() as u64;
        batches.push(batch_to(sequence, &queue, &[None; 10]));
        match publisher.publish(batches.last().unwrap()) {
            Outcome::Durable => assert!(Instant::now() < deadline, "it never blocks"),
            Outcome::Retry { reason } => break reason,
            outcome => panic!("{outcome:?}"),
        }
    };
    assert!(reason.contains("alarm"), "{reason}");
    limit("1GB");
    let last = batches.last().unwrap();
    assert_eq!(publish_surely(&mut publisher, last), Outcome::Durable);
    let expected: usize = batches.iter().map(|batch| batch.messages.len()).sum();
    assert_eq!(take_payloads(&rabbit, &queue).len(), expected);
}

#[test]
fn a_frozen_broker_holds_nothing_up_for_ever() {
    let rabbit = own();
    let queue = unique("queue");
    make_queue(&rabbit, &queue, "classic");
    let mut publisher = publisher(&settings(&rabbit));
    let batch = batch_to(1, &queue, &[Some("a"); 10]);
    rabbit.freeze().unwrap();
    let began = Instant::now();
    let reason = loop {
        match publisher.publish(&batch) {
            Outcome::Retry { .. } => assert!(began.elapsed() < SOON, "it never gives up"),
            Outcome::Indefinite { reason } => break reason,
            outcome => panic!("{outcome:?}"),
        }
    };
    assert!(!reason.is_empty());
    assert!(publisher.acquire().is_err());
    assert!(began.elapsed() < SOON + Duration::from_secs(30));
    rabbit.thaw().unwrap();
    assert_eq!(publish_surely(&mut publisher, &batch), Outcome::Durable);
    let seen = take_payloads(&rabbit, &queue);
    assert!(seen.ends_with(&payloads(&batch)), "{seen:?}");
}

#[test]
fn patience_with_a_missing_queue_begins_anew_with_each_connection() {
    let rabbit = shared();
    let mut publisher = publisher(&settings(rabbit));
    let batch = batch_to(1, &unique("missing"), &[None]);
    for _ in 0..2 {
        let began = Instant::now();
        let outcome = publish_surely(&mut publisher, &batch);
        assert!(matches!(outcome, Outcome::Poison(_)), "{outcome:?}");
        // A broker that has just started may not know its queues yet.
        assert!(began.elapsed() > Duration::from_secs(2));
        publisher.acquire().unwrap();
    }
}
