//! The broker that a backlog is drained into.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;
use lapin::options::QueueDeleteOptions;
use testbed::history::{read_stream, take_queue};
use testbed::{Error, KafkaServer, RabbitServer};

use crate::audience::{Audience, Tally, read_topic};
use crate::backlog::Backlog;

const PARTITIONS: i32 = 6;
const READ_MAX: Duration = Duration::from_secs(300);

/// What a backlog can be drained into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Broker {
    /// A topic, exactly once.
    Kafka,
    /// A topic, at least once.
    KafkaAtLeastOnce,
    /// A classic queue.
    RabbitmqClassic,
    /// A quorum queue.
    RabbitmqQuorum,
    /// A stream.
    RabbitmqStream,
}

/// A broker that runs; dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) broker: Broker,
    server: Server,
}

#[derive(Debug)]
enum Server {
    Kafka(KafkaServer),
    RabbitMq(RabbitServer),
}

impl Outlet {
    pub(crate) async fn start(broker: Broker) -> Result<Self, Error> {
        let server = match broker {
            Broker::Kafka | Broker::KafkaAtLeastOnce => {
                Server::Kafka(KafkaServer::options().throughput().start().await?)
            }
            _ => Server::RabbitMq(RabbitServer::start().await?),
        };
        Ok(Self { broker, server })
    }

    /// The Kafka cluster.
    pub(crate) fn kafka(&self) -> anyhow::Result<&KafkaServer> {
        match &self.server {
            Server::Kafka(kafka) => Ok(kafka),
            Server::RabbitMq(_) => bail!("this benchmark needs Kafka"),
        }
    }

    /// The RabbitMQ node.
    pub(crate) fn rabbit(&self) -> anyhow::Result<&RabbitServer> {
        match &self.server {
            Server::RabbitMq(rabbit) => Ok(rabbit),
            Server::Kafka(_) => bail!("this benchmark needs RabbitMQ"),
        }
    }

    /// RabbitMQ's type of queue.
    fn queue_type(&self) -> &'static str {
        match self.broker {
            Broker::RabbitmqQuorum => "quorum",
            Broker::RabbitmqStream => "stream",
            _ => "classic",
        }
    }

    /// Makes the topic, queue or stream.
    pub(crate) async fn make(&self, name: &str) -> Result<(), Error> {
        match &self.server {
            Server::Kafka(kafka) => kafka.create_topic(name, PARTITIONS).await,
            Server::RabbitMq(rabbit) => {
                let address = rabbit.address();
                address.create_queue(name, self.queue_type()).await
            }
        }
    }

    /// Deletes it.
    pub(crate) async fn delete(&self, name: &str) -> anyhow::Result<()> {
        match &self.server {
            Server::Kafka(kafka) => Ok(kafka.delete_topic(name).await?),
            Server::RabbitMq(rabbit) => {
                let channel = rabbit.address().channel().await?;
                let options = QueueDeleteOptions::default();
                channel.queue_delete(name.into(), options).await?;
                Ok(())
            }
        }
    }

    /// The sink's section of the relay's configuration.
    pub(crate) fn section(&self, relay: &str) -> String {
        match &self.server {
            Server::Kafka(kafka) => {
                let delivery = match self.broker {
                    Broker::KafkaAtLeastOnce => "at-least-once",
                    _ => "exactly-once",
                };
                format!(
                    "[kafka]\ndelivery = \"{delivery}\"\nreplication_factor = 1\n\
                     checkpoint_topic = \"checkpoints_{relay}\"\n\n[kafka.properties]\n\
                     \"bootstrap.servers\" = \"{}\"\n",
                    kafka.bootstrap()
                )
            }
            Server::RabbitMq(rabbit) if self.broker == Broker::RabbitmqStream => {
                format!("[rabbitmq_stream]\nurl = \"{}\"\n", rabbit.stream_url())
            }
            Server::RabbitMq(rabbit) => format!("[rabbitmq]\nurl = \"{}\"\n", rabbit.url()),
        }
    }

    /// Reads what a drained backlog has become to its end, outside of any timing.
    pub(crate) async fn verify(&self, backlog: &Backlog) -> anyhow::Result<Audience> {
        let name = &backlog.place.topic;
        let records = match &self.server {
            Server::Kafka(kafka) => return read_topic(kafka, backlog),
            Server::RabbitMq(rabbit) if self.broker == Broker::RabbitmqStream => {
                read_stream(&rabbit.address(), name, READ_MAX).await?
            }
            Server::RabbitMq(rabbit) => take_queue(&rabbit.address(), name, READ_MAX).await?,
        };
        let mut tally = Tally::new(backlog.rows)?;
        for record in records {
            let key = record.key.clone().unwrap_or_default();
            tally
                .add(key.as_bytes(), record.payload.as_deref())
                .with_context(|| record.to_string())?;
        }
        Ok(tally.audience)
    }
}
