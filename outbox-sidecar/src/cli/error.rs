use std::io;

use outbox_core::relay::Stop;

use crate::config::ConfigError;
use crate::exit::ExitCode;
use crate::redelivery::RedeliveryError;
use crate::setup::SetupError;
use crate::stuck::StuckError;
use crate::verify::VerifyError;

/// Why a command failed: what is printed, and the exit code.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Setting up or taking away failed.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Outbox and broker could not be compared.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// Stuck messages could not be seen or asked for.
    #[error(transparent)]
    Stuck(#[from] StuckError),
    /// Nothing could be asked to be published once more.
    #[error(transparent)]
    Redelivery(#[from] RedeliveryError),
    /// What is chosen is not said, or in two ways.
    #[error("{0}")]
    Choice(&'static str),
    /// The operator said no.
    #[error("nothing was done")]
    Declined,
    /// The times do not go together.
    #[error("--{until} must be later than --{since}")]
    Window {
        /// The option of the first moment.
        since: &'static str,
        /// And of the last.
        until: &'static str,
    },
    /// The relay stopped.
    #[error("{0}")]
    Stopped(Stop),
    /// The runtime could not be started.
    #[error("cannot start the runtime: {0}")]
    Runtime(#[source] io::Error),
    /// The HTTP server could not be started.
    #[error("cannot listen on http.listen = {listen}: {source}")]
    Listen {
        /// The address.
        listen: std::net::SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// Metrics could not be collected.
    #[error("cannot collect metrics: {0}")]
    Metrics(#[from] metrics::SetRecorderError<crate::telemetry::FixedRecorder>),
    /// Signalled twice.
    #[error("ended by a second signal: outbox.request says how far it came")]
    Signalled,
    /// Signals could not be received.
    #[error("cannot receive signals: {0}")]
    Signals(#[source] io::Error),
    /// A command that needs to be confirmed.
    #[error("{0}; repeat with --yes to do it")]
    Unconfirmed(String),
    /// The administrator's URL cannot be used.
    #[error("--admin-url: {0}")]
    AdminUrl(#[from] crate::source::connection::AddressError),
}

impl CliError {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::Unconfirmed(_)
            | Self::AdminUrl(_)
            | Self::Window { .. }
            | Self::Choice(_) => ExitCode::Usage.number(),
            Self::Stuck(error) => error.exit_code().number(),
            Self::Redelivery(error) => error.exit_code().number(),
            Self::Verify(error) => error.exit_code().number(),
            Self::Setup(error) => error.exit_code().number(),
            Self::Stopped(stop) => stop.exit_code(),
            Self::Runtime(_)
            | Self::Listen { .. }
            | Self::Metrics(_)
            | Self::Signals(_)
            | Self::Signalled
            | Self::Declined => ExitCode::Failed.number(),
        }
    }
}
