//! Reading a topic back: from its beginning, or a time, to what was its end when reading began.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use outbox_core::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::closing::{QuietContext, explain};
use super::destinations::{DestinationError, TopicState, believed_state};
use super::errors::Trouble;
use super::properties::Properties;
use super::settings::{KafkaSettings, KafkaSettingsError};
use crate::sink::message_text as text;
use crate::sink::published::{DestinationRead, Published, ReadError};

/// How many partitions are read at once: librdkafka holds some megabytes for each.
const PARTITIONS_AT_ONCE: usize = 4;
/// What is asked of a partition at once; a record that is larger comes alone.
const FETCH_BYTES_MAX: &str = "262144";
/// With so many records of a partition at hand librdkafka asks for no more.
const MESSAGES_AHEAD_MIN: &str = "2000";
/// When it looks again whether it has so many; by default it waits a second.
const QUEUE_PAUSE_MS: &str = "5";
/// How long the broker may take for one answer about a partition.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long reading may go on without a record, before the broker counts as away.
const READ_PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long one poll waits.
const POLL_MAX: Duration = Duration::from_millis(100);
/// The pause between looks at a transaction that is still undecided.
const UNDECIDED_PAUSE: Duration = Duration::from_millis(100);

/// Reads topics as a consumer would; joins no group and commits nothing.
pub(crate) struct TopicReader {
    committed: BaseConsumer<QuietContext>,
    uncommitted: BaseConsumer<QuietContext>,
}

/// What of a partition is read.
#[derive(Clone, Copy, Debug)]
struct Span {
    partition: i32,
    from: i64,
    /// Behind the last record, whether it is committed or not.
    end: i64,
}

impl TopicReader {
    /// Connects with its first request.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub(crate) fn new(settings: &KafkaSettings) -> Result<Self, KafkaSettingsError> {
        let properties = Properties::new(settings)?;
        let consumer = |isolation| {
            let mut config = properties.consumer(settings)?;
            config
                .set("isolation.level", isolation)
                .set("fetch.message.max.bytes", FETCH_BYTES_MAX)
                .set("queued.min.messages", MESSAGES_AHEAD_MIN)
                .set("fetch.queue.backoff.ms", QUEUE_PAUSE_MS);
            config
                .create_with_context(QuietContext::of(&config))
                .map_err(|error: KafkaError| KafkaSettingsError::Together {
                    cause: error.to_string(),
                })
        };
        Ok(Self {
            committed: consumer("read_committed")?,
            uncommitted: consumer("read_uncommitted")?,
        })
    }

    /// Hands over each committed record of a topic that is younger than `from`, partition by
    /// partition in its order, up to the end that each partition has now. Transactions that are
    /// open now are waited for until `deadline`.
    ///
    /// # Errors
    /// The broker is away or refuses, a transaction stays open, or `each` fails.
    pub(crate) fn read<E: From<ReadError>>(
        &self,
        topic: &str,
        from: Option<Timestamp>,
        deadline: Instant,
        mut each: impl FnMut(&Published<'_>) -> Result<(), E>,
    ) -> Result<DestinationRead, E> {
        let Some(partitions) = self.partitions(topic)? else {
            return Ok(DestinationRead::default());
        };
        let mut read = DestinationRead {
            exists: true,
            ..DestinationRead::default()
        };
        let mut spans = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let (low, high) = self.ends(topic, partition)?;
            read.deleted += u64::try_from(low).unwrap_or(0);
            let from = match from {
                Some(time) => self.first_since(topic, partition, time)?.unwrap_or(high),
                None => low,
            };
            let end = high;
            spans.push(Span {
                partition,
                from,
                end,
            });
        }
        self.wait_until_decided(topic, &spans, deadline)?;
        spans.retain(|span| span.from < span.end);
        for spans in spans.chunks(PARTITIONS_AT_ONCE) {
            let mut committed = 0_u64;
            consume(&self.committed, topic, spans, |record| {
                let published = published(record);
                committed += u64::from(published.id.is_some());
                each(&published)
            })?;
            let mut all = 0_u64;
            consume(&self.uncommitted, topic, spans, |record| {
                all += u64::from(has_id(record));
                Ok::<_, ReadError>(())
            })?;
            read.rolled_back += all.saturating_sub(committed);
        }
        Ok(read)
    }

    /// The partitions of a topic; none when there is no such topic.
    fn partitions(&self, topic: &str) -> Result<Option<std::ops::Range<i32>>, ReadError> {
        match believed_state(self.committed.client(), topic) {
            Ok(TopicState::Exists { partitions, .. }) => {
                Ok(Some(0..i32::try_from(partitions).unwrap_or(i32::MAX)))
            }
            Ok(TopicState::Missing) => Ok(None),
            Err(DestinationError::Refused(
                outbox_core::sink::RefusalReason::DestinationInvalid,
                _,
            )) => Ok(None),
            Err(DestinationError::Refused(_, text)) => Err(ReadError(text)),
            Err(DestinationError::Unavailable(text)) => {
                let trouble = explain(&self.committed, Trouble::Unclear(text));
                Err(ReadError(trouble.into_acquire_error().to_string()))
            }
        }
    }

    /// Where a partition begins, and where it ends for those who read everything.
    fn ends(&self, topic: &str, partition: i32) -> Result<(i64, i64), ReadError> {
        self.uncommitted
            .fetch_watermarks(topic, partition, ANSWER_MAX)
            .map_err(|error| failed(topic, &format!("the ends of partition {partition}"), &error))
    }

    /// The first record that is not older; none when all are.
    fn first_since(
        &self,
        topic: &str,
        partition: i32,
        time: Timestamp,
    ) -> Result<Option<i64>, ReadError> {
        let doing = format!("the first record of partition {partition} since a time");
        let fail = |error: KafkaError| failed(topic, &doing, &error);
        let mut wanted = TopicPartitionList::new();
        // Before 1970 nothing was published; a negative number would mean something else.
        let since = Offset::Offset(time.as_unix_ms().max(0));
        wanted
            .add_partition_offset(topic, partition, since)
            .map_err(fail)?;
        let found = self
            .uncommitted
            .offsets_for_times(wanted, ANSWER_MAX)
            .map_err(fail)?;
        let element = found.find_partition(topic, partition);
        match element.map(|element| (element.error(), element.offset())) {
            Some((Ok(()), Offset::Offset(offset))) => Ok(Some(offset)),
            Some((Ok(()), Offset::End)) => Ok(None),
            Some((Err(error), _)) => Err(fail(error)),
            other => Err(ReadError(format!(
                "topic {topic:?}: {doing}: the broker answers {other:?}"
            ))),
        }
    }

    /// Waits until every transaction is decided that has records before the ends: the answer to a
    /// commit does not wait for a record to become visible.
    fn wait_until_decided(
        &self,
        topic: &str,
        spans: &[Span],
        deadline: Instant,
    ) -> Result<(), ReadError> {
        for span in spans {
            loop {
                // A handle that reads committed records is told the last stable offset.
                let (_, stable) = self
                    .committed
                    .fetch_watermarks(topic, span.partition, ANSWER_MAX)
                    .map_err(|error| failed(topic, "its last stable offset", &error))?;
                if stable >= span.end {
                    break;
                }
                if Instant::now() >= deadline {
                    return Err(ReadError(format!(
                        "topic {topic:?} partition {}: a transaction from before offset {} stays \
                         open: readers of committed records see nothing behind it. Whose is it? \
                         kafka-transactions --find-hanging; else wait longer (--wait-s)",
                        span.partition, span.end
                    )));
                }
                std::thread::sleep(UNDECIDED_PAUSE);
            }
        }
        Ok(())
    }
}

