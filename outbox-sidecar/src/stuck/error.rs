use std::time::Duration;

use outbox_core::relay::{FailureKind, SourceFailure};
use outbox_core::{MessageError, MessageId};
use uuid::Uuid;

use super::edit::EditError;
use super::plan::RefusedKey;
use crate::exit::ExitCode;

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
    /// A request that nobody will ever meet in the log.
    #[error("relay {0} is not set up: nothing was asked; run `outbox-sidecar init` first")]
    NoRelay(String),
    /// Nothing waits that fits.
    #[error("no message waits that fits: nothing was done")]
    NothingFits,
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
    /// A request whose outcome is not known yet.
    #[error(
        "request {request} is not carried out after {} s (--wait-s): it stays, and is carried out \
         when the relay comes to it; see `outbox-sidecar status`, and `outbox-sidecar stuck list \
         --state all`{left}",
        waited.as_secs(),
        left = left(*.not_asked)
    )]
    NotDone {
        /// Which.
        request: Uuid,
        /// How long it was waited for.
        waited: Duration,
        /// How many chosen messages no request names yet.
        not_asked: u64,
    },
    /// The connection broke just when a request was to be written.
    #[error(
        "{failure}: whether request {request} was written is not known; see `outbox-sidecar stuck \
         list --state all`, and repeat the command if its messages wait"
    )]
    InDoubt {
        /// Which.
        request: Uuid,
        /// What happened.
        failure: SourceFailure,
    },
    /// Rows changed though they were locked.
    #[error(
        "request {request} named {chosen} messages and {found} were there: a bug, nothing was done"
    )]
    Miscounted {
        /// Which.
        request: Uuid,
        /// What it said.
        chosen: usize,
        /// What was found.
        found: u64,
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

fn left(not_asked: u64) -> String {
    match not_asked {
        0 => String::new(),
        count => format!("; {count} of the chosen messages were not asked for"),
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
