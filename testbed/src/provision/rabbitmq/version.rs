//! Which RabbitMQ a run is for.

use crate::error::Error;

const VARIABLE: &str = "OUTBOX_TEST_RABBITMQ_VERSION";

/// A RabbitMQ that the test bed can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RabbitVersion {
    /// The system's package, whichever it has: 3.10 in Debian 12.
    #[default]
    System,
    /// RabbitMQ 4.0, from Debian 13. Needs Linux and root.
    V4,
}

impl RabbitVersion {
    /// The version named by `OUTBOX_TEST_RABBITMQ_VERSION` (`4` or `system`), else the default.
    ///
    /// # Errors
    /// When the variable names another.
    pub fn from_environment() -> Result<Self, Error> {
        match std::env::var(VARIABLE).as_deref() {
            Err(_) | Ok("" | "system") => Ok(Self::System),
            Ok("4") => Ok(Self::V4),
            Ok(other) => Err(Error::new(format!(
                "{VARIABLE}={other} is not known; use 4, or system (the default)"
            ))),
        }
    }
}
