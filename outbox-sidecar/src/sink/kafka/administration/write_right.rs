use std::time::Instant;

use outbox_core::sink::AcquireError;
use rdkafka::types::RDKafkaErrorCode;

use super::{KafkaAdministration, RECORD_MAX, TopicDescription};
use crate::sink::kafka::deliveries::{CONTROL, Settled};
use crate::sink::kafka::errors::{Trouble, unusable};
use crate::sink::kafka::producer::{Producer, Record, SendError};

/// The largest record that is sent to try: a topic that takes larger ones is not tried.
const TRIED_BYTES_MAX: usize = 8 << 20;
/// What librdkafka counts beside the payload.
const OVERHEAD_BYTES: usize = 4096;

/// Whether a topic may be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteRight {
    /// The broker looked at the right, and then at the record.
    Granted,
    /// The topic may not be written to.
    Refused,
    /// It could not be tried without leaving something behind, or gave no clear answer.
    Unknown,
}

impl KafkaAdministration {
    /// Tries to write a record that is larger than the topic allows. The broker looks at the right first,
    /// and then refuses the record: nothing is left behind, in no transaction, for no reader.
    ///
    /// # Errors
    /// The brokers do not answer, or refuse this client.
    pub fn write_right(
        &self,
        topic: &str,
        found: &TopicDescription,
    ) -> Result<WriteRight, AcquireError> {
        let tried = found.message_bytes_max.filter(|max| *max < TRIED_BYTES_MAX);
        let Some(limit) = tried else {
            return Ok(WriteRight::Unknown);
        };
        let payload = vec![0; limit + 1];
        let mut config = self.properties.plain_producer().map_err(unusable)?;
        config
            // Compressed it might fit.
            .set("compression.type", "none")
            .set(
                "message.max.bytes",
                (payload.len() + OVERHEAD_BYTES).to_string(),
            );
        let mut producer = Producer::start(&config).map_err(unusable)?;
        let record = Record {
            topic,
            partition: Some(0),
            key: None,
            payload: Some(&payload),
            headers: None,
            timestamp_ms: None,
            tag: CONTROL,
        };
        match producer.send(record) {
            Ok(()) => {}
            Err(SendError::Trouble(trouble)) => return Err(trouble.into_acquire_error()),
            Err(_) => return Ok(WriteRight::Unknown),
        }
        let settled = producer.wait(0, Instant::now() + RECORD_MAX);
        match settled.map_err(Trouble::into_acquire_error)? {
            // Somebody raised the limit meanwhile.
            Settled::All => Ok(WriteRight::Granted),
            Settled::Waiting => Ok(WriteRight::Unknown),
            Settled::Failed => {
                let failures = producer.deliveries().take_failures();
                Ok(match failures.first().map(|failure| failure.code) {
                    Some(
                        RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidRecord,
                    ) => WriteRight::Granted,
                    Some(RDKafkaErrorCode::TopicAuthorizationFailed) => WriteRight::Refused,
                    _ => WriteRight::Unknown,
                })
            }
        }
    }
}
