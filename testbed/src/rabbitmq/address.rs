//! Where a node serves, and what tests make there.

use std::time::Duration;

use lapin::options::{ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, Connection, ConnectionProperties};

use crate::error::Error;

/// How long a node may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// How a node is reached: user `guest`, vhost `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RabbitAddress {
    amqp: u16,
    stream: u16,
}

impl RabbitAddress {
    pub(super) const fn new(amqp: u16, stream: u16) -> Self {
        Self { amqp, stream }
    }

    /// The AMQP URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.amqp)
    }

    /// The URL for the stream protocol.
    #[must_use]
    pub fn stream_url(&self) -> String {
        format!(
            "rabbitmq-stream://guest:guest@127.0.0.1:{}/%2f",
            self.stream
        )
    }

    /// A channel in confirm mode, on a connection of its own.
    ///
    /// # Errors
    /// When the node does not answer within half a minute.
    pub async fn channel(&self) -> Result<Channel, Error> {
        let opening = async {
            let properties = ConnectionProperties::default();
            // The channel keeps the connection.
            let connection = Connection::connect(&self.url(), properties).await?;
            let channel = connection.create_channel().await?;
            channel
                .confirm_select(ConfirmSelectOptions::default())
                .await?;
            Ok::<_, lapin::Error>(channel)
        };
        tokio::time::timeout(ANSWER_MAX, opening)
            .await
            .map_err(|_| Error::new("RabbitMQ does not answer"))?
            .map_err(Error::because("RabbitMQ does not let us in"))
    }

    /// A durable queue of this type (`classic`, `quorum` or `stream`).
    ///
    /// # Errors
    /// When the node refuses, or does not answer.
    pub async fn create_queue(&self, name: &str, kind: &str) -> Result<(), Error> {
        let mut arguments = FieldTable::default();
        let kind = AMQPValue::LongString(LongString::from(kind));
        arguments.insert("x-queue-type".into(), kind);
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        let channel = self.channel().await?;
        channel
            .queue_declare(name.into(), options, arguments)
            .await
            .map(drop)
            .map_err(Error::because(format!("queue {name} cannot be made")))
    }
}