/// Hands over the records of these spans.
fn consume<E: From<ReadError>>(
    consumer: &BaseConsumer<QuietContext>,
    topic: &str,
    spans: &[Span],
    mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut assignment = TopicPartitionList::new();
    for span in spans {
        assignment
            .add_partition_offset(topic, span.partition, Offset::Offset(span.from))
            .map_err(|error| failed(topic, "reading it", &error))?;
    }
    consumer
        .assign(&assignment)
        .map_err(|error| failed(topic, "reading it", &error))?;
    let mut open: BTreeMap<i32, i64> = spans
        .iter()
        .map(|span| (span.partition, span.end))
        .collect();
    let mut heard = Instant::now();
    let mut trouble = None;
    let mut is_over = false;
    while !open.is_empty() {
        match consumer.poll(POLL_MAX) {
            Some(Ok(record)) => {
                heard = Instant::now();
                let Some(end) = open.get(&record.partition()).copied() else {
                    continue;
                };
                if record.offset() < end {
                    each(&record)?;
                }
                if record.offset() + 1 >= end {
                    open.remove(&record.partition());
                }
            }
            // The ends were stable before the assignment: an end is behind them.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                heard = Instant::now();
                open.remove(&partition);
            }
            Some(Err(error)) => {
                is_over = matches!(error, KafkaError::MessageConsumptionFatal(_));
                trouble = Some(error);
            }
            None => {}
        }
        if is_over || heard.elapsed() >= READ_PAUSE_MAX {
            let last = trouble.map(|error| format!("; last error: {error}"));
            return Err(E::from(ReadError(format!(
                "topic {topic:?}: nothing came for {} s, and its end was not reached{}",
                heard.elapsed().as_secs(),
                last.unwrap_or_default()
            ))));
        }
    }
    consumer
        .assign(&TopicPartitionList::new())
        .map_err(|error| failed(topic, "ending to read it", &error).into())
}

fn failed(topic: &str, doing: &str, error: &KafkaError) -> ReadError {
    ReadError(format!("topic {topic:?}: {doing}: {error}"))
}

fn has_id(record: &BorrowedMessage<'_>) -> bool {
    record
        .headers()
        .is_some_and(|headers| headers.iter().any(|header| header.key == text::ID))
}

fn published<'a>(record: &'a BorrowedMessage<'_>) -> Published<'a> {
    let mut published = Published {
        partition: u32::try_from(record.partition()).unwrap_or_default(),
        offset: u64::try_from(record.offset()).unwrap_or_default(),
        id: None,
        position: None,
        replay: None,
        is_redelivery: false,
        key: record.key(),
        message_type: None,
        content_type: None,
        created_at: None,
        payload: record.payload(),
        headers: Vec::new(),
    };
    for header in record.headers().iter().flat_map(|headers| headers.iter()) {
        let value = header.value.unwrap_or_default();
        let as_text = || std::str::from_utf8(value).ok();
        match header.key {
            text::ID => published.id = as_text().and_then(|id| id.parse().ok()),
            text::POSITION => published.position = as_text().and_then(text::read_position),
            text::CREATED_AT => published.created_at = as_text().and_then(text::read_created_at),
            text::TYPE => published.message_type = Some(value),
            text::CONTENT_TYPE => published.content_type = Some(value),
            text::REPLAY => published.replay = Some(text::read_replay_number(value)),
            text::REDELIVERY => published.is_redelivery = true,
            name => published.headers.push((name, value)),
        }
    }
    published
}
