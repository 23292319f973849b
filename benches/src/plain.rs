//! Plain clients of the broker: the same bytes as the relay's, with confirms, and nothing else.

mod queue;
mod stream;

use std::time::Duration;

use testbed::unique;

use crate::backlog::{KEYS, payload};
use crate::outlet::Broker;
use crate::servers::Servers;

/// How many messages are on their way unconfirmed: the relay's default.
const UNCONFIRMED_MAX: usize = 1000;

/// One message, as its place in the backlog says.
struct Plain {
    id: String,
    key: String,
    payload: Vec<u8>,
}

impl Plain {
    fn new(number: u64) -> Self {
        Self {
            id: uuid::Uuid::from_u128(number.into()).to_string(),
            key: format!("customer-{:04}", number % KEYS),
            payload: payload(number),
        }
    }
}

/// Whether the broker has a plain client here.
pub(crate) fn has_plain_client(servers: &Servers) -> bool {
    let broker = servers.outlet().broker;
    !matches!(broker, Broker::Kafka | Broker::KafkaAtLeastOnce)
}

/// Sends as many messages as a backlog has rows into a place of its own, and says how long that took
/// from the first to the last confirm; `None` for brokers that have no plain client here.
///
/// # Errors
/// When the broker refuses.
pub async fn plain_client(servers: &Servers, rows: u64) -> anyhow::Result<Option<Duration>> {
    if !has_plain_client(servers) {
        return Ok(None);
    }
    let outlet = servers.outlet();
    let place = unique::name("plain");
    outlet.make(&place).await?;
    let rabbit = outlet.rabbit()?;
    let took = match outlet.broker {
        Broker::RabbitmqStream => stream::send(rabbit.stream_port(), &place, rows).await?,
        _ => queue::send(&rabbit.address(), &place, rows).await?,
    };
    outlet.delete(&place).await?;
    Ok(Some(took))
}
