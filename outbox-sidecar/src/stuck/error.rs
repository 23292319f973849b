use outbox_core::relay::{FailureKind, SourceFailure};
use outbox_core::{MessageError, MessageId};

use super::edit::EditError;
use super::plan::RefusedKey;
use crate::exit::ExitCode;
use crate::operator::RequestError;

/// Why a command about stuck messages failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StuckError {
    /// PostgreSQL refused a statement, or is away.
    #[error("{0}{hint}", hint = hint(.0))]
    Database(SourceFailure),
    /// No such message.
    #[error(
        "no message {} was set aside by relay {relay}: see `outbox-sidecar stuck list --state all`",
        listed(ids)
    )]
    Unknown {
        /// Which.
        ids: Vec<MessageId>,
        /// Whose table was looked at.
        relay: String,
    },
    /// Nothing waits that fits.
    #[error("no message waits that fits{}: nothing was done", in_all(*waiting))]
    NothingFits {
        /// So many do not fit.
        waiting: u64,
    },
    /// The choice would break the order of a key.
    #[error("{}: nothing was done", refused(.keys, *.messages, *.key_count))]
    OutOfOrder {
        /// How many of the chosen messages.
        messages: u64,
        /// Of how many keys.
        key_count: u64,
        /// The first of them.
        keys: Vec<RefusedKey>,
    },
    /// `--edit` is for one message.
    #[error("--edit is for one message, and {0} are chosen: choose one by --id")]
    EditsSeveral(u64),
    /// What stands in the file cannot take a message's place.
    #[error("--edit: {0}")]
    Edit(#[from] EditError),
    /// The destination cannot be one.
    #[error("--to: {0}")]
    Destination(#[source] MessageError),
    /// A request could not be written, or waited for.
    #[error("{0}")]
    Request(#[source] RequestError),
    /// It ended before everything was asked for.
    #[error("{source}; {messages} of the chosen messages were not asked for")]
    NotAsked {
        /// How many.
        messages: u64,
        /// Why.
        source: Box<StuckError>,
    },
}

impl StuckError {
    /// The exit code of the command.
    pub(crate) const fn exit_code(&self) -> ExitCode {
        match self {
            Self::OutOfOrder { .. }
            | Self::EditsSeveral(_)
            | Self::Edit(_)
            | Self::Destination(_) => ExitCode::Usage,
            _ => ExitCode::Failed,
        }
    }
}

impl From<RequestError> for StuckError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Database(failure) => Self::Database(failure),
            error => Self::Request(error),
        }
    }
}

impl From<SourceFailure> for StuckError {
    fn from(failure: SourceFailure) -> Self {
        Self::Database(failure)
    }
}

fn hint(failure: &SourceFailure) -> &'static str {
    match failure.kind {
        FailureKind::PrivilegeRefused => {
            ": the role needs an operator's rights (docs/command-line.md, `stuck`)"
        }
        _ => "",
    }
}

fn in_all(waiting: u64) -> String {
    match waiting {
        0 => String::new(),
        1 => " (1 waits in all)".to_owned(),
        more => format!(" ({more} wait in all)"),
    }
}

/// So many ids or keys are named by an error.
const NAMED_MAX: usize = 5;

fn listed(ids: &[MessageId]) -> String {
    let named: Vec<_> = ids
        .iter()
        .take(NAMED_MAX)
        .map(ToString::to_string)
        .collect();
    let more = ids.len().saturating_sub(NAMED_MAX);
    match more {
        0 => named.join(", "),
        more => format!("{} (and {more} more)", named.join(", ")),
    }
}

fn refused(keys: &[RefusedKey], messages: u64, key_count: u64) -> String {
    let named: Vec<_> = keys
        .iter()
        .take(NAMED_MAX)
        .map(ToString::to_string)
        .collect();
    format!(
        "{messages} of the chosen messages would overtake earlier ones of their key (keys: \
         {key_count}): {}",
        named.join("; ")
    )
}
