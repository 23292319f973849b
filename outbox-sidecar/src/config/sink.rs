use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::error::ConfigError;
use super::keys;
use super::layers::Layers;
use super::origin::{Origin, Raw};
use super::reader::Reader;
use crate::sink::kafka::{KafkaSettings, KafkaSettingsError, KafkaSink};
use crate::sink::rabbitmq::{RabbitSettings, RabbitSettingsError, Route};
use crate::sink::rabbitmq_stream::{StreamSettings, StreamSettingsError};

/// How long an attempt may take at a broker that names no limit itself.
const ATTEMPT_MAX: Duration = Duration::from_secs(30);

/// Where messages go, and with which promise.
#[derive(Clone)]
pub(crate) enum SinkSettings {
    /// Kafka, exactly once.
    Kafka(KafkaSettings),
    /// Kafka, at least once: no transaction around the messages.
    KafkaAtLeastOnce(KafkaSettings),
    /// RabbitMQ's queues and exchanges, at least once.
    RabbitMq(RabbitSettings),
    /// RabbitMQ's streams, exactly once in each.
    RabbitMqStream(StreamSettings),
    /// Lines on standard output, at least once.
    Stdout(StdoutSettings),
}

/// What a relay needs to know of standard output.
#[derive(Clone, Copy)]
pub(crate) struct StdoutSettings {
    /// The largest message, in bytes.
    pub(crate) message_bytes_max: usize,
}

const URLS: [&str; 3] = ["rabbitmq.url", "rabbitmq.urls", "rabbitmq.url_file"];
const STREAM_URLS: [&str; 3] = [
    "rabbitmq_stream.url",
    "rabbitmq_stream.urls",
    "rabbitmq_stream.url_file",
];

/// How many windows of unconfirmed messages make a batch for a queue.
const BATCH_WINDOWS_MAX: usize = 2;

impl SinkSettings {
    /// The section of the configuration.
    pub(crate) const fn section(&self) -> &'static str {
        match self {
            Self::Kafka(_) | Self::KafkaAtLeastOnce(_) => KAFKA,
            Self::RabbitMq(_) => RABBITMQ,
            Self::RabbitMqStream(_) => RABBITMQ_STREAM,
            Self::Stdout(_) => STDOUT,
        }
    }

    /// How often a consumer may see a message.
    pub(crate) const fn delivery(&self) -> &'static str {
        match self {
            Self::Kafka(_) | Self::RabbitMqStream(_) => EXACTLY_ONCE,
            Self::KafkaAtLeastOnce(_) | Self::RabbitMq(_) | Self::Stdout(_) => AT_LEAST_ONCE,
        }
    }

    /// The largest message that the relay publishes.
    pub(crate) const fn message_bytes_max(&self) -> usize {
        match self {
            Self::Kafka(kafka) | Self::KafkaAtLeastOnce(kafka) => kafka.message_bytes_max,
            Self::RabbitMq(rabbit) => rabbit.message_bytes_max,
            Self::RabbitMqStream(stream) => stream.message_bytes_max,
            Self::Stdout(stdout) => stdout.message_bytes_max,
        }
    }

    /// Whether a consumer may see a message more than once.
    pub(crate) fn may_repeat(&self) -> bool {
        self.delivery() == AT_LEAST_ONCE
    }

    /// The most messages of a batch: what a relay that dies in the middle of one may show twice is
    /// kept within a few windows of unconfirmed messages.
    pub(crate) fn batch_messages_max(&self, configured: usize) -> usize {
        match self {
            Self::RabbitMq(rabbit) => {
                configured.min(rabbit.unconfirmed_max.saturating_mul(BATCH_WINDOWS_MAX))
            }
            _ => configured,
        }
    }

    /// How long one attempt at a batch may take before it is given up: for Kafka's transactions until
    /// their messages time out, otherwise as long as a broker is waited for.
    pub(crate) fn attempt_max(&self) -> Result<Duration, KafkaSettingsError> {
        match self {
            Self::Kafka(kafka) => kafka.batch_timeout(),
            _ => Ok(ATTEMPT_MAX),
        }
    }

    /// The Kafka cluster that keeps the checkpoints, where one does.
    pub(crate) const fn kafka(&self) -> Option<&KafkaSettings> {
        match self {
            Self::Kafka(kafka) | Self::KafkaAtLeastOnce(kafka) => Some(kafka),
            Self::RabbitMq(_) | Self::RabbitMqStream(_) | Self::Stdout(_) => None,
        }
    }

    /// Reads the one section that was written, and lets its sink look at what it says.
    pub(super) fn read(read: &Reader<'_>, section: &str, relay: &str) -> Result<Self, ConfigError> {
        match section {
            RABBITMQ => {
                let settings = read.rabbitmq(relay)?;
                settings.check().map_err(|source| ConfigError::RabbitMq {
                    origin: read.blamed_for_rabbitmq(&source),
                    source,
                })?;
                Ok(Self::RabbitMq(settings))
            }
            RABBITMQ_STREAM => {
                let settings = read.rabbitmq_stream(relay)?;
                settings
                    .check()
                    .map_err(|source| ConfigError::RabbitMqStream {
                        origin: read.blamed_for_streams(&source),
                        source,
                    })?;
                Ok(Self::RabbitMqStream(settings))
            }
            STDOUT => Ok(Self::Stdout(StdoutSettings {
                message_bytes_max: read.bytes("limits.message_bytes_max")?,
            })),
            _ => {
                let settings = read.kafka(relay)?;
                // The sink checks its properties where it is made; here, so that nothing is started.
                KafkaSink::new(settings.clone()).map_err(|source| ConfigError::Kafka {
                    origin: read.blamed(&source),
                    source,
                })?;
                match read.text("kafka.delivery")?.as_str() {
                    EXACTLY_ONCE => Ok(Self::Kafka(settings)),
                    AT_LEAST_ONCE => Ok(Self::KafkaAtLeastOnce(settings)),
                    _ => Err(read.not_allowed("kafka.delivery")),
                }
            }
        }
    }
}

