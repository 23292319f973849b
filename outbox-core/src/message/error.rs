use std::fmt;

/// Why a message cannot be enqueued: found before any SQL runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// A text that no relay could publish.
    #[error("the {field} {text:?} of the message is invalid: {rule}")]
    Text {
        /// Which text.
        field: MessageField,
        /// Its beginning.
        text: String,
        /// What it should be.
        rule: String,
    },
    /// A header whose name belongs to the relay.
    #[error(
        "the header name {name:?} is reserved: \"content-type\" is given by content_type(), names \
         beginning with \"outbox-\" by the relay"
    )]
    ReservedHeader {
        /// The name.
        name: String,
    },
    /// More bytes than this outbox takes.
    #[error(
        "the message of type {message_type:?} has {size_bytes} bytes, and this outbox takes \
         {size_bytes_max}: store the payload elsewhere and send a reference, or raise \
         message_bytes_max here, in the relay and in the broker"
    )]
    TooLarge {
        /// The message's type.
        message_type: String,
        /// Payload, texts and headers.
        size_bytes: usize,
        /// The limit.
        size_bytes_max: usize,
    },
    /// A payload that does not serialise.
    #[error("the payload of the message of type {message_type:?} does not serialise to JSON")]
    Json {
        /// The message's type.
        message_type: String,
        /// Why.
        source: serde_json::Error,
    },
}

/// A text of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageField {
    /// Where it goes.
    Destination,
    /// What it is about.
    Key,
    /// What happened.
    Type,
    /// What the payload is.
    ContentType,
    /// The name of a header.
    HeaderName,
    /// The value of a header.
    HeaderValue,
}

impl fmt::Display for MessageField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Destination => "destination",
            Self::Key => "key",
            Self::Type => "type",
            Self::ContentType => "content type",
            Self::HeaderName => "header name",
            Self::HeaderValue => "header value",
        })
    }
}
