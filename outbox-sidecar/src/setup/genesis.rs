use std::time::SystemTime;

use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::Sink;
use outbox_core::{Frontier, Lsn, TimelineHistory, Timestamp};

use super::SetupError;
use crate::sink::kafka::{KafkaAdministration, KafkaSettings, KafkaSink};
use crate::source::replication::IdentifiedSystem;

/// The first checkpoint of a relay: nothing is published, and the stream begins where the slot
/// does.
pub(super) fn genesis(
    relay: &str,
    system: &IdentifiedSystem,
    history: TimelineHistory,
    consistent_point: Lsn,
    publication_fingerprint: String,
) -> Checkpoint {
    Checkpoint {
        relay: relay.to_owned(),
        system_id: system.system_id,
        timeline: system.timeline,
        timeline_history: history,
        frontier: Frontier::at(consistent_point),
        last: None,
        last_parked: None,
        publication_fingerprint,
        sequence: 0,
        written_at: Timestamp::from(SystemTime::now()),
    }
}

/// Makes the checkpoint topic and writes the first checkpoint, unless the topic shows that a
/// relay of this name has a life of its own.
pub(super) async fn write_genesis(
    kafka: KafkaSettings,
    checkpoint: Checkpoint,
) -> Result<(), SetupError> {
    blocking(move || {
        let mut administration = KafkaAdministration::new(kafka.clone())?;
        administration.create_checkpoint_topic()?;
        let topic = kafka.checkpoint_topic.clone();
        let found = KafkaSink::new(kafka)?.peek()?;
        if let Some(found) = found.filter(|found| {
            // An init that was killed between writing and noting leaves its genesis behind.
            found.sequence > 0 || found.system_id != checkpoint.system_id
        }) {
            return Err(SetupError::Checkpoint(format!(
                "topic {topic} already has checkpoint {} of a relay named {}, of cluster {}: \
                 choose another relay.name, or end that relay with `outbox-sidecar remove`",
                found.sequence, found.relay, found.system_id
            )));
        }
        Ok(administration.write_genesis(&checkpoint)?)
    })
    .await
}

/// Makes sure that the checkpoint of a relay that was set up before can be read.
pub(super) async fn require_checkpoint(kafka: KafkaSettings) -> Result<(), SetupError> {
    blocking(move || match KafkaSink::new(kafka)?.peek()? {
        Some(_) => Ok(()),
        None => Err(SetupError::Checkpoint(
            "the checkpoint is gone although one was written; see docs/command-line.md, Exit codes"
                .to_owned(),
        )),
    })
    .await
}

/// Ends the relay's checkpoints.
pub(super) async fn end_checkpoints(kafka: KafkaSettings) -> Result<(), SetupError> {
    blocking(move || {
        let mut administration = KafkaAdministration::new(kafka)?;
        if administration.describe_checkpoint_topic()?.is_some() {
            administration.tombstone()?;
        }
        Ok(())
    })
    .await
}

/// Kafka's client blocks; its calls have limits of their own.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, SetupError> + Send + 'static,
) -> Result<T, SetupError> {
    match tokio::task::spawn_blocking(call).await {
        Ok(answer) => answer,
        Err(panicked) => Err(SetupError::Unfit(format!(
            "asking Kafka failed: {panicked}"
        ))),
    }
}
