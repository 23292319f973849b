//! One outbox row as an AMQP message.

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use outbox_core::sink::{Delivery, RefusalReason};
use outbox_core::{OutboxRow, TimelineId};

use super::routing::SHORT_STRING_BYTES_MAX;
use crate::sink::headers::each_header;
use crate::sink::message_text as text;

/// AMQP's delivery mode of a message that survives a restart.
const PERSISTENT: u8 = 2;
/// What the frame of a message's properties holds beside headers and key: two short texts, id, position,
/// time, and their names.
const PROPERTIES_OVERHEAD_BYTES: usize = 2048;
/// The header that tells a message without payload from one with an empty payload.
const TOMBSTONE: &str = "outbox-tombstone";

/// The properties of a row's message, or why AMQP cannot carry it: one frame must hold them, of at most
/// `frame_bytes_max`.
pub(super) fn properties(
    delivery: &Delivery,
    timeline: TimelineId,
    frame_bytes_max: usize,
) -> Result<BasicProperties, (RefusalReason, String)> {
    let row = &delivery.row;
    let mut headers = FieldTable::default();
    let mut unfit = None;
    let mut add = |name: &str, value: &str| match short(name) {
        Some(name) => {
            headers.insert(name, AMQPValue::LongString(LongString::from(value)));
        }
        None => unfit = Some(format!("the header name {name:?} is longer than 255 bytes")),
    };
    each_header(&row.headers, &mut add)
        .map_err(|error| (RefusalReason::HeadersInvalid, error.to_string()))?;
    let mut position = String::new();
    text::write_position(&mut position, timeline, delivery);
    add(text::POSITION, &position);
    if let Some(number) = text::replay_number(delivery) {
        add(text::REPLAY, &number);
    }
    if let Some(request) = text::redelivery(delivery) {
        add(text::REDELIVERY, &request);
    }
    if let Some(key) = &row.key {
        add(text::KEY, key);
    }
    if row.payload.is_none() {
        add(TOMBSTONE, "true");
    }
    if let Some(what) = unfit {
        return Err((RefusalReason::HeadersInvalid, what));
    }
    let bytes = properties_bytes(row);
    let limit = frame_bytes_max.saturating_sub(PROPERTIES_OVERHEAD_BYTES);
    if bytes > limit {
        return Err((
            RefusalReason::HeadersInvalid,
            format!("headers and key have {bytes} bytes, a frame can carry {limit}"),
        ));
    }
    let property = |what: &str, value: &str| {
        short(value).ok_or_else(|| {
            let text = format!("the {what} has {} bytes, AMQP allows 255", value.len());
            (RefusalReason::Rejected, text)
        })
    };
    let mut id = [0; 36];
    let seconds = u64::try_from(row.created_at.as_unix_us().div_euclid(1_000_000));
    Ok(BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_message_id(property("id", row.id.encode(&mut id))?)
        .with_type(property("type", &row.message_type)?)
        .with_content_type(property("content type", &row.content_type)?)
        .with_timestamp(seconds.unwrap_or(0))
        .with_headers(headers))
}

/// The bytes that count against the largest message.
pub(super) fn message_bytes(row: &OutboxRow) -> usize {
    row.content_bytes()
}

fn properties_bytes(row: &OutboxRow) -> usize {
    row.headers.len() + row.key.as_ref().map_or(0, |key| key.len())
}

fn short(value: &str) -> Option<ShortString> {
    (value.len() <= SHORT_STRING_BYTES_MAX).then(|| ShortString::from(value))
}
