//! Checkpoints that readers of committed records cannot see yet: an open transaction stands before
//! them.

use std::time::{Duration, Instant};

use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::AcquireError;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::checkpoint_topic::{PARTITION, judge};
use super::closing::{QuietContext, explain};
use super::errors::{Trouble, unusable};
use super::properties::Properties;
use super::settings::KafkaSettings;

/// How long transactions of others may take to be decided: as a rule they do in milliseconds.
const DECIDED_MAX: Duration = Duration::from_secs(1);
/// The pause between looks at them.
const PAUSE: Duration = Duration::from_millis(20);
/// How long the broker may take for one answer about the topic.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long reading behind an open transaction may take.
const READ_MAX: Duration = Duration::from_secs(30);
/// How long one poll waits.
const POLL_MAX: Duration = Duration::from_millis(100);
/// So much of a stranger's key is named.
const KEY_CHARACTERS_MAX: usize = 100;

/// A reader of all records of the checkpoint topic, committed or not.
pub(super) struct UndecidedReader {
    consumer: BaseConsumer<QuietContext>,
    topic: String,
    relay: String,
    barrier_key: String,
}

/// What a reader of committed records sees of the topic.
pub(super) enum View {
    /// The newest checkpoint that was written up to now lies before this offset.
    Whole { end: i64 },
    /// Something hides it, which is named.
    Hidden(String),
}

/// What stands from the last stable offset on.
#[derive(Debug, Default)]
struct Behind {
    /// The key of the first record: of the oldest open transaction.
    first_key: Option<Vec<u8>>,
    /// Whether a record of this relay's checkpoints is among it.
    hides_ours: bool,
    /// Whether one of those begins or ends a life of the relay: `init` and `remove` write so, in no
    /// transaction.
    hides_another_life: bool,
}

impl UndecidedReader {
    pub(super) fn open(
        settings: &KafkaSettings,
        properties: &Properties,
    ) -> Result<Self, AcquireError> {
        let mut config = properties.consumer(settings).map_err(unusable)?;
        config.set("isolation.level", "read_uncommitted");
        let consumer = config.create_with_context(QuietContext::of(&config));
        Ok(Self {
            consumer: consumer.map_err(unusable)?,
            topic: settings.checkpoint_topic.clone(),
            relay: settings.relay.clone(),
            barrier_key: settings.barrier_key(),
        })
    }

    /// Up to where a reader of committed records must read for the newest checkpoint that was written up to
    /// now; else what hides it.
    ///
    /// What stands behind an open transaction of this relay itself need not be seen: nobody has
    /// committed after it, and whoever takes the right to publish ends it.
    pub(super) fn view(
        &self,
        committed: &BaseConsumer<QuietContext>,
    ) -> Result<View, AcquireError> {
        let end = self.end(&self.consumer)?;
        let deadline = Instant::now() + DECIDED_MAX;
        // A handle that reads committed records is told the last stable offset.
        let stable = loop {
            let stable = self.end(committed)?;
            if stable >= end {
                return Ok(View::Whole { end });
            }
            if Instant::now() >= deadline {
                break stable;
            }
            std::thread::sleep(PAUSE);
        };
        let behind = self.read(stable, end)?;
        let first_key = behind.first_key.as_deref();
        let is_ours = [&self.relay, &self.barrier_key].map(|ours| Some(ours.as_bytes()));
        if !behind.hides_ours || is_ours.contains(&first_key) && !behind.hides_another_life {
            return Ok(View::Whole { end: stable });
        }
        let key = String::from_utf8_lossy(first_key.unwrap_or_default());
        let key: String = key.chars().take(KEY_CHARACTERS_MAX).collect();
        Ok(View::Hidden(format!(
            "an open transaction of another in the topic of checkpoints hides what relay {} has \
             written: it is waited for, until it ends or the broker ends it after its \
             transaction.timeout.ms. It begins at offset {stable} of topic {}, with a record of key \
             {key:?}. Whose is it? kafka-transactions --find-hanging",
            self.relay, self.topic
        )))
    }

    fn end(&self, consumer: &BaseConsumer<QuietContext>) -> Result<i64, AcquireError> {
        match consumer.fetch_watermarks(&self.topic, PARTITION, ANSWER_MAX) {
            Ok((_, end)) => Ok(end),
            Err(error) => {
                judge(&self.topic, &error)?;
                let text = format!("the end of topic {}: {error}", self.topic);
                Err(explain(consumer, Trouble::Unclear(text)).into_acquire_error())
            }
        }
    }

    /// Reads what is not decided, as far as it was written when this began.
    fn read(&self, from: i64, end: i64) -> Result<Behind, AcquireError> {
        let mut assignment = TopicPartitionList::new();
        let assigned = assignment
            .add_partition_offset(&self.topic, PARTITION, Offset::Offset(from))
            .and_then(|()| self.consumer.assign(&assignment));
        assigned.map_err(|error| self.unreadable(&error))?;
        let deadline = Instant::now() + READ_MAX;
        let (mut behind, mut is_first, mut trouble) = (Behind::default(), true, None);
        while Instant::now() < deadline {
            match self.consumer.poll(POLL_MAX) {
                Some(Ok(record)) => {
                    if std::mem::take(&mut is_first) {
                        behind.first_key = record.key().map(<[u8]>::to_vec);
                    }
                    if record.offset() < end && record.key() == Some(self.relay.as_bytes()) {
                        behind.hides_ours = true;
                        behind.hides_another_life |= is_another_life(record.payload());
                    }
                    if record.offset() + 1 >= end {
                        return Ok(behind);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(behind),
                Some(Err(error)) => {
                    judge(&self.topic, &error)?;
                    trouble = Some(error);
                }
                None => {}
            }
        }
        Err(self.unreadable(&trouble.map_or_else(String::new, |error| error.to_string())))
    }

    fn unreadable(&self, error: &impl ToString) -> AcquireError {
        let topic = &self.topic;
        let text = format!(
            "topic {topic} could not be read behind an open transaction: {}",
            error.to_string()
        );
        explain(&self.consumer, Trouble::Unclear(text)).into_acquire_error()
    }
}

/// A tombstone, or a first checkpoint.
fn is_another_life(payload: Option<&[u8]>) -> bool {
    let first = |payload| Checkpoint::decode(payload).is_ok_and(|found| found.sequence == 0);
    payload.is_none_or(first)
}
