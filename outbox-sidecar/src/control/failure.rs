use outbox_core::relay::{FailureKind, SourceFailure};

use crate::source::kind_of_state;

/// What an error of the SQL connection means for the relay.
pub(crate) fn failure_of(error: &tokio_postgres::Error, doing: &str) -> SourceFailure {
    match error.as_db_error() {
        Some(db) => SourceFailure {
            kind: kind_of_state(db.code().code()),
            message: {
                let hint = db
                    .hint()
                    .map(|hint| format!(" ({hint})"))
                    .unwrap_or_default();
                format!("{doing}: {} [{}]{hint}", db.message(), db.code().code())
            },
        },
        None => SourceFailure {
            kind: FailureKind::Unreachable,
            message: format!("{doing}: {}", with_sources(error)),
        },
    }
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
