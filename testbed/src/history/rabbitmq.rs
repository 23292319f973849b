//! What a consumer of a RabbitMQ queue or stream sees.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Consumer};
use uuid::Uuid;

use crate::error::Error;
use crate::history::reader::Record;
use crate::rabbitmq::RabbitAddress;

/// The type of the message that marks the end of what is read.
const END: &str = "testbed-end";
const PREFETCH: u16 = 1000;
/// The header under which a record shows the property `type`.
const KIND: &str = "type";

/// Takes everything out of a queue that was in it when the call began, in its order.
///
/// # Errors
/// When the queue is missing, or its end is not reached within `deadline`.
pub async fn take_queue(
    address: &RabbitAddress,
    queue: &str,
    deadline: Duration,
) -> Result<Vec<Record>, Error> {
    bounded(queue, deadline, read(address, queue, false, deadline)).await
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
    bounded(stream, deadline, read(address, stream, true, deadline)).await
}

async fn bounded(
    queue: &str,
    deadline: Duration,
    reading: impl Future<Output = Result<Vec<Record>, Error>>,
) -> Result<Vec<Record>, Error> {
    let late = format!("the end of {queue} was not reached within {deadline:?}");
    tokio::time::timeout(deadline, reading)
        .await
        .unwrap_or_else(|_| Err(Error::new(late)))
}

/// A mark is sent to the queue's end and everything before it read: nothing else tells the end.
async fn read(
    address: &RabbitAddress,
    queue: &str,
    is_stream: bool,
    deadline: Duration,
) -> Result<Vec<Record>, Error> {
    let mark = Uuid::new_v4();
    let sent = send_mark(&address.channel().await?, queue, &mark.to_string()).await;
    sent.map_err(Error::because(format!("{queue} cannot be written to")))?;
    let mut consumer = consume(address, queue, is_stream).await?;
    let mut records = Vec::new();
    while let Some(record) = consumer.next(deadline).await {
        if record.id == Some(mark) {
            break;
        }
        // A stream keeps the marks of earlier reads.
        if record.header(KIND).as_deref() != Some(END) {
            records.push(record);
        }
    }
    Ok(records)
}

/// A consumer of one queue or stream, on a connection of its own.
pub(super) struct Deliveries {
    queue: String,
    inner: Consumer,
    /// Keeps the connection.
    _channel: Channel,
    place: usize,
}

/// Begins to consume: a queue from what lies in it, a stream from its beginning.
pub(super) async fn consume(
    address: &RabbitAddress,
    queue: &str,
    is_stream: bool,
) -> Result<Deliveries, Error> {
    let fail = || Error::because(format!("{queue} cannot be read"));
    let mut arguments = FieldTable::default();
    if is_stream {
        let first = AMQPValue::LongString(LongString::from("first"));
        arguments.insert("x-stream-offset".into(), first);
    }
    let channel = address.channel().await?;
    let qos = BasicQosOptions::default();
    channel.basic_qos(PREFETCH, qos).await.map_err(fail())?;
    let options = BasicConsumeOptions::default();
    let consuming = channel.basic_consume(queue.into(), "".into(), options, arguments);
    Ok(Deliveries {
        queue: queue.to_owned(),
        inner: consuming.await.map_err(fail())?,
        _channel: channel,
        place: 0,
    })
}

impl Deliveries {
    /// The next message, acknowledged; `None` once the connection is lost, or when none has come
    /// `within` this time. To be awaited to its end: what is dropped in between is acknowledged and
    /// forgotten.
    pub(super) async fn next(&mut self, within: Duration) -> Option<Record> {
        let coming = tokio::time::timeout(within, self.inner.next());
        let delivery = coming.await.ok()??.ok()?;
        let acknowledged = delivery.acker.ack(BasicAckOptions::default()).await;
        acknowledged.ok()?;
        let record = record(&self.queue, &delivery, self.place);
        self.place += 1;
        Some(record)
    }
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
    if let Some(kind) = properties.kind() {
        let kind = kind.as_str().as_bytes().to_vec();
        record.headers.push((KIND.to_owned(), kind));
    }
    record
}
