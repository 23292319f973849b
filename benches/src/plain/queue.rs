use std::time::{Duration, Instant};

use anyhow::bail;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable, LongString};
use testbed::RabbitAddress;

use super::{Plain, UNCONFIRMED_MAX};

/// By lapin: persistent, mandatory, one channel in confirm mode.
pub(super) async fn send(
    address: &RabbitAddress,
    queue: &str,
    rows: u64,
) -> anyhow::Result<Duration> {
    let channel = address.channel().await?;
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let started = Instant::now();
    let mut confirms = FuturesUnordered::new();
    for number in 0..rows {
        if confirms.len() >= UNCONFIRMED_MAX {
            confirmed(confirms.next().await)?;
        }
        let message = Plain::new(number);
        let sent = channel.basic_publish(
            "".into(),
            queue.into(),
            options,
            &message.payload,
            properties(&message),
        );
        confirms.push(sent.await?);
    }
    while !confirms.is_empty() {
        confirmed(confirms.next().await)?;
    }
    Ok(started.elapsed())
}

fn confirmed(confirm: Option<lapin::Result<lapin::Confirmation>>) -> anyhow::Result<()> {
    match confirm {
        Some(Ok(lapin::Confirmation::Ack(None))) => Ok(()),
        other => bail!("not confirmed: {other:?}"),
    }
}

fn properties(message: &Plain) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in [
        ("outbox-key", message.key.as_str()),
        ("outbox-position", "1:0/1A2B3C4D:123"),
    ] {
        headers.insert(name.into(), AMQPValue::LongString(LongString::from(value)));
    }
    BasicProperties::default()
        .with_delivery_mode(2)
        .with_message_id(message.id.as_str().into())
        .with_type("OrderPlaced".into())
        .with_content_type("application/json".into())
        .with_timestamp(1_700_000_000)
        .with_headers(headers)
}
