use std::path::PathBuf;

use super::origin::Origin;
use crate::sink::kafka::KafkaSettingsError;
use crate::sink::rabbitmq::RabbitSettingsError;
use crate::sink::rabbitmq_stream::StreamSettingsError;

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
    #[error("{origin}: unknown key {key}: {advice}")]
    UnknownKey {
        /// Where it was written.
        origin: Origin,
        /// The key.
        key: String,
        /// What was meant, or could be written there.
        advice: String,
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
    #[error("{key} is missing: expected {expected} (looked {looked_in})")]
    Missing {
        /// The key.
        key: &'static str,
        /// What would be valid.
        expected: String,
        /// Where it was looked for.
        looked_in: String,
    },
    /// A file that a value names could not be read.
    #[error("{origin}: {key} names {path}: {source}")]
    ValueFile {
        /// Where it was written.
        origin: Origin,
        /// The key.
        key: String,
        /// The file, masked where it may hold a secret.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Two keys of which there may be one.
    #[error("{origin}: {key} is set, and so is {other} ({other_origin}): keep one of them")]
    Twice {
        /// Where it was written.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// The other key.
        other: &'static str,
        /// Where that was written.
        other_origin: Origin,
    },
    /// No sink, or several.
    #[error(
        "exactly one sink section is needed, [kafka], [rabbitmq], [rabbitmq_stream] or [stdout]: {found}"
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
    /// The sink refuses its settings.
    #[error("{}{source}", prefix(.origin.as_ref()))]
    Kafka {
        /// Where the setting in question was written, if one is to blame.
        origin: Option<Origin>,
        /// What the sink says.
        source: KafkaSettingsError,
    },
    /// RabbitMQ's sink refuses its settings.
    #[error("{}{source}", prefix(.origin.as_ref()))]
    RabbitMq {
        /// Where the setting in question was written, if one is to blame.
        origin: Option<Origin>,
        /// What the sink says.
        source: RabbitSettingsError,
    },
    /// The sink of RabbitMQ's streams refuses its settings.
    #[error("{}{source}", prefix(.origin.as_ref()))]
    RabbitMqStream {
        /// Where the setting in question was written, if one is to blame.
        origin: Option<Origin>,
        /// What the sink says.
        source: StreamSettingsError,
    },
    /// A route that is not whole.
    #[error("rabbitmq.routes, number {}: {name} is missing", number + 1)]
    RouteField {
        /// Its place, from 0.
        number: usize,
        /// What it lacks.
        name: &'static str,
    },
}

impl From<StreamSettingsError> for ConfigError {
    fn from(source: StreamSettingsError) -> Self {
        Self::RabbitMqStream {
            origin: None,
            source,
        }
    }
}

impl From<RabbitSettingsError> for ConfigError {
    fn from(source: RabbitSettingsError) -> Self {
        Self::RabbitMq {
            origin: None,
            source,
        }
    }
}

impl From<KafkaSettingsError> for ConfigError {
    fn from(source: KafkaSettingsError) -> Self {
        Self::Kafka {
            origin: None,
            source,
        }
    }
}

fn prefix(origin: Option<&Origin>) -> String {
    origin.map_or_else(String::new, |origin| format!("{origin}: "))
}
