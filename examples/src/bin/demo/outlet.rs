//! The broker: where the relay publishes to, and what a consumer sees there.

use std::time::Duration;

use testbed::history::{Follower, Record, Report, read, read_stream};
use testbed::{Error, KafkaServer, RabbitServer};

use crate::options::Broker;
use crate::servers::DESTINATION;

const PARTITIONS: i32 = 6;
/// Longest time for reading everything once more.
const READ_MAX: Duration = Duration::from_secs(120);

/// One broker, with the place that the demo publishes to; dropped, it is gone.
#[derive(Debug)]
pub(crate) enum Outlet {
    Kafka(KafkaServer),
    Queue(RabbitServer),
    Stream(RabbitServer),
}

impl Outlet {
    /// Starts a broker of this kind, and makes topic or queue.
    pub(crate) async fn start(broker: Broker) -> Result<Self, Error> {
        match broker {
            Broker::Kafka => {
                let kafka = KafkaServer::start().await?;
                kafka.create_topic(DESTINATION, PARTITIONS).await?;
                Ok(Self::Kafka(kafka))
            }
            Broker::Rabbitmq => {
                let rabbit = RabbitServer::start().await?;
                rabbit.address().create_queue(DESTINATION, "quorum").await?;
                Ok(Self::Queue(rabbit))
            }
            Broker::RabbitmqStream => {
                let rabbit = RabbitServer::start().await?;
                rabbit.address().create_queue(DESTINATION, "stream").await?;
                Ok(Self::Stream(rabbit))
            }
        }
    }

    /// The sink's section of the relay's configuration.
    pub(crate) fn section(&self) -> String {
        match self {
            Self::Kafka(kafka) => format!(
                "[kafka]\nreplication_factor = 1\n\n[kafka.properties]\n\
                 \"bootstrap.servers\" = \"{}\"\n",
                kafka.bootstrap()
            ),
            Self::Queue(rabbit) => format!("[rabbitmq]\nurl = \"{}\"\n", rabbit.url()),
            Self::Stream(rabbit) => {
                format!("[rabbitmq_stream]\nurl = \"{}\"\n", rabbit.stream_url())
            }
        }
    }

    /// A consumer that looks on.
    pub(crate) async fn follow(&self) -> Result<Follower, Error> {
        match self {
            Self::Kafka(kafka) => Follower::start(kafka.address(), &[DESTINATION]).await,
            Self::Queue(rabbit) => {
                Follower::of_rabbitmq(&rabbit.address(), DESTINATION, false).await
            }
            Self::Stream(rabbit) => {
                Follower::of_rabbitmq(&rabbit.address(), DESTINATION, true).await
            }
        }
    }

    /// Everything that a consumer sees, from the beginning to the end. What was taken out of a queue
    /// only its consumer knows.
    pub(crate) async fn records(&self, follower: &Follower) -> Result<Vec<Record>, Error> {
        match self {
            Self::Kafka(kafka) => read(kafka.address(), &[DESTINATION], READ_MAX).await,
            Self::Queue(_) => Ok(follower.records()),
            Self::Stream(rabbit) => read_stream(&rabbit.address(), DESTINATION, READ_MAX).await,
        }
    }

    /// Whether the report is what this kind of broker promises.
    pub(crate) fn keeps_its_promise(&self, report: &Report) -> bool {
        match self {
            Self::Kafka(_) | Self::Stream(_) => report.is_exactly_once(),
            Self::Queue(_) => report.is_at_least_once(),
        }
    }

    /// What a duplicate means here.
    pub(crate) fn about_duplicates(&self) -> &'static str {
        match self {
            Self::Kafka(_) | Self::Stream(_) => "",
            Self::Queue(_) => "with the same message_id: an inbox acts on each once",
        }
    }

    /// Who sees a published message.
    pub(crate) fn consumer(&self) -> &'static str {
        match self {
            Self::Kafka(_) => "of the committed ones, seen by a read_committed consumer",
            Self::Queue(_) => "of the committed ones, taken from the queue by a consumer",
            Self::Stream(_) => "of the committed ones, in the stream",
        }
    }

    /// Its name and where it is.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Kafka(kafka) => format!("Kafka at {}", kafka.bootstrap()),
            Self::Queue(rabbit) => format!("RabbitMQ at {}", rabbit.url()),
            Self::Stream(rabbit) => format!("RabbitMQ at {}", rabbit.stream_url()),
        }
    }
}
