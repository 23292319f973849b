use std::time::{Duration, Instant, SystemTime};

use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::{AcquireError, Sink};
use outbox_core::{Frontier, Lsn, TimelineHistory, Timestamp};

use super::SetupError;
use crate::assembly::{assemble, checkpoint_row};
use crate::config::{ConfigError, Settings, SinkSettings};
use crate::sink::kafka::{KafkaAdministration, KafkaSettings, KafkaSink};
use crate::sink::rabbitmq_stream::StreamPublisher;
use crate::source::connection::Address;
use crate::source::replication::IdentifiedSystem;

/// How long transactions of others may hide what this relay has written: longer than clients let one
/// be open by default, and the broker needs to end it.
const OPEN_TRANSACTION_MAX: Duration = Duration::from_secs(90);
/// The pause between looks at them.
const OPEN_TRANSACTION_PAUSE: Duration = Duration::from_secs(1);

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
        stuck_writes: 0,
        publication_fingerprint,
        sequence: 0,
        written_at: Timestamp::from(SystemTime::now()),
    }
}

/// Makes the place of the checkpoint and writes the first one, unless the place shows that a relay
/// of this name has a life of its own.
pub(super) async fn write_genesis(
    settings: &Settings,
    address: &Address,
    checkpoint: Checkpoint,
    say: impl FnMut(&str),
) -> Result<(), SetupError> {
    let (settings, address) = (settings.clone(), address.clone());
    if let Some(kafka) = settings.sink.kafka().cloned() {
        let administration = KafkaAdministration::new(kafka.clone()).map_err(ConfigError::from)?;
        blocking(move || Ok(administration.create_checkpoint_topic()?)).await?;
        wait_for_open_transactions(&kafka, say).await?;
        return blocking(move || write_to_topic(&kafka, &checkpoint)).await;
    }
    blocking(move || {
        make_copies(&settings)?;
        if checkpoint_row(&settings, &address).write_genesis(&checkpoint)? {
            return Ok(());
        }
        Err(SetupError::Checkpoint(format!(
            "outbox.relay already has a checkpoint that relay {} wrote, though its first one is not \
             noted: end that relay with `outbox-sidecar remove`",
            settings.relay
        )))
    })
    .await
}

/// Waits for transactions of others that hide what this relay has written, and says so.
async fn wait_for_open_transactions(
    kafka: &KafkaSettings,
    mut say: impl FnMut(&str),
) -> Result<(), SetupError> {
    let deadline = Instant::now() + OPEN_TRANSACTION_MAX;
    let mut is_said = false;
    loop {
        let kafka = kafka.clone();
        let hidden = blocking(move || {
            let mut sink = KafkaSink::new(kafka).map_err(ConfigError::from)?;
            Ok(sink.hidden()?)
        });
        let Some(open_transaction) = hidden.await? else {
            return Ok(());
        };
        if Instant::now() >= deadline {
            return Err(AcquireError::Unavailable(open_transaction).into());
        }
        if !std::mem::replace(&mut is_said, true) {
            say(&open_transaction);
        }
        tokio::time::sleep(OPEN_TRANSACTION_PAUSE).await;
    }
}

fn write_to_topic(kafka: &KafkaSettings, checkpoint: &Checkpoint) -> Result<(), SetupError> {
    let topic = &kafka.checkpoint_topic;
    let mut sink = KafkaSink::new(kafka.clone()).map_err(ConfigError::from)?;
    if let Some(found) = sink.peek()?.filter(|found| {
        // An init that was killed between writing and noting leaves its genesis behind.
        found.sequence > 0 || found.system_id != checkpoint.system_id
    }) {
        return Err(SetupError::Checkpoint(format!(
            "topic {topic} already has checkpoint {} of a relay named {}, of cluster {}: choose \
             another relay.name, or end that relay with `outbox-sidecar remove`",
            found.sequence, found.relay, found.system_id
        )));
    }
    let mut administration = KafkaAdministration::new(kafka.clone()).map_err(ConfigError::from)?;
    Ok(administration.write_genesis(checkpoint)?)
}

/// Makes sure that the checkpoint of a relay that was set up before can be read.
pub(super) async fn require_checkpoint(
    settings: &Settings,
    address: &Address,
    say: impl FnMut(&str),
) -> Result<(), SetupError> {
    if let Some(kafka) = settings.sink.kafka() {
        wait_for_open_transactions(kafka, say).await?;
    }
    // As whoever runs `init`: the relay's own role may not have its password yet.
    let settings = Settings {
        address: address.clone(),
        ..settings.clone()
    };
    blocking(move || {
        make_copies(&settings)?;
        match assemble(&settings)?.peek()? {
            Some(_) => Ok(()),
            None => Err(SetupError::Checkpoint(
                "the checkpoint is gone although one was written; see docs/command-line.md, Exit \
                 codes"
                    .to_owned(),
            )),
        }
    })
    .await
}

/// Makes the place of the checkpoint's copies, where the sink has one.
fn make_copies(settings: &Settings) -> Result<(), SetupError> {
    if let SinkSettings::RabbitMqStream(stream) = &settings.sink {
        let publisher = StreamPublisher::new(stream.clone());
        let mut publisher = publisher.map_err(ConfigError::from)?;
        publisher.create_checkpoint_stream()?;
    }
    Ok(())
}

/// Ends the relay's checkpoints, where they do not go with its row.
pub(super) async fn end_checkpoints(settings: &Settings) -> Result<(), SetupError> {
    let Some(kafka) = settings.sink.kafka().cloned() else {
        return Ok(());
    };
    blocking(move || {
        let mut administration = KafkaAdministration::new(kafka).map_err(ConfigError::from)?;
        if administration.describe_checkpoint_topic()?.is_some() {
            administration.tombstone()?;
        }
        Ok(())
    })
    .await
}

/// Sinks block; their calls have limits of their own.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, SetupError> + Send + 'static,
) -> Result<T, SetupError> {
    match tokio::task::spawn_blocking(call).await {
        Ok(answer) => answer,
        Err(panicked) => Err(SetupError::Unfit(format!(
            "asking the broker failed: {panicked}"
        ))),
    }
}
