//! One outbox row as a message in a stream.

use outbox_core::sink::{Delivery, RefusalReason};
use outbox_core::{OutboxRow, TimelineId};

use super::amqp::{self, Section};
use crate::sink::headers::each_header;
use crate::sink::message_text as text;

/// What makes a consumer over AMQP 0.9.1 see the property `type`: RabbitMQ up to 3.12 takes it
/// from the application properties, later ones from the message annotations.
pub(super) const BASIC_TYPE: &str = "x-basic-type";
/// Tells a message without payload from one with an empty payload.
pub(super) const TOMBSTONE: &str = "outbox-tombstone";
/// What AMQP 0.9.1 allows where its consumers see these texts.
const SHORT_STRING_BYTES_MAX: usize = 255;
/// What headers and key may take: a consumer over AMQP 0.9.1 gets them in one frame, and the
/// smallest that a broker may negotiate without being asked to is 128 KiB.
const PROPERTIES_BYTES_MAX: usize = 120 * 1024;

/// Encodes rows, one after the other, into buffers that are used again.
#[derive(Default)]
pub(super) struct Encoder {
    message: Vec<u8>,
    position: String,
}

impl Encoder {
    /// The message of a row, or why a stream cannot carry it.
    pub(super) fn encode(
        &mut self,
        delivery: &Delivery,
        timeline: TimelineId,
    ) -> Result<&[u8], (RefusalReason, String)> {
        let row = &delivery.row;
        check_texts(row)?;
        let out = &mut self.message;
        out.clear();
        annotations(out, row);
        properties(out, row);
        text::write_position(&mut self.position, timeline, delivery);
        application_properties(out, delivery, &self.position)?;
        amqp::section(out, Section::Data);
        amqp::binary(out, row.payload.as_deref().unwrap_or_default());
        Ok(out)
    }
}

fn check_texts(row: &OutboxRow) -> Result<(), (RefusalReason, String)> {
    for (what, value) in [
        ("type", &row.message_type),
        ("content type", &row.content_type),
    ] {
        if value.len() > SHORT_STRING_BYTES_MAX {
            let text = format!("the {what} has {} bytes, AMQP allows 255", value.len());
            return Err((RefusalReason::Rejected, text));
        }
    }
    let bytes = row.headers.len() + row.key.as_ref().map_or(0, |key| key.len());
    if bytes > PROPERTIES_BYTES_MAX {
        return Err((
            RefusalReason::HeadersInvalid,
            format!("headers and key have {bytes} bytes, a frame can carry {PROPERTIES_BYTES_MAX}"),
        ));
    }
    Ok(())
}

fn annotations(out: &mut Vec<u8>, row: &OutboxRow) {
    amqp::section(out, Section::MessageAnnotations);
    let map = amqp::begin_map(out);
    amqp::symbol(out, BASIC_TYPE);
    amqp::text(out, &row.message_type);
    amqp::end(out, &map, 2);
}

fn properties(out: &mut Vec<u8>, row: &OutboxRow) {
    let mut id = [0; 36];
    amqp::section(out, Section::Properties);
    let list = amqp::begin_list(out);
    amqp::text(out, row.id.encode(&mut id));
    amqp::null(out); // user-id
    amqp::null(out); // to
    amqp::text(out, &row.message_type); // subject
    amqp::null(out); // reply-to
    amqp::null(out); // correlation-id
    amqp::symbol(out, &row.content_type);
    amqp::null(out); // content-encoding
    amqp::null(out); // absolute-expiry-time
    amqp::timestamp(out, row.created_at.as_unix_us().div_euclid(1000));
    amqp::end(out, &list, 10);
}

fn application_properties(
    out: &mut Vec<u8>,
    delivery: &Delivery,
    position: &str,
) -> Result<(), (RefusalReason, String)> {
    let row = &delivery.row;
    amqp::section(out, Section::ApplicationProperties);
    let map = amqp::begin_map(out);
    let mut members = 0;
    let mut add = |name: &str, value: &str| {
        amqp::text(out, name);
        amqp::text(out, value);
        members += 2;
    };
    add(BASIC_TYPE, &row.message_type);
    add(text::POSITION, position);
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
    let mut unfit = None;
    each_header(&row.headers, |name, value| {
        if name.len() > SHORT_STRING_BYTES_MAX {
            unfit = Some(format!("the header name {name:?} is longer than 255 bytes"));
        } else if name == BASIC_TYPE {
            unfit = Some(format!("the header name {name:?} is taken by the type"));
        } else {
            add(name, value);
        }
    })
    .map_err(|error| (RefusalReason::HeadersInvalid, error.to_string()))?;
    amqp::end(out, &map, members);
    unfit.map_or(Ok(()), |what| Err((RefusalReason::HeadersInvalid, what)))
}
