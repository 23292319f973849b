use bytestring::ByteString;
use outbox_core::sink::{Batch, Refusal, RefusalReason};

use super::destinations::{DestinationError, Destinations};
use super::producer::Producer;
use super::properties::Properties;
use super::record::record_bytes;
use super::settings::KafkaSettings;
use crate::sink::headers::check_headers;

/// The messages that are refused before anything is sent, or why that cannot be told now.
///
/// The look-up of a destination before its first message also makes it known to the producer.
pub(super) fn refusals(
    batch: &Batch,
    producer: &Producer,
    destinations: &mut Destinations,
    settings: &KafkaSettings,
    properties: &Properties,
) -> Result<Vec<Refusal>, String> {
    let mut refusals = Vec::new();
    let mut last: Option<(&ByteString, Option<(RefusalReason, String)>)> = None;
    for (batch_index, delivery) in batch.messages.iter().enumerate() {
        let row = &delivery.row;
        let mut refuse = |reason, error| {
            refusals.push(Refusal {
                batch_index,
                reason,
                error,
            });
        };
        match &last {
            Some((destination, refused)) if *destination == &row.destination => {
                if let Some((reason, text)) = refused {
                    refuse(*reason, text.clone());
                    continue;
                }
            }
            _ if destinations.is_known(&row.destination) => {
                last = Some((&row.destination, None));
            }
            _ => {
                let client = producer.client();
                let found = destinations.look_up(&row.destination, client, settings, properties);
                let refused = match found {
                    Ok(()) => None,
                    Err(DestinationError::Refused(reason, text)) => Some((reason, text)),
                    Err(DestinationError::Unavailable(reason)) => return Err(reason),
                };
                if let Some((reason, text)) = &refused {
                    refuse(*reason, text.clone());
                }
                let is_refused = refused.is_some();
                last = Some((&row.destination, refused));
                if is_refused {
                    continue;
                }
            }
        }
        let bytes = record_bytes(delivery);
        if bytes > settings.message_bytes_max {
            let limit = settings.message_bytes_max;
            let text =
                format!("the record has {bytes} bytes, limits.message_bytes_max allows {limit}");
            refuse(RefusalReason::TooLarge, text);
        } else if let Err(error) = check_headers(&row.headers) {
            refuse(RefusalReason::HeadersInvalid, error.to_string());
        }
    }
    Ok(refusals)
}
