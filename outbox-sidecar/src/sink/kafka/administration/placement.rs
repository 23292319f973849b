use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use outbox_core::sink::AcquireError;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::KafkaAdministration;
use crate::sink::kafka::closing::QuietContext;
use crate::sink::kafka::errors::unusable;
use crate::sink::message_text;

/// Of so many partitions the newest messages are looked at.
const PARTITIONS_MAX: i32 = 32;
/// How far back they are looked for: markers of transactions stand between them.
const RECORDS_BACK: i64 = 50;
/// How long all of it may take.
const LOOK_MAX: Duration = Duration::from_secs(5);
/// How long one poll waits.
const POLL_MAX: Duration = Duration::from_millis(100);
/// The partitioner that can be computed here: that of Java clients, and the default.
const PARTITIONER: &str = "murmur2_random";

/// The newest message of a partition, whose key would go to another one today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misplaced {
    /// Where it lies.
    pub partition: i32,
    /// Where a message of its key would go.
    pub today: i32,
}

impl KafkaAdministration {
    /// Looks at the newest message of a relay in each partition of a topic: one that lies where its key
    /// would not go today was published while there was another number of partitions. None where all lie
    /// where they belong, where there is none, and where the topic may not be read.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub fn misplaced(
        &self,
        topic: &str,
        partitions: usize,
    ) -> Result<Option<Misplaced>, AcquireError> {
        let mut config = self.properties.consumer(&self.settings).map_err(unusable)?;
        let partitioner = self.properties.plain_producer().map_err(unusable)?;
        if partitioner.get("partitioner") != Some(PARTITIONER) {
            return Ok(None);
        }
        config.set("enable.partition.eof", "true");
        let reader: BaseConsumer<QuietContext> = config
            .create_with_context(QuietContext::of(&config))
            .map_err(unusable)?;
        let count = i32::try_from(partitions).unwrap_or(i32::MAX);
        let newest = newest_keys(&reader, topic, count).unwrap_or_default();
        let misplaced = newest.into_iter().find_map(|(partition, key)| {
            let today = partition_of(&key, count)?;
            (today != partition).then_some(Misplaced { partition, today })
        });
        Ok(misplaced)
    }
}

/// The key of the newest message in each partition that has one near its end.
fn newest_keys(
    reader: &BaseConsumer<QuietContext>,
    topic: &str,
    partitions: i32,
) -> Result<BTreeMap<i32, Vec<u8>>, KafkaError> {
    let end = Instant::now() + LOOK_MAX;
    let mut spans = TopicPartitionList::new();
    // Up to where each is read: one that never rests does not say that its end is reached.
    let mut open = BTreeMap::new();
    for partition in 0..partitions.min(PARTITIONS_MAX) {
        let left = end.saturating_duration_since(Instant::now());
        let (low, high) = reader.fetch_watermarks(topic, partition, left)?;
        if low < high {
            let from = Offset::Offset(low.max(high - RECORDS_BACK));
            spans.add_partition_offset(topic, partition, from)?;
            open.insert(partition, high);
        }
    }
    reader.assign(&spans)?;
    let mut newest = BTreeMap::new();
    while !open.is_empty() && Instant::now() < end {
        match reader.poll(POLL_MAX) {
            Some(Ok(record)) => {
                let (partition, offset) = (record.partition(), record.offset());
                if let Some(key) = key_of_ours(&record) {
                    newest.insert(partition, key);
                }
                open.retain(|known, end| *known != partition || offset.saturating_add(1) < *end);
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
            Some(Err(error)) => return Err(error),
            None => {}
        }
    }
    Ok(newest)
}

/// Of a message that a relay published: others may place theirs by other rules.
fn key_of_ours(record: &BorrowedMessage<'_>) -> Option<Vec<u8>> {
    let mut headers = record.headers()?.iter();
    headers.find(|header| header.key == message_text::ID)?;
    let key = record.key()?;
    (!key.is_empty()).then(|| key.to_vec())
}

/// Where a client of Java puts a message with this key.
pub(in crate::sink::kafka) fn partition_of(key: &[u8], partitions: i32) -> Option<i32> {
    let positive = i32::try_from(murmur2(key)? & 0x7fff_ffff).ok()?;
    positive.checked_rem(partitions)
}

/// As `org.apache.kafka.common.utils.Utils.murmur2`; none for a key that is longer than any message.
fn murmur2(data: &[u8]) -> Option<u32> {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c_u32 ^ u32::try_from(data.len()).ok()?;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(M);
        word ^= word >> 24;
        hash = hash.wrapping_mul(M) ^ word.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    Some(hash ^ (hash >> 15))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of Kafka's own test, `UtilsTest.testMurmur2`.
    #[test]
    fn the_hash_is_that_of_java_clients() {
        for (key, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()), Some(hash.cast_unsigned()), "{key}");
        }
        assert_eq!(partition_of(b"abc", 0), None);
    }
}
