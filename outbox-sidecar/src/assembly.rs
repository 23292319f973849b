//! Puts a relay's sink together: the broker it publishes to, and the place of its checkpoint.

use outbox_core::sink::Sink;

use crate::config::{ConfigError, Settings, SinkSettings};
use crate::control::CheckpointRow;
use crate::sink::at_least_once::AtLeastOnce;
use crate::sink::kafka::{KafkaPublisher, KafkaSink};
use crate::sink::rabbitmq::RabbitPublisher;
use crate::sink::rabbitmq_stream::StreamPublisher;
use crate::sink::stdout::LinePublisher;
use crate::source::connection::Address;

/// The sink of this relay; nothing is contacted yet. Must be called within the runtime, and the
/// sink be used outside.
pub(crate) fn assemble(settings: &Settings) -> Result<Box<dyn Sink>, ConfigError> {
    Ok(match &settings.sink {
        SinkSettings::Kafka(kafka) => Box::new(KafkaSink::new(kafka.clone())?),
        SinkSettings::KafkaAtLeastOnce(kafka) => Box::new(AtLeastOnce::new(
            KafkaPublisher::new(kafka.clone())?,
            KafkaSink::new(kafka.clone())?,
        )),
        SinkSettings::RabbitMq(rabbit) => Box::new(AtLeastOnce::new(
            RabbitPublisher::new(rabbit.clone())?,
            checkpoint_row(settings, &settings.address),
        )),
        SinkSettings::RabbitMqStream(stream) => Box::new(AtLeastOnce::new(
            StreamPublisher::new(stream.clone())?,
            checkpoint_row(settings, &settings.address),
        )),
        SinkSettings::Stdout(stdout) => Box::new(AtLeastOnce::new(
            LinePublisher::new(std::io::stdout(), stdout.message_bytes_max),
            checkpoint_row(settings, &settings.address),
        )),
    })
}

/// The checkpoint of a relay whose broker has no place for it, read and written at this address.
pub(crate) fn checkpoint_row(settings: &Settings, address: &Address) -> CheckpointRow {
    CheckpointRow::new(address.clone(), settings.schema.clone(), &settings.relay)
}
