//! What a message is, and what makes one invalid.

mod error;
mod headers;
mod limits;

use bytes::Bytes;
use serde::Serialize;

use crate::MessageId;
pub use error::{MessageError, MessageField};
pub(crate) use headers::Headers;
pub use limits::{
    CONTENT_TYPE_BYTES_MAX, DESTINATION_BYTES_MAX, HEADER_NAME_BYTES_MAX, TYPE_BYTES_MAX,
};

/// One event to publish: built here, stored by [`Outbox::enqueue`](crate::Outbox::enqueue).
///
/// Without a payload it is a tombstone. Payloads are never copied on their way to the driver.
///
/// ```
/// use outbox_core::Message;
///
/// #[derive(serde::Serialize)]
/// struct PolicyIssued { premium: u32 }
///
/// let message = Message::new("policy-events", "PolicyIssued")
///     .key(4711)
///     .json(&PolicyIssued { premium: 90 })?
///     .header("tenant", "7");
/// assert_eq!(message.payload().map(|payload| &payload[..]), Some(&br#"{"premium":90}"#[..]));
/// # Ok::<(), outbox_core::MessageError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    id: MessageId,
    destination: String,
    key: Option<String>,
    message_type: String,
    content_type: Option<String>,
    payload: Option<Payload>,
    headers: Headers,
}

/// A payload and what its builder says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Payload {
    bytes: Bytes,
    content_type: &'static str,
}

const CONTENT_TYPE_JSON: &str = "application/json";
const CONTENT_TYPE_TEXT: &str = "text/plain; charset=utf-8";
const CONTENT_TYPE_BYTES: &str = "application/octet-stream";

impl Message {
    /// A message of type `message_type` for the topic, queue or stream `destination`, with a new
    /// id and without key, payload and headers.
    #[must_use]
    pub fn new(destination: impl Into<String>, message_type: impl Into<String>) -> Self {
        Self {
            id: MessageId::generate(),
            destination: destination.into(),
            key: None,
            message_type: message_type.into(),
            content_type: None,
            payload: None,
            headers: Headers::default(),
        }
    }

    /// Gives it an id of the caller's own. An id enqueued twice is published twice.
    #[must_use]
    pub fn id(mut self, id: MessageId) -> Self {
        self.id = id;
        self
    }

    /// What the message is about: messages of one key and destination keep their order.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "keys are made of ids: small copies, texts, references alike"
    )]
    pub fn key(mut self, key: impl ToString) -> Self {
        self.key = Some(key.to_string());
        self
    }

    /// Makes `value` in JSON the payload, with the content type `application/json`.
    ///
    /// # Errors
    /// [`MessageError::Json`] when `value` does not serialise.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Result<Self, MessageError> {
        let bytes = serde_json::to_vec(value).map_err(|source| MessageError::Json {
            message_type: self.message_type.clone(),
            source,
        })?;
        Ok(self.payload_of(bytes.into(), CONTENT_TYPE_JSON))
    }

    /// Makes `text` the payload, in UTF-8, with the content type `text/plain; charset=utf-8`.
    #[must_use]
    pub fn text(self, text: impl Into<String>) -> Self {
        self.payload_of(text.into().into_bytes().into(), CONTENT_TYPE_TEXT)
    }

    /// Makes `bytes` the payload, with the content type `application/octet-stream`.
    #[must_use]
    pub fn bytes(self, bytes: impl Into<Bytes>) -> Self {
        self.payload_of(bytes.into(), CONTENT_TYPE_BYTES)
    }

    /// Removes the payload: in a compacted topic the message deletes its key.
    #[must_use]
    pub fn tombstone(mut self) -> Self {
        self.payload = None;
        self
    }

    /// Says what the payload is, instead of what [`json`](Self::json), [`text`](Self::text) or
    /// [`bytes`](Self::bytes) said, whichever was called first.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// Adds a header, passed through to the consumer unchanged; of one name the last counts.
    /// Names beginning with `outbox-` and `content-type` are reserved.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.set(name.into(), value.into());
        self
    }

    fn payload_of(mut self, bytes: Bytes, content_type: &'static str) -> Self {
        self.payload = Some(Payload {
            bytes,
            content_type,
        });
        self
    }
}

/// What was built.
impl Message {
    /// The id it is published under.
    #[must_use]
    pub fn message_id(&self) -> MessageId {
        self.id
    }

