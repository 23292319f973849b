//! What lapin reports, folded into what the relay understands.

use lapin::{Error, ErrorKind};
use outbox_core::sink::{AcquireError, RefusalReason};

use super::settings::Broker;

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
    /// The broker's reply to this request; `None` when it did not answer, or ended the connection,
    /// which says nothing of the request.
    pub(super) code: Option<u16>,
    /// What was done, and what the broker said.
    pub(super) text: String,
}

impl Refused {
    /// What it means for a relay that wants to publish.
    pub(super) fn into_acquire_error(self) -> AcquireError {
        match self.code {
            Some(ACCESS_REFUSED) => AcquireError::Fatal(format!(
                "{}: give the user the right to configure its guard queue, and to write to the \
                 exchanges",
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
        ErrorKind::ProtocolError(reply) if error.is_amqp_soft_error() => Some(reply.get_id()),
        _ => None,
    };
    Refused {
        code,
        text: format!("{doing}: {error}"),
    }
}

/// Why a connection was not made.
pub(super) fn connect_error(broker: &Broker, error: &Error) -> AcquireError {
    let place = broker.place();
    let text = format!("{place}: {error}");
    if let (ErrorKind::IOError(io), Some(tls)) = (error.kind(), &broker.tls)
        && let Some(refusal) = tls.refusal(io, &broker.uri.authority.host)
    {
        return AcquireError::Fatal(format!("{place}: {refusal}"));
    }
    match error.kind() {
        ErrorKind::ProtocolError(reply) => match reply.get_id() {
            ACCESS_REFUSED => {
                let advice = match &broker.tls {
                    Some(tls) if tls.is_external => {
                        "make the user that the certificate names, without a password; see \
                         ssl_cert_login_from"
                    }
                    _ => "check user and password",
                };
                AcquireError::Fatal(format!("{text}: {advice}"))
            }
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

#[cfg(test)]
mod tests {
    use lapin::protocol::{AMQPError, AMQPHardError, AMQPSoftError};

    use super::*;

    fn error(kind: impl Into<lapin::protocol::AMQPErrorKind>) -> Error {
        ErrorKind::ProtocolError(AMQPError::new(kind.into(), "maintenance".into())).into()
    }

    #[test]
    fn a_connection_that_the_broker_ends_says_nothing_of_a_request() {
        for hard in [
            AMQPHardError::CONNECTIONFORCED,
            AMQPHardError::INTERNALERROR,
            AMQPHardError::RESOURCEERROR,
        ] {
            let refused = reply("making queue", &error(hard));
            assert_eq!(refused.code, None, "{}", refused.text);
            assert!(matches!(
                refused.into_acquire_error(),
                AcquireError::Unavailable(_)
            ));
        }
        let refused = reply("making queue", &error(AMQPSoftError::ACCESSREFUSED));
        assert_eq!(refused.code, Some(ACCESS_REFUSED));
    }
}
