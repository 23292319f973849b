//! Standard output, one line of JSON a message: to try a relay without a broker, or to feed a program
//! that reads lines.

use std::collections::BTreeMap;
use std::io::Write;
use std::str;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::{AcquireError, Batch, Delivery, Outcome, Refusal, RefusalReason};
use outbox_core::{OutboxRow, TimelineId};
use serde::Serialize;

use super::at_least_once::Publisher;
use super::headers::each_header;
use super::message_text as text;

/// Writes lines, and counts a batch as published once the operating system has taken it: whether
/// the reader has, nobody knows.
pub struct LinePublisher<W> {
    output: W,
    message_bytes_max: usize,
    lines: Vec<u8>,
}

/// A message as it is written.
#[derive(Serialize)]
struct Line<'a> {
    destination: &'a str,
    key: Option<&'a str>,
    id: &'a str,
    #[serde(rename = "type")]
    message_type: &'a str,
    content_type: &'a str,
    position: &'a str,
    created_at: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    replay: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redelivery: Option<String>,
    headers: BTreeMap<String, String>,
    #[serde(flatten)]
    payload: Payload<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Payload<'a> {
    /// Of a tombstone, null.
    #[serde(rename = "payload")]
    Text(Option<&'a str>),
    PayloadBase64(String),
}

impl<W: Write> LinePublisher<W> {
    /// A publisher that writes to `output`, and refuses messages of more than so many bytes.
    pub const fn new(output: W, message_bytes_max: usize) -> Self {
        Self {
            output,
            message_bytes_max,
            lines: Vec::new(),
        }
    }

    fn add(&mut self, delivery: &Delivery, timeline: TimelineId) -> Result<(), Refused> {
        let row = &delivery.row;
        let bytes = row.content_bytes();
        if bytes > self.message_bytes_max {
            let limit = self.message_bytes_max;
            let text =
                format!("the message has {bytes} bytes, limits.message_bytes_max allows {limit}");
            return Err((RefusalReason::TooLarge, text));
        }
        let unfit = |error: serde_json::Error| (RefusalReason::HeadersInvalid, error.to_string());
        let mut headers = BTreeMap::new();
        each_header(&row.headers, |name, value| {
            headers.insert(name.to_owned(), value.to_owned());
        })
        .map_err(unfit)?;
        let (mut position, mut created_at) = (String::new(), String::new());
        text::write_position(&mut position, timeline, delivery);
        text::write_timestamp(&mut created_at, row.created_at);
        let mut id = [0; 36];
        let line = Line {
            destination: &row.destination,
            key: row.key.as_deref(),
            id: row.id.encode(&mut id),
            message_type: &row.message_type,
            content_type: &row.content_type,
            position: &position,
            created_at: &created_at,
            replay: delivery.replay.as_ref().map(|replay| replay.number),
            redelivery: text::redelivery(delivery),
            headers,
            payload: payload(row),
        };
        serde_json::to_writer(&mut self.lines, &line).map_err(unfit)?;
        self.lines.push(b'\n');
        Ok(())
    }
}

type Refused = (RefusalReason, String);

fn payload(row: &OutboxRow) -> Payload<'_> {
    match row
        .payload
        .as_deref()
        .map(|bytes| (bytes, str::from_utf8(bytes)))
    {
        None => Payload::Text(None),
        Some((_, Ok(text))) => Payload::Text(Some(text)),
        Some((bytes, Err(_))) => Payload::PayloadBase64(STANDARD.encode(bytes)),
    }
}

impl<W: Write + Send> Publisher for LinePublisher<W> {
    /// Nobody else can write here.
    fn acquire(&mut self) -> Result<(), AcquireError> {
        Ok(())
    }

    /// All lines or, when one message is refused, none.
    fn publish(&mut self, batch: &Batch) -> Outcome {
        self.lines.clear();
        let timeline = batch.checkpoint.timeline;
        let mut refusals = Vec::new();
        for (batch_index, delivery) in batch.messages.iter().enumerate() {
            if let Err((reason, error)) = self.add(delivery, timeline) {
                refusals.push(Refusal {
                    batch_index,
                    reason,
                    error,
                });
            }
        }
        if !refusals.is_empty() {
            return Outcome::Poison(refusals);
        }
        let written = self.output.write_all(&self.lines);
        match written.and_then(|()| self.output.flush()) {
            Ok(()) => Outcome::Durable,
            Err(error) => Outcome::Fatal {
                reason: format!("standard output cannot be written: {error}: its reader has gone"),
            },
        }
    }

    fn settled(&mut self, _: &Checkpoint) {}

    fn release(&mut self) {}
}