    /// The payload; `None` is a tombstone.
    #[must_use]
    pub fn payload(&self) -> Option<&Bytes> {
        self.payload.as_ref().map(|payload| &payload.bytes)
    }

    /// The bytes of the payload and of all texts, without what a database or broker adds.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.destination.len()
            + self.key.as_ref().map_or(0, String::len)
            + self.message_type.len()
            + self.content_type_text().len()
            + self.payload().map_or(0, Bytes::len)
            + self.headers.size_bytes()
    }

    /// Whether a relay could publish it: it fits the limits of this module and has no more than
    /// `size_bytes_max` bytes.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn validate(&self, size_bytes_max: usize) -> Result<(), MessageError> {
        limits::check(
            MessageField::Destination,
            &self.destination,
            1..=DESTINATION_BYTES_MAX,
        )?;
        limits::check(MessageField::Type, &self.message_type, 1..=TYPE_BYTES_MAX)?;
        limits::check(
            MessageField::ContentType,
            self.content_type_text(),
            1..=CONTENT_TYPE_BYTES_MAX,
        )?;
        if let Some(key) = &self.key {
            limits::check_nul(MessageField::Key, key)?;
        }
        self.headers.validate()?;
        let size_bytes = self.size_bytes();
        if size_bytes > size_bytes_max {
            return Err(MessageError::TooLarge {
                message_type: self.message_type.clone(),
                size_bytes,
                size_bytes_max,
            });
        }
        Ok(())
    }
}

/// The columns of its row.
#[cfg(any(feature = "sqlx", feature = "tokio-postgres"))]
impl Message {
    pub(crate) fn destination(&self) -> &str {
        &self.destination
    }

    pub(crate) fn key_text(&self) -> Option<&str> {
        self.key.as_deref()
    }

    pub(crate) fn message_type(&self) -> &str {
        &self.message_type
    }

    pub(crate) fn headers(&self) -> &Headers {
        &self.headers
    }
}

impl Message {
    pub(crate) fn content_type_text(&self) -> &str {
        match (&self.content_type, &self.payload) {
            (Some(said), _) => said,
            (None, Some(payload)) => payload.content_type,
            (None, None) => CONTENT_TYPE_BYTES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE_BYTES_MAX: usize = 1000;

    fn error(message: &Message) -> MessageError {
        message.validate(SIZE_BYTES_MAX).unwrap_err()
    }

    #[test]
    fn content_type_follows_the_payload_unless_said() {
        let message = || Message::new("d", "t");
        assert_eq!(message().content_type_text(), CONTENT_TYPE_BYTES);
        assert_eq!(message().text("x").content_type_text(), CONTENT_TYPE_TEXT);
        let said = message().content_type("image/png");
        assert_eq!(said.bytes(vec![1]).content_type_text(), "image/png");
        let json = message().json(&[1]).unwrap();
        assert_eq!(json.content_type_text(), CONTENT_TYPE_JSON);
        assert_eq!(json.tombstone().payload(), None);
    }

    #[test]
    fn payload_is_not_copied() {
        let payload = Bytes::from(vec![7; 100]);
        let message = Message::new("d", "t").bytes(payload.clone());
        assert_eq!(message.payload().unwrap().as_ptr(), payload.as_ptr());
        let text = String::from("a long text");
        let pointer = text.as_ptr();
        let message = Message::new("d", "t").text(text);
        assert_eq!(message.payload().unwrap().as_ptr(), pointer);
    }

    #[test]
    fn texts_keep_their_limits() {
        Message::new("d".repeat(249), "t".repeat(255))
            .validate(SIZE_BYTES_MAX)
            .unwrap();
        for message in [
            Message::new("", "t"),
            Message::new("d".repeat(250), "t"),
            Message::new("a\nb", "t"),
            Message::new("d", ""),
            Message::new("d", "t".repeat(256)),
            Message::new("d", "t").content_type(""),
            Message::new("d", "t").key("a\0b"),
        ] {
            assert!(
                matches!(error(&message), MessageError::Text { .. }),
                "{message:?}"
            );
        }
    }

    #[test]
    fn size_counts_everything() {
        let message = Message::new("dest", "type").key("key").text("payload");
        let expected = 4 + 4 + 3 + 7 + CONTENT_TYPE_TEXT.len();
        assert_eq!(message.size_bytes(), expected);
        message.validate(expected).unwrap();
        assert!(matches!(
            message.validate(expected - 1),
            Err(MessageError::TooLarge { size_bytes, .. }) if size_bytes == expected
        ));
    }
}
