//! One connection to RabbitMQ, from its begin to its end.

use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties, Consumer};
use outbox_examples::{Stop, until_handled};

use crate::reports::Reports;
use crate::{Options, order, queue};

/// Orders that the broker sends ahead. After a crash so many come again at most; with too few the
/// service waits for the network.
const PREFETCH: u16 = 32;
/// A connection without a sign of life for two of these is dead; the URL may say otherwise.
const HEARTBEAT_S: u16 = 10;
/// How long RabbitMQ may take to accept a connection, and to say farewell.
const CONNECT_MAX: Duration = Duration::from_secs(10);
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// Makes what is ordered until the program is asked to end; an error is a lost connection.
pub(crate) async fn session(
    options: &Options,
    reports: &Reports,
    stop: &Stop,
) -> anyhow::Result<()> {
    let mut url = options.amqp_url.clone();
    url.query.heartbeat.get_or_insert(HEARTBEAT_S);
    let connecting = Connection::connect_uri(url, ConnectionProperties::default());
    let connection = tokio::select! {
        () = stop.requested() => return Ok(()),
        connected = tokio::time::timeout(CONNECT_MAX, connecting) => connected
            .context("RabbitMQ does not accept the connection")?
            .context("RabbitMQ cannot be reached")?,
    };
    let channel = connection.create_channel().await?;
    queue::declare(&channel, &options.queue)
        .await
        .with_context(|| format!("queue {} cannot be had", options.queue))?;
    let consumer = subscribe(&channel, &options.queue).await?;
    tracing::info!(queue = options.queue, "consuming");
    consume(consumer, reports, stop).await?;
    // What was sent ahead goes back to the queue. When RabbitMQ does not answer, it does so by itself.
    let closing = connection.close(200, "asked to end".into());
    let _ = tokio::time::timeout(CLOSE_MAX, closing).await;
    Ok(())
}

async fn subscribe(channel: &Channel, queue: &str) -> lapin::Result<Consumer> {
    channel
        .basic_qos(PREFETCH, BasicQosOptions::default())
        .await?;
    let tag = "".into();
    let options = BasicConsumeOptions::default();
    channel
        .basic_consume(queue.into(), tag, options, FieldTable::default())
        .await
}

/// Handles one order after the other.
async fn consume(mut consumer: Consumer, reports: &Reports, stop: &Stop) -> anyhow::Result<()> {
    loop {
        let delivery = tokio::select! {
            () = stop.requested() => return Ok(()),
            delivery = consumer.next() => delivery,
        };
        let Some(delivery) = delivery else {
            bail!("RabbitMQ has ended the subscription");
        };
        let delivery = delivery.context("the connection is lost")?;
        let work = async || reports.make(&order::read(&delivery)?).await;
        match until_handled(stop, work).await {
            None => return Ok(()),
            Some(Ok(())) => acknowledge(&delivery).await?,
            Some(Err(reason)) => reject(&delivery, &reason).await?,
        }
    }
}

/// After the commit of the database: what is acknowledged is never delivered again.
async fn acknowledge(delivery: &Delivery) -> anyhow::Result<()> {
    let acknowledged = delivery.ack(BasicAckOptions::default()).await;
    acknowledged.context("an order cannot be acknowledged, it comes again")?;
    Ok(())
}

/// To the dead-letter queue.
async fn reject(delivery: &Delivery, reason: &str) -> anyhow::Result<()> {
    let message_id = delivery.properties.message_id().as_ref();
    tracing::error!(
        message_id = message_id.map(|id| id.as_str()),
        reason,
        "an order is poison, rejecting it to the dead-letter queue"
    );
    let rejected = delivery.reject(BasicRejectOptions { requeue: false }).await;
    rejected.context("an order cannot be rejected, it comes again")?;
    Ok(())
}
