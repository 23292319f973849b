use std::collections::{BTreeSet, HashSet};

use lapin::types::{AMQPValue, LongString};
use outbox_core::sink::{AcquireError, Outcome, Refusal, RefusalReason};

use super::reading::{make_exchange, make_queue, make_queue_with, take_all, take_payloads};
use super::support::{batch_to, own, publish_surely, publisher, runtime, settings, shared, unique};
use crate::sink::at_least_once::Publisher;
use crate::sink::rabbitmq::{RabbitPublisher, Route};

fn refusals(outcome: Outcome) -> Vec<Refusal> {
    match outcome {
        Outcome::Poison(refusals) => refusals,
        outcome => panic!("{outcome:?}"),
    }
}

#[test]
fn every_unroutable_message_is_found_by_its_id_and_none_of_the_others() {
    let (rabbit, queue) = (shared(), unique("queue"));
    make_queue(rabbit, &queue, "classic");
    let mut publisher = publisher(&settings(rabbit));
    let keys: Vec<String> = (0..20_000)
        .map(|number| (number % 997).to_string())
        .collect();
    let keys: Vec<Option<&str>> = keys.iter().map(|key| Some(key.as_str())).collect();
    let mut batch = batch_to(1, &queue, &keys);
    // Keys of their own, so that nothing is held back behind them.
    for (number, delivery) in batch.messages.iter_mut().enumerate() {
        if number % 7 == 3 {
            delivery.row.destination = "nowhere".into();
            delivery.row.key = None;
        }
    }
    let found: HashSet<usize> = refusals(publish_surely(&mut publisher, &batch))
        .into_iter()
        .map(|refusal| {
            assert_eq!(refusal.reason, RefusalReason::DestinationMissing);
            refusal.batch_index
        })
        .collect();
    let expected: HashSet<usize> = (0..20_000).filter(|number| number % 7 == 3).collect();
    assert_eq!(found, expected);
    let seen = take_payloads(rabbit, &queue);
    assert_eq!(seen.len(), 20_000 - expected.len());
    let place = |payload: &String| payload[2..].parse::<usize>().unwrap();
    for key in 0..997 {
        let of_key: Vec<usize> = seen.iter().map(place).filter(|n| n % 997 == key).collect();
        assert!(of_key.is_sorted(), "key {key}");
    }
}

#[test]
fn the_followers_of_an_unroutable_message_wait_and_what_was_confirmed_is_not_sent_again() {
    let (rabbit, queue) = (shared(), unique("queue"));
    make_queue(rabbit, &queue, "classic");
    let mut settings = settings(rabbit);
    settings.routes = vec![
        Route {
            destination: "to-nowhere".into(),
            exchange: String::new(),
            routing_key: "nowhere".into(),
        },
        Route {
            destination: "*".into(),
            exchange: String::new(),
            routing_key: queue.clone(),
        },
    ];
    let mut publisher = publisher(&settings);
    let mut batch = batch_to(1, "orders", &[Some("a"), None, None, Some("b"), None]);
    for refused in [1, 2] {
        batch.messages[refused].row.destination = "to-nowhere".into();
        batch.messages[refused].row.key = Some("c".into());
    }
    let found = refusals(publish_surely(&mut publisher, &batch));
    assert_eq!(found.len(), 1, "its follower was not even sent: {found:?}");
    assert_eq!(found[0].batch_index, 1);
    // The relay sends what lies before it again, and halts.
    let mut before = batch.clone();
    before.messages.truncate(1);
    assert_eq!(publish_surely(&mut publisher, &before), Outcome::Durable);
    assert_eq!(take_payloads(rabbit, &queue).len(), 3);
}

