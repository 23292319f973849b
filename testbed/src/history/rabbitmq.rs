//! What a consumer of a RabbitMQ queue or stream sees.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel};
use uuid::Uuid;

use crate::error::Error;
use crate::history::reader::Record;
use crate::rabbitmq::RabbitAddress;

/// The type of the message that marks the end of what is read.
const END: &str = "testbed-end";
const PREFETCH: u16 = 1000;

/// Takes everything out of a queue that was in it when the call began, in its order.
///
/// # Errors
/// When the queue is missing, or its end is not reached within `deadline`.
pub async fn take_queue(
    address: &RabbitAddress,
    queue: &str,
    deadline: Duration,
) -> Result<Vec<Record>, Error> {
    bounded(queue, deadline, read(address, queue, FieldTable::default())).await
}

/// Reads a stream from its beginning to what was its end when the call began.
///
/// # Errors
/// When the stream is missing, or its end is not reached within `deadline`.
pub async fn read_stream(
    address: &RabbitAddress,
    stream: &str,
    deadline: Duration,
) -> Result<Vec<Record>, Error> {
    let mut arguments = FieldTable::default();
    let first = AMQPValue::LongString(LongString::from("first"));
    arguments.insert("x-stream-offset".into(), first);
    bounded(stream, deadline, read(address, stream, arguments)).await
}

async fn bounded(
    queue: &str,
    deadline: Duration,
    reading: impl Future<Output = Result<Vec<Record>, lapin::Error>>,
) -> Result<Vec<Record>, Error> {
    tokio::time::timeout(deadline, reading)
        .await
        .map_err(|_| {
            Error::new(format!(
                "the end of {queue} was not reached within {deadline:?}"
            ))
        })?
        .map_err(Error::because(format!("{queue} cannot be read")))
}

/// A mark is sent to the queue's end and everything before it read: nothing else tells the end.
async fn read(
    address: &RabbitAddress,
    queue: &str,
    arguments: FieldTable,
) -> Result<Vec<Record>, lapin::Error> {
    let channel = match address.channel().await {
        Ok(channel) => channel,
        // Only the reason is lost, and the test says which node.
        Err(_) => return Err(lapin::ErrorKind::MissingHeartbeatError.into()),
    };
    let mark = Uuid::new_v4().to_string();
    send_mark(&channel, queue, &mark).await?;
    let qos = BasicQosOptions::default();
    channel.basic_qos(PREFETCH, qos).await?;
    let options = BasicConsumeOptions::default();
    let mut consumer = channel
        .basic_consume(queue.into(), "".into(), options, arguments)
        .await?;
    let mut records = Vec::new();
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery?;
        delivery.acker.ack(BasicAckOptions::default()).await?;
        let id = delivery.properties.message_id();
        if id.as_ref().is_some_and(|id| id.as_str() == mark) {
            break;
        }
        let kind = delivery.properties.kind();
        // A stream keeps the marks of earlier reads.
        if kind.as_ref().is_none_or(|kind| kind.as_str() != END) {
            records.push(record(queue, &delivery, records.len()));
        }
    }
    Ok(records)
}

async fn send_mark(channel: &Channel, queue: &str, mark: &str) -> Result<(), lapin::Error> {
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_type(END.into())
        .with_message_id(mark.into());
    let options = BasicPublishOptions::default();
    let sent = channel.basic_publish("".into(), queue.into(), options, b"", properties);
    sent.await?.await.map(drop)
}

/// A message in the form that the checker knows; the offset is its place in the queue.
fn record(queue: &str, delivery: &Delivery, place: usize) -> Record {
    let properties = &delivery.properties;
    let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, value) in properties.headers().iter().flat_map(FieldTable::inner) {
        let text = match value {
            AMQPValue::LongString(text) => text.as_bytes().to_vec(),
            AMQPValue::ShortString(text) => text.as_str().as_bytes().to_vec(),
            other => format!("{other:?}").into_bytes(),
        };
        headers.push((name.to_string(), text));
    }
    let mut record = Record {
        id: properties
            .message_id()
            .as_ref()
            .and_then(|id| id.as_str().parse().ok()),
        topic: queue.to_owned(),
        key: None,
        partition: 0,
        offset: i64::try_from(place).unwrap_or(i64::MAX),
        payload: Some(delivery.data.clone()),
        headers,
        received: Instant::now(),
    };
    record.key = record.header("outbox-key");
    record
}
