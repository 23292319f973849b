//! What a read_committed consumer sees.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::{Message, Offset, TopicPartitionList};
use uuid::Uuid;

use crate::error::Error;
use crate::kafka::{KafkaAddress, blocking};

const METADATA_MAX: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// One consumed record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The header `outbox-id`; `None` when it is missing or no UUID.
    pub id: Option<Uuid>,
    /// The topic.
    pub topic: String,
    /// The key, as text.
    pub key: Option<String>,
    /// The partition.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// The value; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
    /// All headers, in their order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// When it arrived here.
    pub received: Instant,
}

impl Record {
    /// The first header of this name, as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let (_, value) = self.headers.iter().find(|(found, _)| found == name)?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    pub(super) fn from_message(message: &BorrowedMessage<'_>) -> Self {
        let headers: Vec<(String, Vec<u8>)> = message
            .headers()
            .into_iter()
            .flat_map(|headers| headers.iter())
            .map(|header| {
                (
                    header.key.to_owned(),
                    header.value.unwrap_or_default().to_vec(),
                )
            })
            .collect();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut record = Self {
            id: None,
            topic: message.topic().to_owned(),
            key: message.key().map(text),
            partition: message.partition(),
            offset: message.offset(),
            payload: message.payload().map(<[u8]>::to_vec),
            headers,
            received: Instant::now(),
        };
        record.id = record.header("outbox-id").and_then(|id| id.parse().ok());
        record
    }
}

/// Topic, partition and offset.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]@{}", self.topic, self.partition, self.offset)
    }
}

/// Reads the topics from their beginning up to what a read_committed consumer sees once every
/// transaction that has begun by now is decided.
///
/// # Errors
/// When a topic is missing, or the end is not reached within `deadline`.
pub async fn read(
    address: &KafkaAddress,
    topics: &[&str],
    deadline: Duration,
) -> Result<Vec<Record>, Error> {
    let mut records = Vec::new();
    for topic in topics {
        let (address, topic) = (address.clone(), (*topic).to_owned());
        records.extend(blocking(move || read_topic(&address, &topic, deadline)).await?);
    }
    Ok(records)
}

fn read_topic(
    address: &KafkaAddress,
    topic: &str,
    deadline: Duration,
) -> Result<Vec<Record>, Error> {
    let end = Instant::now() + deadline;
    let (consumer, mut open) = unassigned(address, topic)?;
    // Before the assignment: from then on the client fetches, and would report an end that it has
    // reached meanwhile.
    settle(address, &consumer, topic, &open, end)?;
    assign(&consumer, topic, &open)?;
    let mut records = Vec::new();
    while !open.is_empty() {
        if Instant::now() >= end {
            return Err(Error::new(format!(
                "the end of topic {topic} was not reached within {deadline:?}; {} records so far",
                records.len()
            )));
        }
        match consumer.poll(POLL) {
            Some(Ok(message)) => records.push(Record::from_message(&message)),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            // Everything else is repeated by the client itself, until the deadline.
            Some(Err(_)) | None => {}
        }
    }
    Ok(records)
}

/// Waits until every transaction that has records in the topic is decided there. The answer to a
/// commit does not wait for its markers: on a busy machine, or right after a broker's start, a
/// committed record becomes visible a while later.
fn settle(
    address: &KafkaAddress,
    committed: &BaseConsumer,
    topic: &str,
    partitions: &BTreeSet<i32>,
    deadline: Instant,
) -> Result<(), Error> {
    let uncommitted: BaseConsumer = address
        .client_config()
        .set("group.id", "testbed-reader")
        .set("isolation.level", "read_uncommitted")
        .create()
        .map_err(Error::because(format!("topic {topic} cannot be read")))?;
    // A handle that reads committed records is told the last stable offset as the end.
    let end = |consumer: &BaseConsumer, partition| {
        consumer
            .fetch_watermarks(topic, partition, METADATA_MAX)
            .map(|(_, high)| high)
    };
    for partition in partitions {
        loop {
            if let (Ok(high), Ok(stable)) =
                (end(&uncommitted, *partition), end(committed, *partition))
                && stable >= high
            {
                break;
            }
            if Instant::now() >= deadline {
                return Err(Error::new(format!(
                    "a transaction in topic {topic} stayed undecided for too long"
                )));
            }
            std::thread::sleep(POLL);
        }
    }
    Ok(())
}

/// A consumer of all partitions of one topic, from the beginning, and these partitions.
pub(super) fn consumer(
    address: &KafkaAddress,
    topic: &str,
) -> Result<(BaseConsumer, BTreeSet<i32>), Error> {
    let (consumer, partitions) = unassigned(address, topic)?;
    assign(&consumer, topic, &partitions)?;
    Ok((consumer, partitions))
}

/// A consumer that fetches nothing yet, and the partitions of the topic.
fn unassigned(address: &KafkaAddress, topic: &str) -> Result<(BaseConsumer, BTreeSet<i32>), Error> {
    let fail = || Error::because(format!("topic {topic} cannot be read"));
    let consumer: BaseConsumer = address
        .client_config()
        .set("group.id", "testbed-reader")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "10")
        .set("auto.offset.reset", "error")
        .create()
        .map_err(fail())?;
    let metadata = consumer
        .fetch_metadata(Some(topic), METADATA_MAX)
        .map_err(fail())?;
    let found = metadata
        .topics()
        .iter()
        .filter(|found| found.name() == topic);
    let partitions: BTreeSet<i32> = found
        .flat_map(|topic| topic.partitions())
        .map(|partition| partition.id())
        .collect();
    if partitions.is_empty() {
        return Err(Error::new(format!(
            "topic {topic} cannot be read: it does not exist"
        )));
    }
    Ok((consumer, partitions))
}

/// Lets it fetch, from the beginning.
fn assign(consumer: &BaseConsumer, topic: &str, partitions: &BTreeSet<i32>) -> Result<(), Error> {
    let fail = || Error::because(format!("topic {topic} cannot be read"));
    let mut assignment = TopicPartitionList::new();
    for partition in partitions {
        assignment
            .add_partition_offset(topic, *partition, Offset::Beginning)
            .map_err(fail())?;
    }
    consumer.assign(&assignment).map_err(fail())
}