#[test]
fn a_message_that_came_back_once_is_taken_when_its_queue_is_there() {
    let (rabbit, queue) = (shared(), unique("queue"));
    let mut publisher = publisher(&settings(rabbit));
    let batch = batch_to(1, &queue, &[None]);
    assert_eq!(refusals(publish_surely(&mut publisher, &batch)).len(), 1);
    make_queue(rabbit, &queue, "classic");
    assert_eq!(publish_surely(&mut publisher, &batch), Outcome::Durable);
    assert_eq!(take_payloads(rabbit, &queue).len(), 1);
}

#[test]
fn a_missing_exchange_is_known_as_such() {
    let rabbit = shared();
    let mut settings = settings(rabbit);
    settings.routes = vec![Route {
        destination: "*".into(),
        exchange: unique("missing"),
        routing_key: "x".into(),
    }];
    let found = refusals(publish_surely(
        &mut publisher(&settings),
        &batch_to(1, "orders", &[None, None]),
    ));
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].reason, RefusalReason::DestinationMissing);
    assert!(found[0].error.contains("missing-"), "{}", found[0].error);
}

#[test]
fn a_message_that_closes_the_channel_is_found_among_good_ones() {
    let (rabbit, queue, exchange) = (shared(), unique("queue"), unique("exchange"));
    make_queue(rabbit, &queue, "classic");
    make_exchange(rabbit, &exchange);
    let mut settings = settings(rabbit);
    settings.routes = vec![Route {
        destination: "forbidden".into(),
        exchange: exchange.clone(),
        routing_key: "x".into(),
    }];
    let user = unique("user");
    let control = |arguments: &[&str]| runtime().block_on(rabbit.control(arguments)).unwrap();
    control(&["add_user", &user, "secret"]);
    // Everything but writing to that exchange.
    let but = format!("^(?!{exchange}).*$");
    control(&["set_permissions", "-p", "/", &user, ".*", &but, ".*"]);
    settings.urls = vec![rabbit.url_of(&user, "secret", "%2f")];
    let mut batch = batch_to(1, &queue, &[None; 20]);
    batch.messages[7].row.destination = "forbidden".into();
    let found = refusals(publish_surely(&mut publisher(&settings), &batch));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].batch_index, 7);
    assert_eq!(found[0].reason, RefusalReason::NotAuthorised);
    let seen: HashSet<String> = take_payloads(rabbit, &queue).into_iter().collect();
    assert_eq!(seen.len(), 19);
}

#[test]
fn a_message_that_is_too_large_for_the_broker_is_found_among_good_ones() {
    let rabbit = own();
    let queue = unique("queue");
    make_queue(&rabbit, &queue, "classic");
    let limit = "application:set_env(rabbit, max_message_size, 100000), \
                 persistent_term:put(max_message_size, 100000).";
    runtime()
        .block_on(rabbit.control(&["eval", limit]))
        .unwrap();
    let mut batch = batch_to(1, &queue, &[Some("a"), Some("b"), Some("b"), Some("c")]);
    batch.messages[1].row.payload = Some(vec![b'x'; 200_000].into());
    let mut publisher = publisher(&settings(&rabbit));
    let found = refusals(publish_surely(&mut publisher, &batch));
    let named: Vec<_> = found
        .iter()
        .map(|refusal| (refusal.batch_index, refusal.reason))
        .collect();
    assert_eq!(named, [(1, RefusalReason::TooLarge)]);
    assert!(found[0].error.contains("100000"), "{}", found[0].error);
    // The follower of its key waits; the others are there, one of them twice perhaps: the broker
    // closed the channel.
    let seen: BTreeSet<String> = take_payloads(&rabbit, &queue).into_iter().collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["1.0", "1.3"]);
}

