//! Where a scenario's relay publishes to, and what consumers see there.

use std::sync::{Mutex, PoisonError};

use outbox_core::Lsn;
use outbox_core::checkpoint::Checkpoint;
use testbed::history::{Record, Report, read, read_stream, take_queue};
use testbed::{KafkaAddress, RabbitAddress, RabbitServer, unique};
use tokio_postgres::Client;

use crate::scenario::DEADLINE;

/// Kafka's default.
const EXACTLY_ONCE: &str = "exactly-once";

/// A place of the scenario's own, of one of the kinds that a relay can publish to.
pub(crate) enum Target {
    Kafka(Topic),
    Queue(Queue),
    Stream(Stream),
}

/// A topic, and the topic for checkpoints.
pub(crate) struct Topic {
    pub(crate) address: KafkaAddress,
    pub(crate) name: String,
    pub(crate) checkpoints: String,
    delivery: &'static str,
}

/// A stream.
pub(crate) struct Stream {
    pub(crate) address: RabbitAddress,
    pub(crate) name: String,
}

/// A queue, and what was taken out of it.
pub(crate) struct Queue {
    pub(crate) address: RabbitAddress,
    pub(crate) name: String,
    taken: Mutex<Vec<Record>>,
}

impl Target {
    /// A new topic of six partitions.
    pub(crate) async fn kafka(address: &KafkaAddress) -> Self {
        Self::Kafka(Topic {
            address: address.clone(),
            name: address.create_unique_topic("events", 6).await.unwrap(),
            checkpoints: unique::name("checkpoints"),
            delivery: EXACTLY_ONCE,
        })
    }

    /// The same, without transactions around the messages.
    pub(crate) async fn kafka_at_least_once(address: &KafkaAddress) -> Self {
        match Self::kafka(address).await {
            Self::Kafka(topic) => Self::Kafka(Topic {
                delivery: "at-least-once",
                ..topic
            }),
            other => other,
        }
    }

    /// A new queue of this type: `classic` or `quorum`.
    pub(crate) async fn queue(rabbit: &RabbitServer, kind: &str) -> Self {
        Self::Queue(Queue {
            address: rabbit.address(),
            name: rabbit.create_queue(kind).await.unwrap(),
            taken: Mutex::default(),
        })
    }

    /// A new stream.
    pub(crate) async fn stream(rabbit: &RabbitServer) -> Self {
        Self::Stream(Stream {
            address: rabbit.address(),
            name: rabbit.create_queue("stream").await.unwrap(),
        })
    }

    /// The destination that leads there.
    pub(crate) fn destination(&self) -> &str {
        match self {
            Self::Kafka(topic) => &topic.name,
            Self::Queue(queue) => &queue.name,
            Self::Stream(stream) => &stream.name,
        }
    }

    /// The sink's section of the configuration.
    pub(crate) fn section(&self) -> String {
        match self {
            Self::Kafka(topic) => format!(
                "[kafka]\ndelivery = \"{}\"\ncheckpoint_topic = \"{}\"\nreplication_factor = 1\n\
                 [kafka.properties]\n\"bootstrap.servers\" = \"{}\"\n",
                topic.delivery,
                topic.checkpoints,
                topic.address.bootstrap()
            ),
            Self::Stream(stream) => format!(
                "[rabbitmq_stream]\nurl = \"{}\"\nheartbeat_s = 1\n",
                stream.address.stream_url()
            ),
            Self::Queue(queue) => {
                format!(
                    "[rabbitmq]\nurl = \"{}\"\nheartbeat_s = 1\n",
                    queue.address.url()
                )
            }
        }
    }

    /// Everything that a consumer has seen by now, in the order of each key.
    pub(crate) async fn records(&self) -> Vec<Record> {
        match self {
            Self::Stream(stream) => read_stream(&stream.address, &stream.name, DEADLINE)
                .await
                .unwrap(),
            Self::Kafka(topic) => read(&topic.address, &[&topic.name], DEADLINE)
                .await
                .unwrap(),
            Self::Queue(queue) => {
                let new = take_queue(&queue.address, &queue.name, DEADLINE)
                    .await
                    .unwrap();
                let mut taken = queue.taken.lock().unwrap_or_else(PoisonError::into_inner);
                taken.extend(new);
                taken.clone()
            }
        }
    }

    /// The newest checkpoint of the relay.
    pub(crate) async fn checkpoint(&self, relay: &str, client: &Client) -> Option<Checkpoint> {
        if let Self::Kafka(topic) = self {
            let records = read(&topic.address, &[&topic.checkpoints], DEADLINE)
                .await
                .ok()?;
            let is_ours = |record: &&Record| record.key.as_deref() == Some(relay);
            let newest = records.iter().rev().find(is_ours)?;
            let bytes = newest.payload.as_deref()?;
            return Some(Checkpoint::decode(bytes).unwrap());
        }
        let sql = "select checkpoint from outbox.relay where name = $1";
        let row = client.query_opt(sql, &[&relay]).await.ok()??;
        let text: Option<String> = row.get(0);
        Some(Checkpoint::decode(text?.as_bytes()).unwrap())
    }

    /// Whether a consumer may see a message more than once.
    pub(crate) fn may_repeat(&self) -> bool {
        match self {
            Self::Kafka(topic) => topic.delivery != EXACTLY_ONCE,
            Self::Queue(_) => true,
            Self::Stream(_) => false,
        }
    }

    /// A stream shows the order in which everything was committed, whatever its key.
    pub(crate) fn assert_commit_order(&self, records: &[Record]) {
        if !matches!(self, Self::Stream(_)) {
            return;
        }
        let mut last = None;
        for record in records {
            let position = record.header("outbox-position").unwrap();
            let (_, place) = position.split_once(':').unwrap();
            let (lsn, index) = place.split_once(':').unwrap();
            let here: (Lsn, u32) = (lsn.parse().unwrap(), index.parse().unwrap());
            assert!(last < Some(here), "{position} at {record} after {last:?}");
            last = Some(here);
        }
    }

    /// Whether a consumer saw what this kind of target promises.
    pub(crate) fn keeps_its_promise(&self, report: &Report) -> bool {
        report.is_exactly_once() || self.may_repeat() && report.is_at_least_once()
    }
}
