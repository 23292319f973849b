//! What Kafka is told.

use std::error::Error;

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;

use crate::Options;

/// A member of the group that has subscribed to the topic.
pub(crate) fn subscribe(options: &Options) -> Result<StreamConsumer, KafkaError> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &options.bootstrap_servers)
        .set("group.id", &options.group)
        // The relay's transactions: what it aborted was never published.
        .set("isolation.level", "read_committed")
        // A new group settles what is there already.
        .set("auto.offset.reset", "earliest")
        // Offsets are committed in the background, but only those that we pass, and that is after
        // the database's commit. A commit for each event would cost a round trip each, and save
        // only that the inbox meets a few events again.
        .set("enable.auto.offset.store", "false")
        .set("enable.auto.commit", "true")
        .set(
            "auto.commit.interval.ms",
            options.commit_interval_ms.to_string(),
        );
    if let Some(instance) = &options.instance {
        config.set("group.instance.id", instance);
    }
    let consumer: StreamConsumer = config.create()?;
    consumer.subscribe(&[&options.topic])?;
    Ok(consumer)
}

/// Lets the next commit of offsets pass this event.
pub(crate) fn pass(consumer: &StreamConsumer, message: &BorrowedMessage<'_>) -> anyhow::Result<()> {
    match consumer.store_offset_from_message(message) {
        Ok(()) => Ok(()),
        // The partition is another instance's by now, which gets the event again and finds it in
        // the inbox.
        Err(KafkaError::StoreOffset(RDKafkaErrorCode::State)) => {
            tracing::info!("an event of a partition that was taken from us comes again elsewhere");
            Ok(())
        }
        Err(error) => Err(error).context("an offset cannot be passed"),
    }
}

/// Commits what was passed, at the end.
pub(crate) fn commit_offsets(consumer: &StreamConsumer) -> anyhow::Result<()> {
    match consumer.commit_consumer_state(CommitMode::Sync) {
        Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => Ok(()),
        Err(error) => {
            // No harm: what was settled comes again, and the inbox knows it.
            tracing::warn!(
                error = &error as &dyn Error,
                "the last offsets were not committed"
            );
            Ok(())
        }
    }
}
