use outbox_core::relay::{FailureKind, SourceFailure};
use outbox_core::{MessageError, Timestamp};

use crate::exit::ExitCode;
use crate::operator::RequestError;
use crate::sink::message_text::timestamp_text;

/// Why messages could not be asked to be published once more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RedeliveryError {
    /// PostgreSQL refused a statement, or is away.
    #[error("{0}{hint}", hint = hint(.0))]
    Database(#[from] SourceFailure),
    /// A request could not be written, or waited for.
    #[error("{0}")]
    Request(#[source] RequestError),
    /// Nothing was published that fits.
    #[error("no message of that range was published that fits: nothing was done")]
    NothingFits,
    /// Messages of several destinations would be mixed.
    #[error(
        "messages of {count} destinations would go to {destination:?}: say whose are meant by \
         --of-destination, or leave --destination away and each goes where it was published"
    )]
    Mixes {
        /// Of how many.
        count: u64,
        /// Where to.
        destination: String,
    },
    /// The destination cannot be one.
    #[error("--destination: {0}")]
    Destination(#[source] MessageError),
    /// It ended before everything was asked for.
    #[error(
        "{source}; {asked} of {chosen} messages are asked for and go their way: for the others repeat \
         the command with --from {}, which may send some of these again",
        timestamp_text(*.from)
    )]
    Ended {
        /// How many are asked for.
        asked: u64,
        /// Of how many.
        chosen: u64,
        /// No earlier one is missing.
        from: Timestamp,
        /// Why.
        source: Box<RedeliveryError>,
    },
}

impl RedeliveryError {
    /// The exit code of the command.
    pub(crate) const fn exit_code(&self) -> ExitCode {
        match self {
            Self::Mixes { .. } | Self::Destination(_) => ExitCode::Usage,
            _ => ExitCode::Failed,
        }
    }
}

impl From<RequestError> for RedeliveryError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Database(failure) => Self::Database(failure),
            error => Self::Request(error),
        }
    }
}

fn hint(failure: &SourceFailure) -> &'static str {
    match failure.kind {
        FailureKind::PrivilegeRefused => {
            ": the role needs the rights to redeliver (docs/command-line.md, `redeliver`)"
        }
        _ => "",
    }
}