#[test]
fn what_amqp_cannot_carry_is_refused_before_it_is_sent() {
    let (rabbit, queue) = (shared(), unique("queue"));
    make_queue(rabbit, &queue, "classic");
    let mut batch = batch_to(1, &queue, &[None; 6]);
    batch.messages[0].row.message_type = "t".repeat(256).into();
    batch.messages[1].row.headers = format!("{{\"{}\":\"x\"}}", "n".repeat(256)).into();
    batch.messages[2].row.headers = format!("{{\"n\":\"{}\"}}", "x".repeat(200_000)).into();
    batch.messages[3].row.headers = "{\"n\":1}".into();
    batch.messages[4].row.payload = Some(vec![0; 2 << 20].into());
    let found = refusals(publish_surely(&mut publisher(&settings(rabbit)), &batch));
    let reasons: Vec<RefusalReason> = found.iter().map(|refusal| refusal.reason).collect();
    assert_eq!(
        reasons,
        [
            RefusalReason::Rejected,
            RefusalReason::HeadersInvalid,
            RefusalReason::HeadersInvalid,
            RefusalReason::HeadersInvalid,
            RefusalReason::TooLarge,
        ]
    );
    assert_eq!(take_all(rabbit, &queue).len(), 1);
}

#[test]
fn headers_that_no_frame_of_the_connection_can_carry_are_refused_before_they_are_sent() {
    let (rabbit, queue) = (shared(), unique("queue"));
    make_queue(rabbit, &queue, "classic");
    let mut settings = settings(rabbit);
    settings.urls = vec![format!("{}?frame_max=8192", rabbit.url())];
    let mut batch = batch_to(1, &queue, &[Some("a"), Some("b"), Some("c")]);
    // The second fits, the third does not.
    for (index, bytes) in [(1, 6_000), (2, 8_000)] {
        batch.messages[index].row.headers = format!("{{\"n\":\"{}\"}}", "x".repeat(bytes)).into();
        batch.messages[index].row.message_type = "t".repeat(255).into();
        batch.messages[index].row.content_type = "c".repeat(255).into();
    }
    let found = refusals(publish_surely(&mut publisher(&settings), &batch));
    let reasons: Vec<_> = found
        .iter()
        .map(|refusal| (refusal.batch_index, refusal.reason))
        .collect();
    assert_eq!(reasons, [(2, RefusalReason::HeadersInvalid)]);
    assert_eq!(take_all(rabbit, &queue).len(), 2);
}

#[test]
fn a_full_queue_is_back_pressure_and_its_key_waits() {
    let (rabbit, queue) = (shared(), unique("queue"));
    let overflow = AMQPValue::LongString(LongString::from("reject-publish"));
    let arguments = [
        ("x-max-length", AMQPValue::LongInt(10)),
        ("x-overflow", overflow),
    ];
    make_queue_with(rabbit, &queue, &arguments);
    let mut publisher = publisher(&settings(rabbit));
    let batch = batch_to(1, &queue, &[Some("a"); 15]);
    let Outcome::Retry { reason } = publisher.publish(&batch) else {
        panic!("the queue took more than it may");
    };
    assert!(reason.contains("nack"), "{reason}");
    let mut seen = take_payloads(rabbit, &queue);
    assert_eq!(publish_surely(&mut publisher, &batch), Outcome::Durable);
    seen.extend(take_payloads(rabbit, &queue));
    assert_eq!(seen, super::support::payloads(&batch));
}

#[test]
fn what_is_wrong_with_the_address_is_said() {
    let rabbit = shared();
    let with = |url: String| {
        let mut settings = settings(rabbit);
        settings.urls = vec![url];
        RabbitPublisher::new(settings)
            .unwrap()
            .acquire()
            .unwrap_err()
    };
    let error = with(rabbit.url_of("guest", "wrong", "%2f"));
    assert!(
        matches!(&error, AcquireError::Fatal(text) if text.contains("password")),
        "{error}"
    );
    let error = with(rabbit.url_of("guest", "guest", "none"));
    assert!(
        matches!(&error, AcquireError::Fatal(text) if text.contains("vhost")),
        "{error}"
    );
    let error = with("amqp://guest:guest@127.0.0.1:1/%2f".to_owned());
    assert!(matches!(&error, AcquireError::Unavailable(_)), "{error}");
}
