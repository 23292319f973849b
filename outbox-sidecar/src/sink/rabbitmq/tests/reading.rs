//! What lies in the queues.

use lapin::message::BasicGetMessage;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use testbed::RabbitServer;

use super::support::runtime;

/// A channel of the test's own.
pub(super) fn channel(rabbit: &RabbitServer) -> Channel {
    runtime().block_on(async {
        let url = rabbit.url();
        let connecting = Connection::connect(&url, ConnectionProperties::default());
        // The channel keeps the connection.
        let connection = connecting.await.unwrap();
        connection.create_channel().await.unwrap()
    })
}

/// A durable queue of this kind (`classic`, `quorum`).
pub(super) fn make_queue(rabbit: &RabbitServer, name: &str, kind: &str) {
    let text = |value: &str| AMQPValue::LongString(LongString::from(value));
    make_queue_with(rabbit, name, &[("x-queue-type", text(kind))]);
    runtime().block_on(rabbit.wrote(name, kind)).unwrap();
}

/// A durable queue with these arguments.
pub(super) fn make_queue_with(rabbit: &RabbitServer, name: &str, with: &[(&str, AMQPValue)]) {
    let mut arguments = FieldTable::default();
    for (argument, value) in with {
        arguments.insert(ShortString::from(*argument), value.clone());
    }
    let channel = channel(rabbit);
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let declaring = channel.queue_declare(name.into(), options, arguments);
    runtime().block_on(declaring).unwrap();
    runtime().block_on(rabbit.wrote(name, "classic")).unwrap();
}

/// A topic exchange.
pub(super) fn make_exchange(rabbit: &RabbitServer, name: &str) {
    let channel = channel(rabbit);
    let declaring = channel.exchange_declare(
        name.into(),
        ExchangeKind::Topic,
        ExchangeDeclareOptions::default(),
        FieldTable::default(),
    );
    runtime().block_on(declaring).unwrap();
}

/// Sends what matches on to the queue.
pub(super) fn bind(rabbit: &RabbitServer, queue: &str, exchange: &str, pattern: &str) {
    let channel = channel(rabbit);
    let binding = channel.queue_bind(
        queue.into(),
        exchange.into(),
        pattern.into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    runtime().block_on(binding).unwrap();
}

/// Takes everything out of a queue.
pub(super) fn take_all(rabbit: &RabbitServer, queue: &str) -> Vec<BasicGetMessage> {
    let channel = channel(rabbit);
    runtime().block_on(async {
        let mut messages = Vec::new();
        loop {
            let options = BasicGetOptions { no_ack: false };
            let Some(message) = channel.basic_get(queue.into(), options).await.unwrap() else {
                return messages;
            };
            message
                .delivery
                .acker
                .ack(BasicAckOptions::default())
                .await
                .unwrap();
            messages.push(message);
        }
    })
}

/// The payloads of what lies in a queue, which is empty then.
pub(super) fn take_payloads(rabbit: &RabbitServer, queue: &str) -> Vec<String> {
    let text = |message: BasicGetMessage| String::from_utf8(message.delivery.data).unwrap();
    take_all(rabbit, queue).into_iter().map(text).collect()
}
