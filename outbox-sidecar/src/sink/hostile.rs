//! What stands in records, in a row's headers and in addresses of brokers: what it may do to its readers.

use std::time::Duration;

use outbox_core::MessageId;

use super::headers::{check_headers, each_header};
use super::message_text::{read_position, read_replay_number, read_timestamp};
use super::rabbitmq::RabbitSettings;
use super::rabbitmq_stream::StreamSettings;
use crate::hostile;

#[cfg(test)]
mod tests;

/// A header of a record has the value that it should or none.
pub(crate) fn header_values(input: &[u8]) {
    hostile::bounded_text(input, |text| {
        let _ = read_position(text);
        let _ = read_timestamp(text);
        let _ = read_replay_number(text.as_bytes());
        let _ = text.parse::<MessageId>();
    });
}

/// A row's headers are names and texts or an error.
pub(crate) fn row_headers(input: &[u8]) {
    hostile::bounded_text(input, |text| {
        let _ = check_headers(text);
        let _ = each_header(text, |_, _| ());
    });
}

/// A URL of RabbitMQ is an address or an error.
pub(crate) fn address(input: &[u8]) {
    hostile::bounded_text(input, |url| {
        let urls = vec![url.to_owned()];
        let _ = RabbitSettings {
            relay: "relay".to_owned(),
            urls: urls.clone(),
            url_file: None,
            unconfirmed_max: 1,
            create_queues: false,
            heartbeat: Duration::from_secs(1),
            routes: Vec::new(),
            message_bytes_max: 1000,
        }
        .check();
        let _ = StreamSettings {
            relay: "relay".to_owned(),
            urls,
            url_file: None,
            checkpoint_stream: "checkpoints".to_owned(),
            create_streams: false,
            unconfirmed_max: 1,
            heartbeat: Duration::from_secs(1),
            message_bytes_max: 1000,
            phantoms_accepted: false,
        }
        .check();
    });
}
