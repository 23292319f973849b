//! RabbitMQ: the system's package.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::provision::command;

/// The package's own programs; those in PATH change the user and the directory first.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

/// Where RabbitMQ's programs are.
#[derive(Debug, Clone)]
pub struct RabbitInstallation {
    programs: PathBuf,
    epmd: PathBuf,
}

impl RabbitInstallation {
    /// The path of `rabbitmq-server` or `rabbitmqctl`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Erlang's port mapper.
    #[must_use]
    pub fn epmd(&self) -> &Path {
        &self.epmd
    }
}

/// The installed RabbitMQ.
///
/// # Errors
/// When it is not installed; the error names the package.
pub fn rabbitmq() -> Result<RabbitInstallation, Error> {
    let programs = PathBuf::from(PROGRAMS);
    if !programs.join("rabbitmq-server").is_file() {
        return Err(Error::new(
            "RabbitMQ is not installed; on Debian or Ubuntu: apt-get install rabbitmq-server",
        ));
    }
    let epmd = command::require("epmd", "erlang-base")?;
    Ok(RabbitInstallation { programs, epmd })
}
