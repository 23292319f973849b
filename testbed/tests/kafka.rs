//! Kafka as tests need it: survives what they do to it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of a test fails the test"
)]

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Message, Offset, TopicPartitionList};
use testbed::KafkaServer;

const CALL_MAX: Duration = Duration::from_secs(60);

fn produce(kafka: &KafkaServer, topic: &str, values: &[&str], commit: bool) {
    let producer: BaseProducer = kafka
        .address()
        .client_config()
        .set("transactional.id", "kafka-test")
        .create()
        .unwrap();
    producer.init_transactions(CALL_MAX).unwrap();
    producer.begin_transaction().unwrap();
    for value in values {
        producer
            .send(BaseRecord::<(), str>::to(topic).payload(value))
            .unwrap();
    }
    if commit {
        producer.commit_transaction(CALL_MAX).unwrap();
    } else {
        producer.flush(CALL_MAX).unwrap();
        producer.abort_transaction(CALL_MAX).unwrap();
    }
}

/// Reads the first `count` values of partition 0 that a read_committed consumer sees.
fn consume(kafka: &KafkaServer, topic: &str, count: usize) -> Vec<String> {
    let consumer: BaseConsumer = kafka
        .address()
        .client_config()
        .set("group.id", "kafka-test")
        .set("isolation.level", "read_committed")
        .create()
        .unwrap();
    let mut partitions = TopicPartitionList::new();
    partitions
        .add_partition_offset(topic, 0, Offset::Beginning)
        .unwrap();
    consumer.assign(&partitions).unwrap();
    let end = Instant::now() + CALL_MAX;
    let mut values = Vec::new();
    while values.len() < count && Instant::now() < end {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            values.push(String::from_utf8(message.payload().unwrap().to_vec()).unwrap());
        }
    }
    values
}

#[tokio::test]
async fn transactions_survive_kills_and_stops() {
    let started = Instant::now();
    let kafka = KafkaServer::start().await.unwrap();
    println!("first start took {:?}", started.elapsed());
    let topic = kafka
        .address()
        .create_unique_topic("orders", 1)
        .await
        .unwrap();
    produce(&kafka, &topic, &["a", "b"], true);
    produce(&kafka, &topic, &["never"], false);

    let started = Instant::now();
    kafka.kill().await.unwrap();
    kafka.restart().await.unwrap();
    println!("kill and restart took {:?}", started.elapsed());
    produce(&kafka, &topic, &["c"], true);
    assert_eq!(consume(&kafka, &topic, 3), ["a", "b", "c"]);

    let started = Instant::now();
    kafka.stop().await.unwrap();
    kafka.restart().await.unwrap();
    println!("stop and restart took {:?}", started.elapsed());
    produce(&kafka, &topic, &["d"], true);
    assert_eq!(consume(&kafka, &topic, 4), ["a", "b", "c", "d"]);

    kafka.freeze().unwrap();
    kafka.thaw().unwrap();
    produce(&kafka, &topic, &["e"], true);
    assert_eq!(consume(&kafka, &topic, 5), ["a", "b", "c", "d", "e"]);

    kafka.delete_topic(&topic).await.unwrap();
    let again = kafka.delete_topic(&topic).await;
    assert!(
        again.is_err(),
        "a topic that is gone cannot be deleted: {again:?}"
    );
}
