//! A topic, filled as the relay fills it.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::json;
use testbed::KafkaAddress;
use tokio::task::JoinHandle;
use uuid::Uuid;

const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A record to be.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) id: Uuid,
    pub(crate) customer: String,
    event_type: Option<&'static str>,
    premium_cents: i64,
    has_id: bool,
    /// Instead of an order.
    payload: Option<&'static [u8]>,
    is_tombstone: bool,
}

impl Event {
    pub(crate) fn random(random: &mut fastrand::Rng) -> Self {
        let types = ["OrderPlaced", "OrderCancelled"];
        Self {
            id: Uuid::now_v7(),
            customer: format!("customer {}", random.u8(..7)),
            event_type: random.choice(types),
            premium_cents: random.i64(1..1000),
            has_id: true,
            payload: None,
            is_tombstone: false,
        }
    }

    /// What it moves.
    pub(crate) fn cents(&self) -> i64 {
        match self.event_type {
            Some("OrderPlaced") => self.premium_cents,
            _ => -self.premium_cents,
        }
    }

    pub(crate) fn customer(mut self, name: &str) -> Self {
        self.customer = name.to_owned();
        self
    }

    pub(crate) fn cents_of(mut self, cents: i64) -> Self {
        self.premium_cents = cents;
        self.of_type(Some("OrderPlaced"))
    }

    pub(crate) fn of_type(mut self, event_type: Option<&'static str>) -> Self {
        self.event_type = event_type;
        self
    }

    pub(crate) fn without_id(mut self) -> Self {
        self.has_id = false;
        self.of_type(Some("OrderPlaced"))
    }

    pub(crate) fn payload(mut self, payload: &'static [u8]) -> Self {
        self.payload = Some(payload);
        self
    }

    pub(crate) fn tombstone(mut self) -> Self {
        self.is_tombstone = true;
        self
    }

    fn headers(&self) -> OwnedHeaders {
        let id = self.id.to_string();
        let id = self.has_id.then_some(("outbox-id", id.as_str()));
        let event_type = self.event_type.map(|name| ("outbox-type", name));
        let pairs = [id, event_type].into_iter().flatten();
        pairs.fold(OwnedHeaders::new(), |headers, (key, value)| {
            let value = Some(value);
            headers.insert(Header { key, value })
        })
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        if self.is_tombstone {
            return None;
        }
        let order = json!({
            "order_id": Uuid::now_v7(),
            "customer": self.customer,
            "product": "bicycle",
            "premium_cents": self.premium_cents,
            "version": 1,
        });
        let bytes = self.payload.map(<[u8]>::to_vec);
        Some(bytes.unwrap_or_else(|| order.to_string().into_bytes()))
    }
}

/// Records of one transaction, and whether it commits.
pub(crate) type Transaction = (Vec<Event>, bool);

pub(crate) struct Topic {
    kafka: &'static KafkaAddress,
    pub(crate) name: String,
    partitions: i32,
}

impl Topic {
    pub(crate) async fn create(partitions: i32) -> Self {
        let kafka = testbed::shared_kafka().await.unwrap();
        let created = kafka.create_unique_topic("orders", partitions).await;
        Self {
            kafka,
            name: created.unwrap(),
            partitions,
        }
    }

    pub(crate) fn bootstrap_servers(&self) -> String {
        let config = self.kafka.client_config();
        config.get("bootstrap.servers").unwrap().to_owned()
    }

    /// Publishes in the background.
    pub(crate) fn publish(&self, transactions: Vec<Transaction>) -> JoinHandle<()> {
        let (config, topic) = (self.kafka.client_config(), self.name.clone());
        tokio::task::spawn_blocking(move || publish(config, &topic, &transactions))
    }

    /// One event as the last of each partition; returns them.
    pub(crate) async fn publish_to_each_partition(&self) -> Vec<Event> {
        let mut random = fastrand::Rng::new();
        let events: Vec<Event> = (0..self.partitions)
            .map(|_| Event::random(&mut random))
            .collect();
        let (config, topic) = (self.kafka.client_config(), self.name.clone());
        let records = events.clone();
        let publishing = tokio::task::spawn_blocking(move || {
            let producer: BaseProducer = config.create().unwrap();
            for (event, partition) in records.iter().zip(0..) {
                send(&producer, &topic, event, Some(partition));
            }
            producer.flush(ANSWER_MAX).unwrap();
        });
        publishing.await.unwrap();
        events
    }
}

fn publish(mut config: ClientConfig, topic: &str, transactions: &[Transaction]) {
    config.set("transactional.id", topic);
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(ANSWER_MAX).unwrap();
    for (events, commits) in transactions {
        producer.begin_transaction().unwrap();
        for event in events {
            send(&producer, topic, event, None);
        }
        producer.flush(ANSWER_MAX).unwrap();
        if *commits {
            producer.commit_transaction(ANSWER_MAX).unwrap();
        } else {
            producer.abort_transaction(ANSWER_MAX).unwrap();
        }
    }
}

fn send(producer: &BaseProducer, topic: &str, event: &Event, partition: Option<i32>) {
    let payload = event.bytes();
    let mut record = BaseRecord::to(topic)
        .key(&event.customer)
        .headers(event.headers());
    if let Some(payload) = &payload {
        record = record.payload(payload);
    }
    if let Some(partition) = partition {
        record = record.partition(partition);
    }
    producer.send(record).map_err(|(error, _)| error).unwrap();
}
