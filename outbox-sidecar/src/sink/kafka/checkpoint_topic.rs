//! Reading one relay's checkpoints: the topic from its beginning to an end that is certain.

use std::time::{Duration, Instant};

use outbox_core::checkpoint::{Checkpoint, CheckpointLog};
use outbox_core::sink::{AcquireError, RefusalReason};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use super::closing::{QuietContext, explain};
use super::destinations::{DestinationError, TopicState, believed_state};
use super::errors::{Trouble, forbids_publishing, unusable};
use super::properties::Properties;
use super::settings::KafkaSettings;
use super::undecided::{UndecidedReader, View};

/// The only partition: one order for all checkpoints.
pub(super) const PARTITION: i32 = 0;
/// How long reading may go on without a record, before the broker counts as away.
const READ_PAUSE_MAX: Duration = Duration::from_secs(15);
/// How long reading may take altogether.
const READ_MAX: Duration = Duration::from_secs(120);
/// How long one poll waits.
const POLL_MAX: Duration = Duration::from_millis(100);

/// Up to where a reader goes.
pub(super) enum End<'a> {
    /// What is committed before this offset, as [`CheckpointReader::view`] has found it. It may be one that
    /// no reader is given: the mark of a commit.
    Offset(i64),
    /// This relay's own barrier record.
    Barrier { offset: i64, token: &'a str },
}

/// A read-committed reader of the checkpoint topic.
pub(super) struct CheckpointReader {
    consumer: BaseConsumer<QuietContext>,
    topic: String,
    relay: String,
    barrier_key: String,
}

impl CheckpointReader {
    /// Connects, and looks the topic up.
    pub(super) fn open(
        settings: &KafkaSettings,
        properties: &Properties,
    ) -> Result<Self, AcquireError> {
        let config = properties.consumer(settings).map_err(unusable)?;
        let consumer: BaseConsumer<QuietContext> = config
            .create_with_context(QuietContext::of(&config))
            .map_err(unusable)?;
        let topic = &settings.checkpoint_topic;
        match believed_state(consumer.client(), topic) {
            Ok(TopicState::Exists { partitions: 1, .. }) => {}
            Ok(TopicState::Exists { partitions, .. }) => {
                return Err(AcquireError::Fatal(format!(
                    "the checkpoint topic {topic:?} has {partitions} partitions, but needs exactly \
                     one: checkpoints must have one order"
                )));
            }
            Ok(TopicState::Missing) => return Err(missing(topic)),
            Err(DestinationError::Refused(RefusalReason::NotAuthorised, text)) => {
                return Err(AcquireError::Fatal(text));
            }
            Err(DestinationError::Refused(_, text) | DestinationError::Unavailable(text)) => {
                let trouble = explain(&consumer, Trouble::Unclear(text));
                return Err(trouble.into_acquire_error());
            }
        }
        Ok(Self {
            consumer,
            topic: topic.clone(),
            relay: settings.relay.clone(),
            barrier_key: settings.barrier_key(),
        })
    }

    /// Begins to fetch.
    pub(super) fn begin(&self) -> Result<(), AcquireError> {
        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(&self.topic, PARTITION, Offset::Beginning)
            .map_err(unavailable)?;
        self.consumer.assign(&assignment).map_err(unavailable)
    }

    /// Up to where the newest checkpoint is among what is committed; else what hides it.
    pub(super) fn view(&self, undecided: &UndecidedReader) -> Result<View, AcquireError> {
        undecided.view(&self.consumer)
    }

