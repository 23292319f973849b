//! What consumers see.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::broker::Broker;
use super::support::SOON;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Every committed record of a topic, partition by partition, once each transaction in it is
/// decided there: the answer to a commit does not wait for its markers, and a broker that was
/// frozen writes them one partition after the other.
pub(super) fn committed(broker: &Broker, topic: &str) -> Vec<OwnedMessage> {
    let ends = |isolation| {
        let consumer = consumer(broker, isolation);
        let end = |partition| consumer.fetch_watermarks(topic, partition, SOON).unwrap().1;
        partitions(&consumer, topic).map(end).collect::<Vec<_>>()
    };
    let deadline = Instant::now() + SOON;
    // Asked by a reader of committed records, the end is the last stable offset.
    while ends("read_committed") < ends("read_uncommitted") {
        assert!(
            Instant::now() < deadline,
            "a transaction in {topic} is not decided"
        );
        std::thread::sleep(PAUSE);
    }
    read(broker, topic, "read_committed")
}

/// Every record that a careless consumer sees.
pub(super) fn uncommitted(broker: &Broker, topic: &str) -> Vec<OwnedMessage> {
    read(broker, topic, "read_uncommitted")
}

/// The committed payloads, sorted by sequence and index.
pub(super) fn committed_payloads(broker: &Broker, topic: &str) -> Vec<String> {
    let text = |record: &OwnedMessage| {
        String::from_utf8(record.payload().unwrap_or_default().to_vec()).unwrap()
    };
    let mut payloads: Vec<String> = committed(broker, topic).iter().map(text).collect();
    payloads.sort_by_key(|payload| {
        let (sequence, index) = payload.split_once('.').unwrap_or(("0", "0"));
        (sequence.parse::<u64>().ok(), index.parse::<u64>().ok())
    });
    payloads
}

/// The record's headers as text, in their order.
pub(super) fn headers(record: &OwnedMessage) -> Vec<(String, String)> {
    let headers = record.headers().unwrap();
    let pair = |header: rdkafka::message::Header<'_, &[u8]>| {
        let value = String::from_utf8(header.value.unwrap().to_vec()).unwrap();
        (header.key.to_owned(), value)
    };
    headers.iter().map(pair).collect()
}

fn consumer(broker: &Broker, isolation: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("group.id", "tests")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", isolation)
        .create()
        .unwrap()
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> std::ops::Range<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), SOON).unwrap();
    0..i32::try_from(metadata.topics()[0].partitions().len()).unwrap()
}

fn read(broker: &Broker, topic: &str, isolation: &str) -> Vec<OwnedMessage> {
    let consumer = consumer(broker, isolation);
    let partitions = partitions(&consumer, topic);
    let mut assignment = TopicPartitionList::new();
    for partition in partitions.clone() {
        assignment
            .add_partition_offset(topic, partition, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut records = Vec::new();
    let mut ended = std::collections::HashSet::new();
    let deadline = Instant::now() + SOON;
    while ended.len() < partitions.len() {
        assert!(
            Instant::now() < deadline,
            "{topic} could not be read to its end"
        );
        match consumer.poll(PAUSE) {
            Some(Ok(record)) => records.push(record.detach()),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ended.insert(partition);
            }
            _ => {}
        }
    }
    records.sort_by_key(|record| (record.partition(), record.offset()));
    records
}