const KAFKA: &str = "kafka";
const RABBITMQ: &str = "rabbitmq";
const RABBITMQ_STREAM: &str = "rabbitmq_stream";
const STDOUT: &str = "stdout";
const EXACTLY_ONCE: &str = "exactly-once";
const AT_LEAST_ONCE: &str = "at-least-once";

/// The one section of a sink.
pub(super) fn only_section(layers: &Layers) -> Result<&'static str, ConfigError> {
    let find = |name: &'static str| {
        let entry = layers.section(name)?;
        Some((name, entry.origin.clone()))
    };
    let mut found: Vec<_> = keys::SINKS.iter().filter_map(|name| find(name)).collect();
    found.sort_by_key(|(_, origin)| origin.line());
    match found.as_slice() {
        [(name, _)] => Ok(name),
        [] => Err(ConfigError::Sinks {
            found: format!("found none {}", layers.looked_in()),
        }),
        several => {
            let named: Vec<_> = several
                .iter()
                .map(|(name, origin)| format!("{name} ({origin})"))
                .collect();
            Err(ConfigError::Sinks {
                found: format!("found {}", named.join(" and ")),
            })
        }
    }
}

impl Reader<'_> {
    fn kafka(&self, relay: &str) -> Result<KafkaSettings, ConfigError> {
        let mut properties = BTreeMap::new();
        for (name, entry) in self.layers.below(keys::PROPERTIES) {
            let value = match &entry.raw {
                Raw::Text(text) => text.clone(),
                Raw::Integer(number) => number.to_string(),
                Raw::Boolean(truth) => truth.to_string(),
                Raw::List(_) | Raw::Other(_) => {
                    return Err(self.bad(&format!("{}{name}", keys::PROPERTIES), "a text"));
                }
            };
            properties.insert(name.to_owned(), value);
        }
        Ok(KafkaSettings {
            relay: relay.to_owned(),
            properties,
            password_file: self.path("kafka.password_file")?,
            checkpoint_topic: self.text("kafka.checkpoint_topic")?,
            create_topics: self.boolean("kafka.create_topics")?,
            partitions: self.number("kafka.partitions")?,
            replication_factor: self.number("kafka.replication_factor")?,
            message_bytes_max: self.bytes("limits.message_bytes_max")?,
        })
    }

    /// Where the setting was written that the sink does not like.
    pub(super) fn blamed(&self, error: &KafkaSettingsError) -> Option<Origin> {
        let key = match error {
            KafkaSettingsError::Range { setting, .. } => (*setting).to_owned(),
            KafkaSettingsError::Refused { property, .. }
            | KafkaSettingsError::Value { property, .. }
            | KafkaSettingsError::Twice { property, .. }
            | KafkaSettingsError::Unknown { property, .. } => {
                format!("{}{property}", keys::PROPERTIES)
            }
            KafkaSettingsError::File { setting, .. } if *setting == "kafka.password_file" => {
                (*setting).to_owned()
            }
            KafkaSettingsError::File { setting, .. } => format!("{}{setting}", keys::PROPERTIES),
            KafkaSettingsError::BootstrapServersMissing | KafkaSettingsError::Together { .. } => {
                return None;
            }
        };
        self.layers.get(&key).map(|entry| entry.origin)
    }

    fn rabbitmq(&self, relay: &str) -> Result<RabbitSettings, ConfigError> {
        let urls = self.urls(URLS)?;
        Ok(RabbitSettings {
            relay: relay.to_owned(),
            urls,
            url_file: self.url_file(URLS)?,
            unconfirmed_max: self.number("rabbitmq.unconfirmed_max")?,
            create_queues: self.boolean("rabbitmq.create_queues")?,
            heartbeat: Duration::from_secs(self.number("rabbitmq.heartbeat_s")?),
            routes: self.routes()?,
            message_bytes_max: self.bytes("limits.message_bytes_max")?,
        })
    }

    fn rabbitmq_stream(&self, relay: &str) -> Result<StreamSettings, ConfigError> {
        Ok(StreamSettings {
            relay: relay.to_owned(),
            urls: self.urls(STREAM_URLS)?,
            url_file: self.url_file(STREAM_URLS)?,
            checkpoint_stream: self.text("rabbitmq_stream.checkpoint_stream")?,
            create_streams: self.boolean("rabbitmq_stream.create_streams")?,
            unconfirmed_max: self.number("rabbitmq_stream.unconfirmed_max")?,
            heartbeat: Duration::from_secs(self.number("rabbitmq_stream.heartbeat_s")?),
            message_bytes_max: self.bytes("limits.message_bytes_max")?,
            phantoms_accepted: false,
        })
    }

    fn blamed_for_streams(&self, error: &StreamSettingsError) -> Option<Origin> {
        let key = match error {
            StreamSettingsError::Range { setting, .. } => setting,
            StreamSettingsError::Url { .. } => self.strongest(&STREAM_URLS).ok().flatten()?,
            _ => return None,
        };
        self.layers.get(key).map(|entry| entry.origin)
    }

    /// The brokers, from whichever of the three keys was written in the strongest place.
    fn urls(&self, keys: [&'static str; 3]) -> Result<Vec<String>, ConfigError> {
        let [url, urls, url_file] = keys;
        match self.strongest(&keys)? {
            Some(key) if key == urls => self.list(urls),
            Some(key) if key == url_file => Ok(vec![self.file(url_file)?.unwrap_or_default()]),
            _ => Ok(vec![self.required(url)?]),
        }
    }

    /// The file that holds the address, where that is what counts.
    fn url_file(&self, keys: [&'static str; 3]) -> Result<Option<PathBuf>, ConfigError> {
        let [_, _, url_file] = keys;
        match self.strongest(&keys)? {
            Some(key) if key == url_file => self.path(url_file),
            _ => Ok(None),
        }
    }

    /// `[[rabbitmq.routes]]`, in the order of the file.
    fn routes(&self) -> Result<Vec<Route>, ConfigError> {
        let mut routes: BTreeMap<usize, Route> = BTreeMap::new();
        for (rest, _) in self.layers.below(keys::ROUTES) {
            let Some((number, _)) = keys::route_field(rest) else {
                continue;
            };
            let field = |name: &'static str| {
                let key = format!("{}{number}.{name}", keys::ROUTES);
                let missing = || ConfigError::RouteField { number, name };
                let written = self.layers.get(&key).ok_or_else(missing)?;
                match written.raw {
                    Raw::Text(text) => Ok(text),
                    _ => Err(self.bad(&key, "a text")),
                }
            };
            routes.insert(
                number,
                Route {
                    destination: field("destination")?,
                    exchange: field("exchange")?,
                    routing_key: field("routing_key")?,
                },
            );
        }
        Ok(routes.into_values().collect())
    }

    fn blamed_for_rabbitmq(&self, error: &RabbitSettingsError) -> Option<Origin> {
        let key = match error {
            RabbitSettingsError::Range { setting, .. } => (*setting).to_owned(),
            RabbitSettingsError::Route { number, .. } => {
                format!("{}{number}.routing_key", keys::ROUTES)
            }
            RabbitSettingsError::Url { .. } => self.strongest(&URLS).ok().flatten()?.to_owned(),
            RabbitSettingsError::UrlMissing | RabbitSettingsError::Thread(_) => return None,
        };
        self.layers.get(&key).map(|entry| entry.origin)
    }
}
