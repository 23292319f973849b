//! One outbox row as a Kafka record.

use std::time::Duration;

use outbox_core::sink::Delivery;
use outbox_core::{TimelineId, Timestamp};
use rdkafka::message::{Header, OwnedHeaders};

use super::producer::Record;
use crate::sink::headers::each_header;
use crate::sink::message_text as text;

/// How many headers every record has besides the user's own.
const OWN_HEADERS: usize = 5;
/// A record's timestamp is the row's own unless it lies further from now than this: Kafka deletes
/// by record timestamp, and refuses records that lie too far ahead.
const TIMESTAMP_DISTANCE_MAX: Duration = Duration::from_secs(3600);

/// Makes records; holds the buffers that are used again for each.
#[derive(Debug, Default)]
pub(super) struct RecordWriter {
    position: String,
    created_at: String,
}

impl RecordWriter {
    /// The record of a row whose headers passed [`check_headers`](crate::sink::headers::check_headers).
    pub(super) fn record<'a>(
        &mut self,
        delivery: &'a Delivery,
        timeline: TimelineId,
        now: Timestamp,
        tag: usize,
    ) -> Record<'a> {
        let row = &delivery.row;
        Record {
            topic: &row.destination,
            partition: None,
            key: row.key.as_deref().map(str::as_bytes),
            payload: row.payload.as_deref(),
            headers: Some(self.headers(delivery, timeline)),
            timestamp_ms: Some(record_timestamp(delivery, now).as_unix_ms()),
            tag,
        }
    }

    fn headers(&mut self, delivery: &Delivery, timeline: TimelineId) -> OwnedHeaders {
        let row = &delivery.row;
        text::write_position(&mut self.position, timeline, delivery);
        text::write_timestamp(&mut self.created_at, row.created_at);
        let mut id = [0; 36];
        let id = row.id.encode(&mut id);
        let mut headers = Some(OwnedHeaders::new_with_capacity(OWN_HEADERS));
        let mut add = |key: &str, value: &str| {
            let header = Header {
                key,
                value: Some(value),
            };
            headers = headers.take().map(|headers| headers.insert(header));
        };
        // The user's own come first: a consumer that takes the last of a name gets ours.
        // They were checked before anything was sent.
        let _ = each_header(&row.headers, &mut add);
        add(text::ID, id);
        add(text::TYPE, &row.message_type);
        add(text::CONTENT_TYPE, &row.content_type);
        add(text::POSITION, &self.position);
        add(text::CREATED_AT, &self.created_at);
        if let Some(number) = text::replay_number(delivery) {
            add(text::REPLAY, &number);
        }
        if let Some(request) = text::redelivery(delivery) {
            add(text::REDELIVERY, &request);
        }
        headers.unwrap_or_default()
    }
}

/// The bytes that count against the largest record.
pub(super) fn record_bytes(delivery: &Delivery) -> usize {
    delivery.row.content_bytes()
}

/// Kafka deletes by this time: what is published late must not be gone at once.
fn record_timestamp(delivery: &Delivery, now: Timestamp) -> Timestamp {
    match delivery.replay {
        Some(_) => now,
        None => near(delivery.row.created_at, now),
    }
}

fn near(created_at: Timestamp, now: Timestamp) -> Timestamp {
    let distance = now.since(created_at).max(created_at.since(now));
    if distance > TIMESTAMP_DISTANCE_MAX {
        now
    } else {
        created_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_row_gets_the_present_time() {
        let now = Timestamp::from_unix_us(10_000_000_000);
        let earlier = |s: i64| Timestamp::from_unix_us(10_000_000_000 - s * 1_000_000);
        assert_eq!(near(earlier(3600), now), earlier(3600));
        assert_eq!(near(earlier(3601), now), now);
        assert_eq!(near(earlier(-3600), now), earlier(-3600));
        assert_eq!(near(earlier(-3601), now), now);
    }
}
