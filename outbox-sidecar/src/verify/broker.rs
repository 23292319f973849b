use std::time::Instant;

use outbox_core::Timestamp;

use super::error::VerifyError;
use crate::config::SinkSettings;
use crate::sink::kafka::{KafkaSettings, TopicReader};
use crate::sink::published::{DestinationRead, Published, ReadError};
use crate::sink::rabbitmq_stream::{StreamReader, StreamSettings};

/// A sink whose broker can be read without changing what it holds.
pub(crate) enum Readable {
    Kafka(KafkaSettings),
    Stream(StreamSettings),
}

/// Such a broker.
pub(crate) enum Broker {
    Kafka(TopicReader),
    Stream(StreamReader),
}

impl Readable {
    /// Whether what this sink wrote can be read back. Contacts nobody.
    pub(crate) fn of(sink: &SinkSettings) -> Result<Self, VerifyError> {
        match sink {
            SinkSettings::Kafka(kafka) | SinkSettings::KafkaAtLeastOnce(kafka) => {
                Ok(Self::Kafka(kafka.clone()))
            }
            SinkSettings::RabbitMqStream(stream) => Ok(Self::Stream(stream.clone())),
            SinkSettings::RabbitMq(_) => Err(VerifyError::Unreadable(
                "a queue cannot be compared: reading it takes messages out, and what consumers \
                 took before is gone. Compare outbox.message with the consumers' own records, \
                 such as their inbox",
            )),
            SinkSettings::Stdout(_) => Err(VerifyError::Unreadable(
                "standard output cannot be compared: nothing keeps what was written",
            )),
        }
    }

    /// A reader of it. To be used, and dropped, outside the runtime.
    pub(crate) fn connect(&self) -> Result<Broker, VerifyError> {
        Ok(match self {
            Self::Kafka(kafka) => Broker::Kafka(TopicReader::new(kafka)?),
            Self::Stream(stream) => {
                let connected = StreamReader::connect(stream);
                Broker::Stream(connected.map_err(|error| ReadError(error.to_string()))?)
            }
        })
    }
}

impl Broker {
    /// Hands over each message of a destination that is younger than `from`, up to its end.
    pub(crate) fn read<E: From<ReadError>>(
        &mut self,
        destination: &str,
        from: Option<Timestamp>,
        deadline: Instant,
        each: impl FnMut(&Published<'_>) -> Result<(), E>,
    ) -> Result<DestinationRead, E> {
        match self {
            Self::Kafka(reader) => reader.read(destination, from, deadline, each),
            Self::Stream(reader) => reader.read(destination, from, each),
        }
    }
}
