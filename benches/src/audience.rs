//! A consumer that reads to the end and checks what it sees, outside of any timing.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use testbed::KafkaServer;

use crate::backlog::{Backlog, NUMBER_DIGITS};
use crate::servers::Servers;

const METADATA_MAX: Duration = Duration::from_secs(30);
const READ_MAX: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(100);

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audience {
    /// Rows seen at least once.
    pub seen: u64,
    /// Rows seen again.
    pub duplicated: u64,
    /// Rows seen after a later row of their key.
    pub out_of_order: u64,
}

/// A consumer of `topic`'s partitions from their beginning, and these.
pub(crate) fn consumer(
    mut config: ClientConfig,
    topic: &str,
) -> anyhow::Result<(BaseConsumer, BTreeSet<i32>)> {
    let consumer: BaseConsumer = config
        .set("group.id", "outbox-bench")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .create()
        .context("no consumer")?;
    let metadata = consumer.fetch_metadata(Some(topic), METADATA_MAX)?;
    let partitions: BTreeSet<i32> = metadata
        .topics()
        .iter()
        .filter(|found| found.name() == topic)
        .flat_map(|found| found.partitions())
        .map(|partition| partition.id())
        .collect();
    if partitions.is_empty() {
        bail!("there is no topic {topic}");
    }
    let mut assignment = TopicPartitionList::new();
    for partition in &partitions {
        assignment.add_partition_offset(topic, *partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    Ok((consumer, partitions))
}

/// What was read so far.
pub(crate) struct Tally {
    seen: Vec<bool>,
    last_of_key: HashMap<Vec<u8>, usize>,
    pub(crate) audience: Audience,
}

impl Tally {
    /// Of a backlog of so many rows, nothing was read yet.
    pub(crate) fn new(rows: u64) -> anyhow::Result<Self> {
        Ok(Self {
            seen: vec![false; usize::try_from(rows)?],
            last_of_key: HashMap::new(),
            audience: Audience::default(),
        })
    }

    /// One more message.
    pub(crate) fn add(&mut self, key: &[u8], payload: Option<&[u8]>) -> anyhow::Result<()> {
        let number = number(payload).context("a record has no number")?;
        let place = self.seen.get_mut(number);
        let place = place.with_context(|| format!("row {number} was never written"))?;
        if std::mem::replace(place, true) {
            self.audience.duplicated += 1;
            return Ok(());
        }
        self.audience.seen += 1;
        match self.last_of_key.get_mut(key) {
            Some(last) if number < *last => self.audience.out_of_order += 1,
            Some(last) => *last = number,
            None => drop(self.last_of_key.insert(key.to_vec(), number)),
        }
        Ok(())
    }
}

/// Reads the topic of a drained backlog to its end. Blocks.
pub(crate) fn read_topic(kafka: &KafkaServer, backlog: &Backlog) -> anyhow::Result<Audience> {
    let topic = &backlog.place.topic;
    let (consumer, mut open) = consumer(kafka.address().client_config(), topic)?;
    let mut tally = Tally::new(backlog.rows)?;
    let started = Instant::now();
    while !open.is_empty() {
        if started.elapsed() > READ_MAX {
            bail!("the end of topic {topic} was not reached within {READ_MAX:?}");
        }
        match consumer.poll(POLL) {
            Some(Ok(record)) => {
                tally.add(record.key().unwrap_or_default(), record.payload())?;
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            // Everything else is repeated by the client itself, until the deadline.
            Some(Err(_)) | None => {}
        }
    }
    Ok(tally.audience)
}

/// Reads what a drained backlog has become to its end.
///
/// # Errors
/// When the end is not reached within five minutes, or a message is none of the backlog.
pub async fn verify(servers: &Servers, backlog: &Backlog) -> anyhow::Result<Audience> {
    servers.outlet().verify(backlog).await
}

/// The number at the beginning of a payload.
fn number(payload: Option<&[u8]>) -> Option<usize> {
    let digits = payload?.get(..NUMBER_DIGITS)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
