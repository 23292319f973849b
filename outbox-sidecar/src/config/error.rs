use std::path::PathBuf;

use super::origin::Origin;

/// A configuration that cannot be used. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file could not be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}: not valid TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser said.
        message: String,
    },
    /// A key that does not exist.
    #[error("{origin}: unknown key {key}{}", suggestion(.nearest))]
    UnknownKey {
        /// Where it was written.
        origin: Origin,
        /// The key.
        key: String,
        /// A key that looks alike.
        nearest: Option<String>,
    },
    /// A value that cannot be.
    #[error("{origin}: {key} is {value}: expected {expected}")]
    Value {
        /// Where it was written.
        origin: Origin,
        /// The key.
        key: String,
        /// The value, masked where it may hold a secret.
        value: String,
        /// What would be valid.
        expected: String,
    },
    /// A key that must be set.
    #[error("{key} is missing: expected {expected}")]
    Missing {
        /// The key.
        key: &'static str,
        /// What would be valid.
        expected: &'static str,
    },
    /// No sink, or several.
    #[error(
        "exactly one sink section is needed (kafka, rabbitmq, rabbitmq_stream or stdout): {found}"
    )]
    Sinks {
        /// What was found, and where.
        found: String,
    },
    /// Something that this release does not have.
    #[error("{origin}: {what} is not available in this release: {instead}")]
    Unavailable {
        /// Where it was written.
        origin: Origin,
        /// What was asked for.
        what: String,
        /// What there is.
        instead: &'static str,
    },
    /// The sink's own settings do not go together.
    #[error(transparent)]
    Kafka(#[from] crate::sink::kafka::KafkaSettingsError),
}

fn suggestion(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(
        || "; `outbox-sidecar config --show` lists all".to_owned(),
        |key| format!("; did you mean {key}?"),
    )
}
