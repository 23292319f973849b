use outbox_core::relay::{FailureKind, SourceFailure};
use outbox_core::schema::MigrateError;
use outbox_core::sink::AcquireError;

use crate::config::ConfigError;
use crate::control::failure_of;
use crate::exit::ExitCode;
use crate::source::SourceError;
use crate::source::connection::Address;

/// Why setting up or taking away stopped. What was done so far stays, and a repeat goes on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    /// PostgreSQL refused a statement, or is away.
    #[error("{0}")]
    Sql(SourceFailure),
    /// The replication connection failed.
    #[error("{0}")]
    Replication(#[from] SourceError),
    /// The schema could not be brought to this version.
    #[error("{}", with_source(.0))]
    Migrate(#[from] MigrateError),
    /// The sink refused, or is away.
    #[error("{0}")]
    Sink(#[from] AcquireError),
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server cannot be used like this.
    #[error("{0}")]
    Unfit(String),
    /// Something else must be decided first.
    #[error("{0}")]
    Refused(String),
    /// The slot is gone although this relay has published.
    #[error("{0}")]
    SlotMissing(String),
    /// The checkpoint is gone, or somebody else's.
    #[error("{0}")]
    Checkpoint(String),
}

impl SetupError {
    pub(super) fn sql(doing: &str, source: tokio_postgres::Error) -> Self {
        Self::Sql(failure_of(&source, doing))
    }

    /// The exit code of the command.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Refused(_) => ExitCode::Usage,
            Self::SlotMissing(_) => ExitCode::SlotMissing,
            Self::Checkpoint(_) => ExitCode::Checkpoint,
            Self::Sql(SourceFailure {
                kind: FailureKind::SlotMissing,
                ..
            }) => ExitCode::SlotMissing,
            Self::Sink(AcquireError::CheckpointMissing(_) | AcquireError::CheckpointCorrupt(_)) => {
                ExitCode::Checkpoint
            }
            _ => ExitCode::Failed,
        }
    }
}

impl From<SourceFailure> for SetupError {
    fn from(failure: SourceFailure) -> Self {
        Self::Sql(failure)
    }
}

fn with_source(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Whoever may run the relay need not be allowed to make or drop what it needs.
pub(super) fn with_admin_hint(error: SetupError, admin: Option<&Address>) -> SetupError {
    const INSUFFICIENT_PRIVILEGE: &str = "[42501]";
    let text = error.to_string();
    let refused = text.contains(INSUFFICIENT_PRIVILEGE) || text.contains("permission denied");
    if admin.is_some() || !refused {
        return error;
    }
    SetupError::Sql(SourceFailure {
        kind: FailureKind::PrivilegeRefused,
        message: format!("{text}: name an administrator's URL by --admin-url"),
    })
}
