//! Taking the right to publish: a new producer, a barrier record, and the checkpoint before it.

use std::time::{Duration, Instant};

use outbox_core::MessageId;
use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::AcquireError;

use super::checkpoint_topic::{CheckpointReader, End, PARTITION};
use super::closing::Closing;
use super::deliveries::{CONTROL, Settled};
use super::errors::{Trouble, unusable};
use super::producer::{Producer, Record, SendError};
use super::properties::Properties;
use super::settings::KafkaSettings;

/// How often a suspect barrier is followed by a new producer within one call.
const ATTEMPTS_MAX: u32 = 4;
/// How long the barrier's acknowledgement may take.
const BARRIER_MAX: Duration = Duration::from_secs(10);

/// What a holder of the right to publish starts with.
pub(super) struct Activation {
    pub(super) producer: Producer,
    pub(super) newest: Option<Checkpoint>,
}

/// Fences every earlier producer and reads the newest checkpoint.
///
/// The barrier says where the topic ends: a leader that was deposed does not have it, and cannot
/// answer in place of the one that does.
pub(super) fn activate(
    settings: &KafkaSettings,
    properties: &mut Properties,
    closing: &mut Closing,
) -> Result<Activation, AcquireError> {
    if !closing.make_room() {
        let reason = "earlier clients are still closing their connections";
        return Err(AcquireError::Unavailable(reason.to_owned()));
    }
    // The reader comes first: a missing topic must be noticed before anyone is fenced.
    let reader = CheckpointReader::open(settings, properties)?;
    reader.begin()?;
    let result = fence_and_read(settings, properties, closing, &reader);
    closing.close(reader);
    result
}

fn fence_and_read(
    settings: &KafkaSettings,
    properties: &mut Properties,
    closing: &mut Closing,
    reader: &CheckpointReader,
) -> Result<Activation, AcquireError> {
    let mut suspicion = String::new();
    for _ in 0..ATTEMPTS_MAX {
        let config = properties
            .transactional_producer(settings)
            .map_err(unusable)?;
        let mut producer = Producer::start(&config).map_err(unusable)?;
        match write_barrier(&mut producer, settings, properties) {
            Ok(Barrier::Written { offset, token }) => {
                let end = End::Barrier {
                    offset,
                    token: &token,
                };
                match reader.read_to(&end) {
                    Ok(newest) => return Ok(Activation { producer, newest }),
                    Err(error) => {
                        closing.close(producer);
                        return Err(error);
                    }
                }
            }
            Ok(Barrier::Suspect(why)) => {
                closing.close(producer);
                suspicion = why;
            }
            Err(trouble) => {
                closing.close(producer);
                return Err(trouble.into_acquire_error());
            }
        }
    }
    Err(AcquireError::Unavailable(format!(
        "the barrier's commit stayed suspect with {ATTEMPTS_MAX} producers in a row: {suspicion}"
    )))
}

enum Barrier {
    Written {
        offset: i64,
        token: String,
    },
    /// Committed or not, this producer must not begin another transaction.
    Suspect(String),
}

fn write_barrier(
    producer: &mut Producer,
    settings: &KafkaSettings,
    properties: &mut Properties,
) -> Result<Barrier, Trouble> {
    producer.connect(&settings.checkpoint_topic, PARTITION)?;
    producer.init_transactions()?;
    let since = producer.traces().begin(producer.traces().mark());
    producer.begin()?;
    let key = settings.barrier_key();
    let token = MessageId::generate().to_string();
    let record = Record {
        topic: &settings.checkpoint_topic,
        partition: Some(PARTITION),
        key: Some(key.as_bytes()),
        payload: Some(token.as_bytes()),
        headers: None,
        timestamp_ms: None,
        tag: CONTROL,
    };
    producer.send(record).map_err(|error| match error {
        SendError::Trouble(trouble) => trouble,
        SendError::QueueFull => Trouble::Unclear("librdkafka's queue is full".to_owned()),
        SendError::TooLarge(text)
        | SendError::DestinationGone(text)
        | SendError::TransactionFailed(text) => Trouble::Unclear(format!("barrier: {text}")),
    })?;
    let deadline = Instant::now() + BARRIER_MAX;
    match producer.wait(0, deadline)? {
        Settled::All => {}
        Settled::Waiting => {
            let reason = "the barrier is not acknowledged".to_owned();
            return Err(producer.explain(Trouble::Unclear(reason)));
        }
        Settled::Failed => {
            let failures = producer.deliveries().take_failures();
            let code = failures.first().map(|failure| failure.code);
            return Err(match code {
                Some(code) => Trouble::of_delivery("barrier", code),
                None => Trouble::Unclear("the barrier was not accepted".to_owned()),
            });
        }
    }
    producer.serve_events(deadline);
    let (result, took) = producer.commit();
    result?;
    let slow = properties.suspicious_after();
    if let Some(suspicion) = producer.suspicion(since, took, slow) {
        suspicion.count();
        if suspicion.is_slowness() {
            properties.slower();
        }
        return Ok(Barrier::Suspect(suspicion.text));
    }
    let offset = producer.deliveries().control_offset();
    Ok(Barrier::Written { offset, token })
}
