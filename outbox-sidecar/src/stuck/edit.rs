use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use outbox_core::{Message, MessageError};
use serde_json::{Map, Value};

use super::shown::ShownRow;

/// What takes the place of a message's own; the row keeps the original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) message_type: String,
    pub(crate) content_type: String,
    /// `None` makes a tombstone.
    pub(crate) payload: Option<Vec<u8>>,
    /// A JSON object of strings.
    pub(crate) headers: String,
}

/// Why a file cannot take a message's place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditError {
    /// It cannot be read.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// It is longer than any message.
    #[error("the file has more than {0} bytes")]
    FileTooLarge(u64),
    /// No JSON.
    #[error("the file is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Not one object.
    #[error("the file must hold one message, as `outbox-sidecar stuck show ID --json` prints it")]
    NotOneMessage,
    /// A name that `show` does not print.
    #[error(
        "{0:?} is not known: what may be edited is type, content_type, headers, and payload or \
         payload_base64"
    )]
    UnknownField(String),
    /// A field that stays what it is.
    #[error(
        "{0:?} cannot be edited, and differs from the message's: what may be edited is type, \
         content_type, headers, and payload or payload_base64 (for another destination: --to)"
    )]
    FixedField(String),
    /// A field of another kind.
    #[error("{field:?} must be {expected}")]
    FieldKind {
        /// Which.
        field: String,
        /// What would be valid.
        expected: &'static str,
    },
    /// Two payloads.
    #[error("payload and payload_base64 are both given: keep one")]
    TwoPayloads,
    /// No payload, and the message's own is too large to be read.
    #[error(
        "the message's own payload of {0} bytes is more than any relay publishes: give another \
         (payload, payload_base64)"
    )]
    PayloadTooLarge(u64),
    /// No service could have enqueued it.
    #[error("{0}")]
    Message(#[from] MessageError),
}

/// What may be edited.
const EDITABLE: [&str; 5] = [
    "type",
    "content_type",
    "headers",
    "payload",
    "payload_base64",
];

/// What `show` prints and what may have changed since: it is not looked at.
const HISTORY: [&str; 17] = [
    "payload_bytes",
    "payload_omitted",
    "reason",
    "error",
    "attempts",
    "blocks_key",
    "state",
    "parked_at",
    "age_s",
    "actor",
    "note",
    "request",
    "replays",
    "settled_at",
    "last_request",
    "waiting_behind",
    "waits_for",
];

impl Edit {
    /// Reads what `show` printed, edited, as what is to be published instead of `original`. What is
    /// left out stays as it is.
    pub(crate) fn read(
        text: &str,
        original: &ShownRow,
        destination: Option<&str>,
        message_bytes_max: usize,
    ) -> Result<Self, EditError> {
        let fields = one_object(serde_json::from_str(text)?)?;
        let shown = original.to_json();
        for (name, value) in &fields {
            let name = name.as_str();
            if EDITABLE.contains(&name) || HISTORY.contains(&name) {
                continue;
            }
            match shown.get(name) {
                None => return Err(EditError::UnknownField(name.to_owned())),
                Some(own) if own != value => return Err(EditError::FixedField(name.to_owned())),
                Some(_) => {}
            }
        }
        let text_field = |name: &str, own: &str| match fields.get(name) {
            None => Ok(own.to_owned()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(wrong(name, "a text")),
        };
        let headers = match fields.get("headers") {
            None => serde_json::from_str(&original.headers)?,
            Some(headers) => headers.clone(),
        };
        let edit = Self {
            message_type: text_field("type", &original.row.message_type)?,
            content_type: text_field("content_type", &original.row.content_type)?,
            payload: payload(&fields, original)?,
            headers: headers.to_string(),
        };
        let mut message = Message::new(
            destination.unwrap_or(&original.row.destination),
            &edit.message_type,
        )
        .content_type(&edit.content_type);
        if let Some(key) = &original.row.key {
            message = message.key(key);
        }
        if let Some(payload) = &edit.payload {
            message = message
                .bytes(payload.clone())
                .content_type(&edit.content_type);
        }
        let object = headers.as_object();
        for (name, value) in object.ok_or_else(|| wrong("headers", "an object of texts"))? {
            let value = value.as_str();
            let value = value.ok_or_else(|| wrong("headers", "an object of texts"))?;
            message = message.header(name, value);
        }
        message.validate(message_bytes_max)?;
        Ok(edit)
    }
}

/// The object itself, or the only one of an array.
fn one_object(value: Value) -> Result<Map<String, Value>, EditError> {
    let value = match value {
        Value::Array(mut values) if values.len() == 1 => values.pop().unwrap_or_default(),
        other => other,
    };
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err(EditError::NotOneMessage),
    }
}

fn payload(fields: &Map<String, Value>, original: &ShownRow) -> Result<Option<Vec<u8>>, EditError> {
    match (fields.get("payload"), fields.get("payload_base64")) {
        (Some(_), Some(_)) => Err(EditError::TwoPayloads),
        (Some(Value::Null), None) => Ok(None),
        (Some(Value::String(text)), None) => Ok(Some(text.clone().into_bytes())),
        (Some(_), None) => Err(wrong(
            "payload",
            "a text, or null for a tombstone; JSON goes into it as a text",
        )),
        (None, Some(Value::String(text))) => STANDARD
            .decode(text)
            .map(Some)
            .map_err(|_| wrong("payload_base64", "a text in Base64")),
        (None, Some(_)) => Err(wrong("payload_base64", "a text in Base64")),
        (None, None) if original.has_whole_payload() => Ok(original.payload.clone()),
        (None, None) => Err(EditError::PayloadTooLarge(
            original.row.payload_bytes.unwrap_or_default(),
        )),
    }
}

fn wrong(field: &str, expected: &'static str) -> EditError {
    EditError::FieldKind {
        field: field.to_owned(),
        expected,
    }
}