    /// Reads to `end` and folds this relay's records into the newest checkpoint. Where the end is an
    /// offset, reading must not have begun before it was known: what says that the topic's end is reached
    /// may wait in a queue. Nothing says so while others write without a pause.
    pub(super) fn read_to(&self, end: &End<'_>) -> Result<Option<Checkpoint>, AcquireError> {
        let began = Instant::now();
        let mut heard = began;
        let mut trouble = None;
        let mut log = CheckpointLog::default();
        loop {
            match self.consumer.poll(POLL_MAX) {
                Some(Ok(record)) => {
                    heard = Instant::now();
                    self.fold(&record, &mut log)?;
                    if self.is_end(&record, end)? {
                        return Ok(log.into_newest());
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    if matches!(end, End::Offset(_)) {
                        return Ok(log.into_newest());
                    }
                }
                Some(Err(error)) => {
                    judge(&self.topic, &error)?;
                    trouble = Some(error.to_string());
                }
                None => {}
            }
            if heard.elapsed() > READ_PAUSE_MAX || began.elapsed() > READ_MAX {
                let trouble = Trouble::Unclear(self.stuck(end, trouble));
                return Err(explain(&self.consumer, trouble).into_acquire_error());
            }
        }
    }

    fn fold(&self, record: &impl Message, log: &mut CheckpointLog) -> Result<(), AcquireError> {
        if record.key() != Some(self.relay.as_bytes()) {
            return Ok(());
        }
        let Some(payload) = record.payload() else {
            log.clear();
            return Ok(());
        };
        let checkpoint = Checkpoint::decode(payload)
            .map_err(|cause| self.corrupt(record.offset(), &chain(&cause)))?;
        if checkpoint.relay != self.relay {
            let cause = format!("it is the checkpoint of relay {:?}", checkpoint.relay);
            return Err(self.corrupt(record.offset(), &cause));
        }
        log.push(checkpoint).map_err(|error| {
            AcquireError::TwoWriters(format!(
                "topic {} partition {PARTITION} offset {}: {error}",
                self.topic,
                record.offset()
            ))
        })
    }

    /// The barrier must be found where its acknowledgement said, and be the very one: whoever
    /// answers has then everything that was committed before.
    fn is_end(&self, record: &impl Message, end: &End<'_>) -> Result<bool, AcquireError> {
        let (offset, token) = match end {
            End::Barrier { offset, token } => (offset, token),
            End::Offset(end) => return Ok(record.offset().saturating_add(1) >= *end),
        };
        let ours = record.key() == Some(self.barrier_key.as_bytes())
            && record.payload() == Some(token.as_bytes());
        if ours || record.offset() < *offset {
            return Ok(ours);
        }
        Err(AcquireError::Unavailable(format!(
            "topic {} partition {PARTITION} offset {} is not the barrier record written at offset \
             {offset}: the partition has another leader, or another relay took over",
            self.topic,
            record.offset()
        )))
    }

    fn corrupt(&self, offset: i64, cause: &str) -> AcquireError {
        AcquireError::CheckpointCorrupt(format!(
            "topic {} partition {PARTITION} offset {offset}: {cause}",
            self.topic
        ))
    }

    fn stuck(&self, end: &End<'_>, trouble: Option<String>) -> String {
        let what = match end {
            End::Offset(end) => {
                format!(
                    "topic {} was not read up to its end, offset {end}",
                    self.topic
                )
            }
            End::Barrier { offset, .. } => format!(
                "topic {} could not be read up to offset {offset}: the broker is away, or an open \
                 transaction of another producer holds its readers up (until that one ends or \
                 times out)",
                self.topic
            ),
        };
        match trouble {
            Some(trouble) => format!("{what}; last error: {trouble}"),
            None => what,
        }
    }
}

/// Ends reading where asking again would not help.
pub(super) fn judge(topic: &str, error: &KafkaError) -> Result<(), AcquireError> {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => Err(AcquireError::Fatal(format!(
            "the checkpoint topic {topic:?} may not be read: allow READ on it"
        ))),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            Err(missing(topic))
        }
        Some(code) if forbids_publishing(code) => Err(AcquireError::Fatal(error.to_string())),
        _ => Ok(()),
    }
}

fn missing(topic: &str) -> AcquireError {
    AcquireError::CheckpointMissing(format!(
        "the checkpoint topic {topic:?} does not exist: `init` creates it, or it was deleted"
    ))
}

fn unavailable(error: KafkaError) -> AcquireError {
    AcquireError::Unavailable(error.to_string())
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
