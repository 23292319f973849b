use std::time::{Duration, Instant};

use outbox_core::sink::{Batch, Outcome, Refusal, RefusalReason, Sink};

use super::broker;
use super::reading::{committed, committed_payloads};
use super::support::{Relay, SOON, payloads, publish_surely};
use crate::sink::kafka::KafkaSink;

/// Publishes until the sink knows which messages are to blame.
fn refusals(sink: &mut KafkaSink, batch: &Batch) -> Vec<Refusal> {
    let deadline = Instant::now() + SOON;
    while Instant::now() < deadline {
        match sink.publish(batch) {
            Outcome::Poison(refusals) => return refusals,
            Outcome::Ongoing { .. } => {}
            // The relay's shortest pause.
            Outcome::Abort { .. } | Outcome::Retry { .. } => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Outcome::Indefinite { .. } => drop(sink.acquire(1).unwrap()),
            outcome => panic!("{outcome:?}"),
        }
    }
    panic!("nothing was refused");
}

fn kinds(refusals: &[Refusal]) -> Vec<(usize, RefusalReason)> {
    refusals
        .iter()
        .map(|refusal| (refusal.batch_index, refusal.reason))
        .collect()
}

#[test]
fn a_message_larger_than_librdkafkas_queue_is_refused_and_not_tried_for_ever() {
    let broker = broker::shared();
    let mut relay = Relay::new(&broker);
    relay.settings.message_bytes_max = 4 << 20;
    let small = ("queue.buffering.max.kbytes".to_owned(), "1024".to_owned());
    relay.settings.properties.extend([small]);
    let mut sink = relay.sink();
    sink.acquire(1).unwrap();
    let mut batch = relay.batch(1, 3);
    batch.messages[1].row.payload = Some(vec![0; 2 << 20].into());
    let refused = refusals(&mut sink, &batch);
    assert_eq!(kinds(&refused), [(1, RefusalReason::TooLarge)]);
}

#[test]
fn what_can_be_told_beforehand_is_told_at_once_and_nothing_is_sent() {
    let broker = broker::shared();
    let relay = Relay::new(&broker);
    let mut sink = relay.sink();
    sink.acquire(1).unwrap();
    let mut batch = relay.batch(1, 8);
    batch.messages[1].row.headers = r#"{"a":1}"#.into();
    batch.messages[2].row.destination = "no such topic".into();
    batch.messages[3].row.destination = format!("{}-missing", relay.topic).into();
    batch.messages[4].row.destination = format!("{}-missing", relay.topic).into();
    batch.messages[5].row.destination = relay.settings.checkpoint_topic.as_str().into();
    batch.messages[6].row.payload = Some(vec![0; 1024 * 1024].into());
    let refused = refusals(&mut sink, &batch);
    let expected = [
        (1, RefusalReason::HeadersInvalid),
        (2, RefusalReason::DestinationInvalid),
        (3, RefusalReason::DestinationMissing),
        (4, RefusalReason::DestinationMissing),
        (5, RefusalReason::DestinationInvalid),
        (6, RefusalReason::TooLarge),
    ];
    assert_eq!(kinds(&refused), expected);
    assert!(super::reading::uncommitted(&broker, &relay.topic).is_empty());
    for refusal in refused.iter().rev() {
        batch.messages.remove(refusal.batch_index);
    }
    publish_surely(&mut sink, &batch);
    assert_eq!(committed_payloads(&broker, &relay.topic), ["1.0", "1.7"]);
}

#[test]
fn a_large_message_does_not_take_its_neighbours_along() {
    let broker = broker::shared();
    let relay = Relay::new(&broker);
    let narrow = format!("{}-narrow", relay.topic);
    relay.create_topic(&narrow, 1, &[("max.message.bytes", "3000")]);
    let mut sink = relay.sink();
    sink.acquire(1).unwrap();
    let mut batch = relay.batch(1, 60);
    for delivery in &mut batch.messages {
        delivery.row.destination = narrow.as_str().into();
    }
    batch.messages[20].row.payload = Some(vec![b'x'; 5000].into());
    let refused = refusals(&mut sink, &batch);
    assert_eq!(kinds(&refused), [(20, RefusalReason::TooLarge)]);
    batch.messages.remove(20);
    publish_surely(&mut sink, &batch);
    assert_eq!(committed(&broker, &narrow).len(), 59);
}

#[test]
fn a_missing_destination_is_created_when_that_is_configured() {
    let broker = broker::shared();
    let mut relay = Relay::new(&broker);
    relay.settings.create_topics = true;
    let mut sink = relay.sink();
    sink.acquire(1).unwrap();
    let created = format!("{}-created", relay.topic);
    let mut batch = relay.batch(1, 10);
    for delivery in &mut batch.messages {
        delivery.row.destination = created.as_str().into();
    }
    publish_surely(&mut sink, &batch);
    let records = committed(&broker, &created);
    assert_eq!(records.len(), 10);
    let partitions: std::collections::HashSet<i32> =
        records.iter().map(rdkafka::Message::partition).collect();
    assert_eq!(partitions.len(), 2, "it has the configured partitions");
}

#[test]
fn a_message_without_key_for_a_compacted_topic_is_rejected_alone() {
    let broker = broker::shared();
    let relay = Relay::new(&broker);
    let compacted = format!("{}-compacted", relay.topic);
    relay.create_topic(&compacted, 1, &[("cleanup.policy", "compact")]);
    let mut sink = relay.sink();
    sink.acquire(1).unwrap();
    let mut batch = relay.batch(1, 5);
    for delivery in &mut batch.messages {
        delivery.row.destination = compacted.as_str().into();
    }
    batch.messages[3].row.key = None;
    let refused = refusals(&mut sink, &batch);
    assert_eq!(kinds(&refused), [(3, RefusalReason::Rejected)]);
}

#[test]
fn the_sink_goes_on_after_a_poisoned_batch() {
    let broker = broker::shared();
    let relay = Relay::new(&broker);
    let mut sink = relay.sink();
    sink.acquire(1).unwrap();
    for sequence in 1..=3 {
        let mut batch = relay.batch(sequence, 2);
        batch.messages[1].row.headers = "[]".into();
        let refused = refusals(&mut sink, &batch);
        assert_eq!(kinds(&refused), [(1, RefusalReason::HeadersInvalid)]);
        batch.messages.truncate(1);
        publish_surely(&mut sink, &batch);
    }
    let expected = payloads(&[(1, 1), (2, 1), (3, 1)]);
    assert_eq!(committed_payloads(&broker, &relay.topic), expected);
}
