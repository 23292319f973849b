//! Transactions of a plain librdkafka, back to back: what the relay's sink could reach if it had nothing
//! else to do, and what rust-rdkafka's `flush` costs.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use testbed::{KafkaAddress, KafkaServer, unique};

use crate::backlog::KEYS;
use crate::measure::usage;

type Plain = ThreadedProducer<rdkafka::producer::DefaultProducerContext>;

/// As many as the other benchmarks' topics have.
const PARTITIONS: i32 = 6;
const PAYLOAD_BYTES: usize = 284;
const CALL_MAX: Duration = Duration::from_secs(60);
/// Between two looks at librdkafka's queue: the relay's.
const LOOK_EVERY: Duration = Duration::from_micros(20);

/// How a transaction is ended once everything is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ending {
    /// As the relay does: when librdkafka's queue is empty, commit.
    Emptied,
    /// rust-rdkafka's `flush`, then commit.
    Flush,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Emptied => "queue emptied",
            Self::Flush => "flush",
        })
    }
}

/// Transactions of one kind, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionPlan {
    /// Messages of each; a checkpoint comes on top.
    pub size: u32,
    /// How each is ended.
    pub ending: Ending,
    /// For how long.
    pub length: Duration,
}

/// What came out.
#[derive(Debug, Clone, PartialEq)]
pub struct Transactions {
    /// Messages a second, checkpoints not counted.
    pub messages_per_second: f64,
    /// From the last message handed over to the end of the commit, shortest first.
    pub sorted: Vec<Duration>,
    /// CPU time of this process by the messages.
    pub cpu_per_message: Duration,
}

/// A broker for [`TransactionPlan::run`]; dropped, it is gone.
#[derive(Debug)]
pub struct TransactionBroker(KafkaServer);

impl TransactionBroker {
    /// Starts it.
    ///
    /// # Errors
    /// When Kafka cannot be provisioned or does not start.
    pub async fn start() -> anyhow::Result<Self> {
        Ok(Self(KafkaServer::options().throughput().start().await?))
    }
}

impl TransactionPlan {
    /// Carries it out, with topics and a transactional id of its own.
    ///
    /// # Errors
    /// When the broker refuses, or does not answer within a minute.
    pub async fn run(self, broker: &TransactionBroker) -> anyhow::Result<Transactions> {
        let kafka = broker.0.address().clone();
        let topic = kafka.create_unique_topic("bench", PARTITIONS).await?;
        let checkpoints = kafka.create_unique_topic("checkpoints", 1).await?;
        let places = (topic.clone(), checkpoints.clone());
        let (address, plan) = (kafka.clone(), self);
        let carried_out =
            tokio::task::spawn_blocking(move || plan.carry_out(&address, &places.0, &places.1));
        let transactions = carried_out.await.context("the measurement panicked")??;
        kafka.delete_topic(&topic).await?;
        kafka.delete_topic(&checkpoints).await?;
        Ok(transactions)
    }

    fn carry_out(
        self,
        kafka: &KafkaAddress,
        topic: &str,
        checkpoints: &str,
    ) -> anyhow::Result<Transactions> {
        let mut config = kafka.client_config();
        config.set("transactional.id", unique::name("bench"));
        // The relay's.
        config.set("linger.ms", "0");
        let producer: Plain = config.create()?;
        producer.init_transactions(CALL_MAX)?;
        let payload = vec![b'x'; PAYLOAD_BYTES];
        let mut sorted = Vec::new();
        let mut sent = 0_u64;
        // The first one finds partitions and leaders.
        self.transaction(&producer, topic, checkpoints, &payload, &mut sent)?;
        let (before, began, first) = (usage(std::process::id())?, Instant::now(), sent);
        while began.elapsed() < self.length {
            sorted.push(self.transaction(&producer, topic, checkpoints, &payload, &mut sent)?);
        }
        let (took, after) = (began.elapsed(), usage(std::process::id())?);
        let messages = (sent - first) as f64;
        ensure!(
            messages > 0.0,
            "no transaction ended within {:?}",
            self.length
        );
        sorted.sort_unstable();
        Ok(Transactions {
            messages_per_second: messages / took.as_secs_f64(),
            sorted,
            cpu_per_message: (after.cpu - before.cpu).div_f64(messages),
        })
    }

    /// One transaction; returns how long its end took.
    fn transaction(
        self,
        producer: &Plain,
        topic: &str,
        checkpoints: &str,
        payload: &[u8],
        sent: &mut u64,
    ) -> anyhow::Result<Duration> {
        producer.begin_transaction()?;
        for _ in 0..self.size {
            let key = format!("customer-{:04}", *sent % KEYS);
            let header = |key, value| Header {
                key,
                value: Some(value),
            };
            let headers = OwnedHeaders::new()
                .insert(header("outbox-id", "00000000-0000-4000-8000-000000000000"))
                .insert(header("outbox-type", "OrderPlaced"));
            let record = BaseRecord::to(topic)
                .key(&key)
                .payload(payload)
                .headers(headers);
            producer.send(record).map_err(|(error, _)| error)?;
            *sent += 1;
        }
        let began = Instant::now();
        let checkpoint = BaseRecord::to(checkpoints).key("relay").payload(payload);
        producer.send(checkpoint).map_err(|(error, _)| error)?;
        match self.ending {
            Ending::Flush => producer.flush(CALL_MAX)?,
            Ending::Emptied => {
                while producer.in_flight_count() != 0 {
                    ensure!(began.elapsed() < CALL_MAX, "the broker does not answer");
                    std::thread::sleep(LOOK_EVERY);
                }
            }
        }
        producer.commit_transaction(CALL_MAX)?;
        Ok(began.elapsed())
    }
}
