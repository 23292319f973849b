use std::time::Duration;

use outbox_core::relay::{FailureKind, SourceFailure};
use outbox_core::{MessageError, Timestamp};
use uuid::Uuid;

use crate::exit::ExitCode;
use crate::stuck::{StuckError, time_text};

/// Why messages could not be asked to be published once more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RedeliveryError {
    /// PostgreSQL refused a statement, or is away.
    #[error("{0}{hint}", hint = hint(.0))]
    Database(#[from] SourceFailure),
    /// What the commands about stuck messages say, too.
    #[error(transparent)]
    Stuck(#[from] StuckError),
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
    /// A request whose outcome is not known yet.
    #[error(
        "request {request} is not carried out after {} s (--wait-s): it stays, and is carried out \
         when the relay comes to it; see `outbox-sidecar status`",
        waited.as_secs()
    )]
    NotDone {
        /// Which.
        request: Uuid,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The connection broke just when a request was to be written.
    #[error("{failure}: whether request {request} was written is not known (outbox.request says)")]
    InDoubt {
        /// Which.
        request: Uuid,
        /// What happened.
        failure: SourceFailure,
    },
    /// A bug: a request without all of its messages is not written.
    #[error("request {request} says {chosen} messages and has {found}: a bug, it was not written")]
    Miscounted {
        /// Which.
        request: Uuid,
        /// What it said.
        chosen: u64,
        /// What was found.
        found: u64,
    },
    /// It ended before everything was asked for.
    #[error(
        "{source}; {asked} of {chosen} messages are asked for and go their way: for the others repeat \
         the command with --from {}, which may send some of these again",
        time_text(*.from)
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

fn hint(failure: &SourceFailure) -> &'static str {
    match failure.kind {
        FailureKind::PrivilegeRefused => {
            ": the role needs the rights to redeliver (docs/command-line.md, `redeliver`)"
        }
        _ => "",
    }
}
