//! What lapin reports, folded into what the relay understands.

use lapin::{Error, ErrorKind};
use outbox_core::sink::{AcquireError, RefusalReason};

/// AMQP's reply codes: <https://www.rabbitmq.com/amqp-0-9-1-reference#constants>.
const CONTENT_TOO_LARGE: u16 = 311;
const NO_ROUTE: u16 = 312;
const ACCESS_REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;
const NOT_ALLOWED: u16 = 530;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// The broker's reply code; `None` when the broker did not answer.
    pub(super) code: Option<u16>,
    /// What was done, and what the broker said.
    pub(super) text: String,
}

impl Refused {
    /// What it means for a relay that wants to publish.
    pub(super) fn into_acquire_error(self) -> AcquireError {
        match self.code {
            Some(ACCESS_REFUSED | NOT_ALLOWED) => AcquireError::Fatal(format!(
                "{}: give the user configure, write and read rights on its guard queue, and write \
                 rights on the exchanges",
                self.text
            )),
            Some(_) => AcquireError::Fatal(self.text),
            None => AcquireError::Unavailable(self.text),
        }
    }
}

/// The broker's answer to a request that failed.
pub(super) fn reply(doing: &str, error: &Error) -> Refused {
    let code = match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    };
    Refused {
        code,
        text: format!("{doing}: {error}"),
    }
}

/// Why a connection was not made.
pub(super) fn connect_error(place: &str, error: &Error) -> AcquireError {
    let text = format!("{place}: {error}");
    match error.kind() {
        ErrorKind::ProtocolError(reply) => match reply.get_id() {
            ACCESS_REFUSED => AcquireError::Fatal(format!("{text}: check user and password")),
            NOT_ALLOWED => AcquireError::Fatal(format!(
                "{text}: check the vhost, and the user's rights in it"
            )),
            _ => AcquireError::Unavailable(text),
        },
        ErrorKind::AuthProviderError(_) | ErrorKind::InvalidProtocolVersion(_) => {
            AcquireError::Fatal(text)
        }
        _ => AcquireError::Unavailable(text),
    }
}

/// What a reply says of the one message it was given for.
pub(super) fn refusal_reason(code: u16) -> RefusalReason {
    match code {
        CONTENT_TOO_LARGE | PRECONDITION_FAILED => RefusalReason::TooLarge,
        NO_ROUTE | NOT_FOUND => RefusalReason::DestinationMissing,
        ACCESS_REFUSED => RefusalReason::NotAuthorised,
        _ => RefusalReason::Rejected,
    }
}
