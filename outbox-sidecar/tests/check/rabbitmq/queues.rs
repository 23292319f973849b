//! Queues that take a message and lose it later.

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, LongString};
use serde_json::Value;
use testbed::unique;

use super::super::{findings, is};
use super::{Argument, DURABLE, declare, good, initialised};

/// What is wrong with a queue, and what mends it.
type Fault = (&'static str, &'static str);

const TRANSIENT: Fault = (
    "is not durable: a restart of its node loses what it holds",
    "make it anew, durable and of type quorum",
);
const CLASSIC: Fault = (
    "is a classic queue: it lies on one node, and is lost with its disk",
    "make it anew with x-queue-type quorum",
);
const DROPS_OLDEST: Fault = (
    "drops its oldest messages when it is full",
    "make it anew with x-overflow reject-publish",
);
const DROPS_IN_TIME: Fault = (
    "drops messages that are not consumed in time",
    "make it anew with x-dead-letter-exchange, or without x-message-ttl",
);
const DROPS_REDELIVERED: Fault = (
    "drops a message that was redelivered too often",
    "make it anew with x-dead-letter-exchange",
);
const DROPS_REDELIVERED_20_TIMES: Fault = (
    "drops a message that was redelivered 20 times, from RabbitMQ 4 on",
    "set a dead-letter-exchange by a policy",
);

/// A queue, and everything that is wrong with it.
struct Kind {
    options: QueueDeclareOptions,
    arguments: Vec<Argument>,
    faults: &'static [Fault],
}

/// Each fault alone, as far as it can be, and what mends it beside it.
fn kinds() -> Vec<Kind> {
    let text = |value: &str| AMQPValue::LongString(LongString::from(value));
    let [quorum, dead_letters] = good();
    let classic = ("x-queue-type", text("classic"));
    let length = ("x-max-length", AMQPValue::LongInt(10));
    let bytes = ("x-max-length-bytes", AMQPValue::LongInt(1_000_000));
    let overflow = |what: &str| ("x-overflow", text(what));
    let ttl = ("x-message-ttl", AMQPValue::LongInt(60_000));
    let limit = ("x-delivery-limit", AMQPValue::LongInt(5));
    let durable = |arguments: &[&Argument], faults: &'static [Fault]| Kind {
        options: DURABLE,
        arguments: arguments.iter().copied().cloned().collect(),
        faults,
    };
    let (drops, rejects) = (overflow("drop-head"), overflow("reject-publish"));
    vec![
        Kind {
            options: QueueDeclareOptions::default(),
            arguments: Vec::new(),
            faults: &[TRANSIENT],
        },
        durable(&[], &[CLASSIC]),
        durable(&[&classic, &dead_letters], &[CLASSIC]),
        durable(&[&quorum, &dead_letters, &length], &[DROPS_OLDEST]),
        durable(&[&quorum, &dead_letters, &bytes, &drops], &[DROPS_OLDEST]),
        durable(&[&quorum, &dead_letters, &length, &bytes, &rejects], &[]),
        durable(
            &[&quorum, &ttl],
            &[DROPS_IN_TIME, DROPS_REDELIVERED_20_TIMES],
        ),
        durable(&[&quorum, &dead_letters, &ttl], &[]),
        durable(&[&quorum, &limit], &[DROPS_REDELIVERED]),
        durable(&[&quorum, &dead_letters, &limit], &[]),
        durable(&[&quorum], &[DROPS_REDELIVERED_20_TIMES]),
        durable(&[&quorum, &dead_letters], &[]),
    ]
}

#[tokio::test]
async fn a_queue_that_would_lose_messages_is_named_and_one_that_keeps_them_is_not() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let scenario = initialised(rabbit).await;
    let channel = rabbit.address().channel().await.unwrap();
    let mut queues = Vec::new();
    for kind in kinds() {
        let name = unique::name("kind");
        declare(&channel, &name, kind.options, &kind.arguments).await;
        queues.push((name, kind));
    }
    let names: Vec<&str> = queues.iter().map(|(name, _)| name.as_str()).collect();
    let named = format!("relay.destinations={}", names.join(","));
    let (found, _) = findings(&scenario, &[&named]).await;
    for (name, kind) in &queues {
        let is_of_it = |finding: &&Value| {
            let message = finding["message"].as_str().unwrap_or_default();
            finding["subject"] == "queue" && message.starts_with(name.as_str())
        };
        let lines: Vec<&Value> = found.iter().filter(is_of_it).collect();
        let what = format!("{:?}: {lines:#?}", kind.arguments);
        assert_eq!(lines.len(), kind.faults.len().max(1), "{what}");
        if kind.faults.is_empty() {
            let says = format!("{name}: 0 messages, 0 consumers");
            assert!(is(lines[0], ("ok", "queue"), &says), "{what}");
        }
        for (line, (says, fix)) in lines.iter().zip(kind.faults) {
            let says = format!("{name} {says}");
            assert!(is(line, ("warning", "queue"), &says), "{what}");
            assert!(
                line["fix"].as_str().is_some_and(|text| text.contains(fix)),
                "{what}"
            );
        }
    }
}
