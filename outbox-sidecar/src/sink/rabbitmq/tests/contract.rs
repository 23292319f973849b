use std::collections::HashMap;

use lapin::types::AMQPValue;
use outbox_core::sink::Outcome;

use super::reading::{bind, make_exchange, make_queue, take_all, take_payloads};
use super::support::{batch_to, payloads, publish_surely, publisher, settings, shared, unique};
use crate::sink::rabbitmq::Route;

#[test]
fn a_consumer_sees_every_field_of_the_row() {
    let (rabbit, queue) = (shared(), unique("queue"));
    make_queue(rabbit, &queue, "quorum");
    let mut batch = batch_to(1, &queue, &[Some("k"), None]);
    batch.messages[0].row.headers = r#"{"tenant":"7","traceparent":"00-ab"}"#.into();
    batch.messages[1].row.payload = None;
    let mut publisher = publisher(&settings(rabbit));
    assert_eq!(publish_surely(&mut publisher, &batch), Outcome::Durable);

    let seen = take_all(rabbit, &queue);
    assert_eq!(seen.len(), 2);
    let properties = &seen[0].delivery.properties;
    assert_eq!(seen[0].delivery.data, b"1.0");
    assert_eq!(*properties.delivery_mode(), Some(2));
    let id = batch.messages[0].row.id.to_string();
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), id);
    assert_eq!(properties.kind().as_ref().unwrap().as_str(), "OrderPlaced");
    let content_type = properties.content_type().as_ref().unwrap();
    assert_eq!(content_type.as_str(), "text/plain");
    assert_eq!(*properties.timestamp(), Some(1_700_000_000));
    let headers = properties.headers().as_ref().unwrap().inner();
    let header = |name: &str| match headers.get(name) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(header("tenant"), "7");
    assert_eq!(header("traceparent"), "00-ab");
    assert_eq!(header("outbox-key"), "k");
    assert_eq!(header("outbox-position"), "3:0/F4240:0");
    assert!(headers.get("outbox-tombstone").is_none());
    let tombstone = seen[1].delivery.properties.headers().as_ref().unwrap();
    assert!(tombstone.inner().get("outbox-tombstone").is_some());
}

#[test]
fn each_key_keeps_its_order_and_nothing_is_missing_on_either_kind_of_queue() {
    let rabbit = shared();
    for kind in ["classic", "quorum"] {
        let queue = unique(kind);
        make_queue(rabbit, &queue, kind);
        let keys: Vec<String> = (0..2000).map(|number| (number % 37).to_string()).collect();
        let keys: Vec<Option<&str>> = keys.iter().map(|key| Some(key.as_str())).collect();
        let batch = batch_to(1, &queue, &keys);
        let mut publisher = publisher(&settings(rabbit));
        assert_eq!(publish_surely(&mut publisher, &batch), Outcome::Durable);
        let seen = take_payloads(rabbit, &queue);
        let place = |payload: &String| payload[2..].parse::<usize>().unwrap();
        for key in 0..37 {
            let of_key: Vec<usize> = seen.iter().map(place).filter(|n| n % 37 == key).collect();
            assert!(of_key.is_sorted(), "{kind}: key {key}");
        }
        let mut places: Vec<usize> = seen.iter().map(place).collect();
        places.sort_unstable();
        assert_eq!(places, (0..2000).collect::<Vec<_>>(), "{kind}");
    }
}

#[test]
fn a_route_leads_to_its_exchange() {
    let (rabbit, queue, exchange) = (shared(), unique("queue"), unique("exchange"));
    make_queue(rabbit, &queue, "classic");
    make_exchange(rabbit, &exchange);
    bind(rabbit, &queue, &exchange, "OrderPlaced.#");
    let mut settings = settings(rabbit);
    settings.routes = vec![Route {
        destination: "policy-*".into(),
        exchange,
        routing_key: "{type}.{key}".into(),
    }];
    let batch = batch_to(1, "policy-events", &[Some("7")]);
    let mut publisher = publisher(&settings);
    assert_eq!(publish_surely(&mut publisher, &batch), Outcome::Durable);
    let seen = take_all(rabbit, &queue);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].delivery.routing_key.as_str(), "OrderPlaced.7");
}

#[test]
fn ten_thousand_routing_keys_of_one_exchange_get_each_its_own() {
    const KEYS: usize = 10_000;
    let (rabbit, queue, exchange) = (shared(), unique("queue"), unique("exchange"));
    make_queue(rabbit, &queue, "classic");
    make_exchange(rabbit, &exchange);
    bind(rabbit, &queue, &exchange, "policy.#");
    let mut settings = settings(rabbit);
    settings.routes = vec![Route {
        destination: "policies".into(),
        exchange,
        routing_key: "policy.{key}".into(),
    }];
    let keys: Vec<String> = (0..KEYS).map(|key| format!("k{key}")).collect();
    let keys: Vec<Option<&str>> = keys.iter().map(|key| Some(key.as_str())).collect();
    let mut publisher = publisher(&settings);
    let mut sent = Vec::new();
    for sequence in [1, 2] {
        let batch = batch_to(sequence, "policies", &keys);
        assert_eq!(publish_surely(&mut publisher, &batch), Outcome::Durable);
        sent.push(payloads(&batch));
    }
    let mut seen: HashMap<String, Vec<String>> = HashMap::new();
    for message in take_all(rabbit, &queue) {
        let key = message.delivery.routing_key.as_str().to_owned();
        let payload = String::from_utf8(message.delivery.data).unwrap();
        seen.entry(key).or_default().push(payload);
    }
    assert_eq!(seen.len(), KEYS);
    for (place, key) in keys.iter().flatten().enumerate() {
        let expected = [&sent[0][place], &sent[1][place]];
        let here: Vec<&String> = seen[&format!("policy.{key}")].iter().collect();
        assert_eq!(here, expected, "{key}");
    }
}

#[test]
fn a_queue_is_made_when_that_is_configured() {
    let (rabbit, queue) = (shared(), unique("queue"));
    let mut settings = settings(rabbit);
    settings.create_queues = true;
    let mut publisher = publisher(&settings);
    for sequence in [1, 2] {
        let batch = batch_to(sequence, &queue, &[None]);
        assert_eq!(publish_surely(&mut publisher, &batch), Outcome::Durable);
        assert_eq!(take_payloads(rabbit, &queue), payloads(&batch));
    }
}

#[test]
fn a_large_message_is_cut_into_frames_and_arrives_whole() {
    let (rabbit, queue) = (shared(), unique("queue"));
    make_queue(rabbit, &queue, "classic");
    let mut batch = batch_to(1, &queue, &[None, None]);
    batch.messages[0].row.payload = Some(vec![b'x'; 900_000].into());
    batch.messages[1].row.payload = Some(bytes::Bytes::new());
    let mut publisher = publisher(&settings(rabbit));
    assert_eq!(publish_surely(&mut publisher, &batch), Outcome::Durable);
    let seen = take_all(rabbit, &queue);
    assert_eq!(seen[0].delivery.data.len(), 900_000);
    assert_eq!(seen[1].delivery.data.len(), 0);
}
