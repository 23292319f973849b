use std::time::Duration;

use outbox_core::relay::SourceFailure;
use uuid::Uuid;

/// Why a request could not be written, or waited for, whatever it asks for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// PostgreSQL refused a statement, or is away.
    #[error(transparent)]
    Database(#[from] SourceFailure),
    /// A name that stands for nothing here.
    #[error(
        "no relay {relay} is set up in this database, and none left messages behind: look at relay.name \
         and postgres.url; {}",
        named(others)
    )]
    NoSuchRelay {
        /// As it is configured.
        relay: String,
        /// The first that are set up.
        others: Vec<String>,
    },
    /// A request that nobody will ever meet in the log.
    #[error("relay {0} is not set up: nothing was asked; run `outbox-sidecar init` first")]
    NoRelay(String),
    /// The same: a slot that is made later begins behind it.
    #[error(
        "there is no slot {slot}: nobody would ever carry a request out, and nothing was asked; see \
         `outbox-sidecar status`"
    )]
    NoSlot {
        /// The relay's.
        slot: String,
    },
    /// The connection broke just when a request was to be written.
    #[error(
        "{failure}: whether request {request} was written is not known: look for it in outbox.request \
         before you repeat the command"
    )]
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
    /// A signal.
    #[error("interrupted: what is asked for stays, and the relay carries it out")]
    Interrupted,
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
}

fn named(others: &[String]) -> String {
    match others {
        [] => "none is set up, see `outbox-sidecar init`".to_owned(),
        others => format!("set up are: {}", others.join(", ")),
    }
}
