use std::io;

use outbox_core::relay::{FailureKind, SourceFailure};
use tokio_postgres::error::SqlState;

use crate::source::connection::TlsError;
use crate::source::{SourceError, foreign_text, kind_of_state};

/// What an error of the SQL connection means for the relay.
pub(crate) fn failure_of(error: &tokio_postgres::Error, doing: &str) -> SourceFailure {
    let Some(db) = error.as_db_error() else {
        if let Some(failure) = of_connection(error) {
            return failure;
        }
        return SourceFailure {
            kind: FailureKind::Unreachable,
            message: format!("{doing}: {}", with_sources(error)),
        };
    };
    let kind = kind_of(db.code());
    let said = foreign_text(db.message().as_bytes());
    let state = foreign_text(db.code().code().as_bytes());
    let mut message = format!("{doing}: {said} [{state}]");
    if let Some(hint) = db.hint() {
        message = format!("{message} ({})", foreign_text(hint.as_bytes()));
    }
    if kind == FailureKind::SchemaOutdated {
        message.push_str(
            ": postgres.url or postgres.schema names a database without an outbox, or its schema is older \
             than this release: then run `outbox-sidecar init`",
        );
    }
    SourceFailure { kind, message }
}

/// What a statement of ours can meet beside what any connection can.
fn kind_of(state: &SqlState) -> FailureKind {
    match state.code() {
        _ if [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN].contains(state) => {
            FailureKind::SchemaOutdated
        }
        _ if *state == SqlState::LOCK_NOT_AVAILABLE => FailureKind::Locked,
        // Data exceptions, broken constraints, limits of the server.
        code if ["22", "23", "54"].contains(&code.get(..2).unwrap_or_default()) => {
            FailureKind::ValueRefused
        }
        code => kind_of_state(code),
    }
}

/// What our own socket has said to the driver.
pub(super) fn of_connection(error: &tokio_postgres::Error) -> Option<SourceFailure> {
    let error = std::error::Error::source(error)?.downcast_ref::<io::Error>()?;
    if let Some(error) = TlsError::of_stream(error) {
        return Some(SourceError::from(error).into());
    }
    let error = error.get_ref()?.downcast_ref::<SourceError>()?;
    Some(SourceFailure {
        kind: error.kind(),
        message: error.to_string(),
    })
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
