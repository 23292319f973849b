use std::io;

use outbox_core::Lsn;
use outbox_core::relay::SourceFailure;
use outbox_core::sink::AcquireError;

use super::names::DESTINATIONS_MAX;
use crate::config::ConfigError;
use crate::exit::ExitCode;
use crate::sink::kafka::KafkaSettingsError;
use crate::sink::published::ReadError;

/// Why outbox and broker could not be compared. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VerifyError {
    /// The broker cannot be read without changing what it holds.
    #[error("{0}")]
    Unreadable(&'static str),
    /// Positions that no message can have.
    #[error("--to-position must lie behind --from-position")]
    EmptyRange,
    /// PostgreSQL refused a statement, or is away.
    #[error("{0}")]
    Database(SourceFailure),
    /// A row that is not what the schema says.
    #[error("reading the outbox: {0}")]
    Row(#[source] tokio_postgres::Error),
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Kafka's properties cannot work.
    #[error(transparent)]
    Kafka(#[from] KafkaSettingsError),
    /// The checkpoint cannot be read.
    #[error("reading the checkpoint: {0}")]
    Checkpoint(#[from] AcquireError),
    /// A range that holds nothing is no proof of anything.
    #[error(
        "nothing was compared: of {rows} rows of outbox.message none lies in that range (--from, --to, \
         --from-position, --to-position)"
    )]
    NothingInRange {
        /// Rows that lie in the window of time.
        rows: u64,
    },
    /// No relay has ever begun.
    #[error("there is no checkpoint: run `outbox-sidecar init`")]
    NeverSetUp,
    /// The relay has not published yet what is compared.
    #[error(
        "the relay is behind by {} bytes: its checkpoint stands at {frontier}, what is compared \
         was committed before {end}; {relay_text}; see `outbox-sidecar status`, or wait longer \
         (--wait-s, now {waited_s})",
        end.bytes_since(*frontier)
    )]
    Behind {
        /// Where everything before it is published.
        frontier: Lsn,
        /// Where the log ended when the table was read.
        end: Lsn,
        /// How long it was waited for.
        waited_s: u64,
        /// Whether anyone reads from the slot.
        relay_text: &'static str,
    },
    /// The broker could not be read to its end.
    #[error("{0}")]
    Broker(#[from] ReadError),
    /// The temporary files.
    #[error("a temporary file (--temporary-directory): {0}")]
    Disk(#[from] io::Error),
    /// More destinations than can be told apart.
    #[error("the rows name more than {DESTINATIONS_MAX} destinations: narrow them (--from, --to)")]
    TooManyDestinations,
    /// What cannot be held in memory.
    #[error(
        "more than {0} rows or messages share very few ids: they cannot be compared; narrow them \
         (--from, --to)"
    )]
    IdsRepeat(usize),
    /// A thread of ours ended.
    #[error("comparing ended early, a bug: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

impl VerifyError {
    /// The exit code of the command.
    pub(crate) const fn exit_code(&self) -> ExitCode {
        match self {
            Self::Unreadable(_) | Self::EmptyRange | Self::Config(_) | Self::Kafka(_) => {
                ExitCode::Usage
            }
            Self::Checkpoint(
                AcquireError::CheckpointMissing(_) | AcquireError::CheckpointCorrupt(_),
            ) => ExitCode::Checkpoint,
            _ => ExitCode::Failed,
        }
    }
}

impl From<SourceFailure> for VerifyError {
    fn from(failure: SourceFailure) -> Self {
        Self::Database(failure)
    }
}
