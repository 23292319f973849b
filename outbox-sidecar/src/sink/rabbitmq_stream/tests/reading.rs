//! What lies in the streams, as a consumer over AMQP 0.9.1 sees it.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use testbed::RabbitServer;

use super::support::{SOON, runtime, unique};

/// A channel of the test's own.
async fn channel(rabbit: &RabbitServer) -> Channel {
    let url = rabbit.url();
    let connecting = Connection::connect(&url, ConnectionProperties::default());
    // The channel keeps the connection.
    let connection = connecting.await.unwrap();
    connection.create_channel().await.unwrap()
}

/// A stream with these arguments.
pub(super) fn make_stream(rabbit: &RabbitServer, name: &str, with: &[(&str, i64)]) {
    let mut arguments = FieldTable::default();
    let kind = AMQPValue::LongString(LongString::from("stream"));
    arguments.insert(ShortString::from("x-queue-type"), kind);
    for (argument, value) in with {
        let value = AMQPValue::LongLongInt(*value);
        arguments.insert(ShortString::from(*argument), value);
    }
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    runtime().block_on(async {
        let channel = channel(rabbit).await;
        let declaring = channel.queue_declare(name.into(), options, arguments);
        declaring.await.unwrap();
        rabbit.wrote(name, "stream").await.unwrap();
    });
}

/// A classic queue, which is no stream.
pub(super) fn make_queue(rabbit: &RabbitServer, name: &str) {
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    runtime().block_on(async {
        let channel = channel(rabbit).await;
        let declaring = channel.queue_declare(name.into(), options, FieldTable::default());
        declaring.await.unwrap();
    });
}

pub(super) fn delete_stream(rabbit: &RabbitServer, name: &str) {
    runtime().block_on(async {
        let channel = channel(rabbit).await;
        let deleting = channel.queue_delete(name.into(), QueueDeleteOptions::default());
        deleting.await.unwrap();
    });
}

/// Everything that the stream holds. A last message is added to it, so that the end is known.
pub(super) fn read_all(rabbit: &RabbitServer, stream: &str) -> Vec<Delivery> {
    let reading = async { tokio::time::timeout(SOON, read(rabbit, stream)).await };
    runtime().block_on(reading).unwrap()
}

async fn read(rabbit: &RabbitServer, stream: &str) -> Vec<Delivery> {
    let end = unique("end");
    let channel = channel(rabbit).await;
    let confirms = ConfirmSelectOptions::default();
    channel.confirm_select(confirms).await.unwrap();
    let ending = channel.basic_publish(
        "".into(),
        stream.into(),
        BasicPublishOptions::default(),
        end.as_bytes(),
        BasicProperties::default(),
    );
    ending.await.unwrap().await.unwrap();
    let qos = channel.basic_qos(1000, BasicQosOptions::default());
    qos.await.unwrap();
    let mut arguments = FieldTable::default();
    let first = AMQPValue::LongString(LongString::from("first"));
    arguments.insert(ShortString::from("x-stream-offset"), first);
    let options = BasicConsumeOptions::default();
    let consuming = channel.basic_consume(stream.into(), "".into(), options, arguments);
    let mut consumer = consuming.await.unwrap();
    let mut deliveries: Vec<Delivery> = Vec::new();
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery.unwrap();
        delivery.ack(BasicAckOptions::default()).await.unwrap();
        if delivery.data == end.as_bytes() {
            let published_by_us = |seen: &Delivery| seen.properties.message_id().is_some();
            deliveries.retain(published_by_us);
            return deliveries;
        }
        deliveries.push(delivery);
    }
    panic!("the consumer ended");
}

/// The payloads of what the stream holds.
pub(super) fn read_payloads(rabbit: &RabbitServer, stream: &str) -> Vec<String> {
    let text = |message: Delivery| String::from_utf8(message.data).unwrap();
    read_all(rabbit, stream).into_iter().map(text).collect()
}

/// A string header of a message.
pub(super) fn header(message: &Delivery, name: &str) -> Option<String> {
    let headers = message.properties.headers().as_ref()?;
    match headers.inner().get(name)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        other => panic!("{name}: {other:?}"),
    }
}

/// Waits until something holds.
pub(super) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + SOON;
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
