use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use outbox_core::relay::{BackoffLimits, BatchLimits};
use outbox_core::schema::SchemaName;

use super::error::ConfigError;
use super::keys;
use super::layers::Layers;
use super::origin::{Entry, Origin, Raw};
use super::size::parse_bytes;
use crate::sink::kafka::{KafkaSettings, KafkaSettingsError, KafkaSink};
use crate::source::connection::Address;
use crate::source::publication::{Shard, row_filter};

/// A validated configuration.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) relay: String,
    pub(crate) destinations: Vec<String>,
    pub(crate) shard: Shard,
    pub(crate) row_filter: Option<String>,
    pub(crate) address: Address,
    pub(crate) schema: SchemaName,
    pub(crate) failover_slot: bool,
    pub(crate) kafka: KafkaSection,
    pub(crate) batch: BatchLimits,
    pub(crate) buffer_bytes_max: usize,
    pub(crate) retry: BackoffLimits,
    pub(crate) drain_max: Duration,
    pub(crate) listen: SocketAddr,
    pub(crate) ready: Ready,
    pub(crate) log_level: tracing::Level,
    pub(crate) log_json: bool,
}

/// The Kafka sink.
pub(crate) type KafkaSection = KafkaSettings;

/// When `/ready` says yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// As long as the relay takes part: active or standing by, also while a server is away.
    Member,
    /// Only while it is active.
    Active,
}

/// The longest name: with the prefix `outbox_` it must fit a slot's 63 bytes.
const NAME_BYTES_MAX: usize = 50;

/// The longest delay that can be asked for: a day.
const DELAY_MS_MAX: i64 = 24 * 3600 * 1000;

/// The longest drain that can be asked for: an hour, past any supervisor's patience.
const DRAIN_S_MAX: i64 = 3600;

/// The most messages a batch may be allowed.
const MESSAGES_MAX: i64 = 10_000_000;

/// The largest size that can be asked for.
const SIZE_BYTES_MAX: u64 = 64 << 30;

const URL: &str = "postgres.url";
const URL_FILE: &str = "postgres.url_file";

impl Settings {
    /// The name of the relay's slot and publication.
    pub(crate) fn slot(&self) -> String {
        format!("outbox_{}", self.relay)
    }

    /// Validates what was written.
    pub(crate) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        let read = Reader { layers };
        require_kafka_alone(layers)?;
        let relay = read.required("relay.name", "a name of lower-case letters, digits and _")?;
        let destinations = read.list("relay.destinations")?;
        let shard: Shard = read.parsed("relay.shard", "i/n with i below n, such as 0/1")?;
        let row_filter = row_filter(&destinations, shard)
            .map_err(|error| read.bad("relay.destinations", &error.to_string()))?;
        read.only("kafka.delivery", "exactly-once", &["at-least-once"])?;
        read.only("stuck.policy", "halt", &["park-key", "park"])?;
        read.only("recovery.phantoms", "stop", &["report"])?;
        if read.number::<i64>("limits.messages_per_second_max", 0..=i64::MAX)? != 0 {
            return Err(read.unavailable("limits.messages_per_second_max", "use 0, no limit"));
        }
        if !read.text("http.token_file")?.is_empty() {
            return Err(read.unavailable(
                "http.token_file",
                "leave it empty: nothing can be changed over HTTP",
            ));
        }
        let settings = Self {
            address: read.address()?,
            schema: read.parsed::<SchemaName>("postgres.schema", "the name of a schema")?,
            failover_slot: read.boolean("postgres.failover_slot")?,
            kafka: read.kafka(&relay)?,
            batch: BatchLimits {
                messages_max: read.number("batch.messages_max", 1..=MESSAGES_MAX)?,
                bytes_max: read.bytes("batch.bytes_max", 1024)?,
                transaction_max: read.milliseconds("batch.transaction_ms_max")?,
            },
            buffer_bytes_max: read.bytes("limits.buffer_bytes_max", 64 * 1024)?,
            retry: BackoffLimits {
                delay_min: read.milliseconds("retry.delay_ms_min")?,
                delay_max: read.milliseconds("retry.delay_ms_max")?,
            },
            drain_max: Duration::from_secs(read.number("limits.drain_s_max", 0..=DRAIN_S_MAX)?),
            listen: read.parsed("http.listen", "an address and port, such as 127.0.0.1:9464")?,
            ready: match read.text("http.ready")?.as_str() {
                "member" => Ready::Member,
                "active" => Ready::Active,
                _ => return Err(read.bad("http.ready", "member or active")),
            },
            log_level: read.parsed("log.level", "error, warn, info, debug or trace")?,
            log_json: match read.text("log.format")?.as_str() {
                "json" => true,
                "text" => false,
                _ => return Err(read.bad("log.format", "json or text")),
            },
            relay,
            destinations,
            shard,
            row_filter,
        };
        settings.require_sense(&read)?;
        Ok(settings)
    }

    fn require_sense(&self, read: &Reader<'_>) -> Result<(), ConfigError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if self.relay.is_empty()
            || self.relay.len() > NAME_BYTES_MAX
            || !self.relay.bytes().all(plain)
        {
            return Err(read.bad(
                "relay.name",
                "1 to 50 lower-case letters, digits and _ (slots allow no others)",
            ));
        }
        if self.retry.delay_max < self.retry.delay_min {
            return Err(read.bad("retry.delay_ms_max", "at least retry.delay_ms_min"));
        }
        // The sink checks its properties where it is made; here, so that nothing is started.
        KafkaSink::new(self.kafka.clone())
            .map(|_| ())
            .map_err(|source| ConfigError::Kafka {
                origin: read.blamed(&source),
                source,
            })
    }
}

fn require_kafka_alone(layers: &Layers) -> Result<(), ConfigError> {
    let kafka = layers.section("kafka");
    let other = keys::OTHER_SINKS.iter().find_map(|name| {
        layers
            .section(name)
            .map(|entry| (*name, entry.origin.clone()))
    });
    match (kafka, other) {
        (Some(_), None) => Ok(()),
        (Some(kafka), Some((name, origin))) => Err(ConfigError::Sinks {
            found: format!("found kafka ({}) and {name} ({origin})", kafka.origin),
        }),
        (None, Some((name, origin))) => Err(ConfigError::Unavailable {
            origin,
            what: format!("the sink {name}"),
            instead: "use the section [kafka]",
        }),
        (None, None) => Err(ConfigError::Sinks {
            found: format!("found none {}", layers.looked_in()),
        }),
    }
}

/// Reads entries as what they must be.
struct Reader<'a> {
    layers: &'a Layers,
}

impl Reader<'_> {
    fn entry(&self, key: &str) -> Entry {
        self.layers.get(key).unwrap_or(Entry {
            raw: Raw::Text(String::new()),
            origin: Origin::Default,
        })
    }

    fn bad(&self, key: &str, expected: &str) -> ConfigError {
        let entry = self.entry(key);
        let value = if keys::is_secret(key) {
            "not valid".to_owned()
        } else {
            entry.raw.to_string()
        };
        ConfigError::Value {
            origin: entry.origin,
            key: key.to_owned(),
            value,
            expected: expected.to_owned(),
        }
    }

    fn unavailable(&self, key: &str, instead: &'static str) -> ConfigError {
        let entry = self.entry(key);
        ConfigError::Unavailable {
            origin: entry.origin,
            what: format!("{key} = {}", entry.raw),
            instead,
        }
    }

    /// Where the setting was written that the sink does not like.
    fn blamed(&self, error: &KafkaSettingsError) -> Option<Origin> {
        let key = match error {
            KafkaSettingsError::Range { setting, .. } => (*setting).to_owned(),
            KafkaSettingsError::Refused { property, .. }
            | KafkaSettingsError::Value { property, .. }
            | KafkaSettingsError::Twice { property, .. }
            | KafkaSettingsError::Unknown { property, .. } => {
                format!("{}{property}", keys::PROPERTIES)
            }
            KafkaSettingsError::BootstrapServersMissing | KafkaSettingsError::Together { .. } => {
                return None;
            }
        };
        self.layers.get(&key).map(|entry| entry.origin)
    }

    /// A choice of which this release has one.
    fn only(&self, key: &str, available: &'static str, others: &[&str]) -> Result<(), ConfigError> {
        let text = self.text(key)?;
        if text == available {
            Ok(())
        } else if others.contains(&text.as_str()) {
            Err(self.unavailable(
                key,
                match available {
                    "halt" => "use halt",
                    "stop" => "use stop",
                    _ => "use exactly-once",
                },
            ))
        } else {
            Err(self.bad(key, available))
        }
    }

    fn text(&self, key: &str) -> Result<String, ConfigError> {
        match self.entry(key).raw {
            Raw::Text(text) => Ok(text),
            _ => Err(self.bad(key, "a text")),
        }
    }

    fn required(&self, key: &'static str, expected: &'static str) -> Result<String, ConfigError> {
        if self.layers.get(key).is_none() {
            return Err(ConfigError::Missing {
                key,
                expected,
                looked_in: self.layers.looked_in(),
            });
        }
        self.text(key)
    }

    fn list(&self, key: &str) -> Result<Vec<String>, ConfigError> {
        match self.entry(key).raw {
            Raw::List(texts) => Ok(texts),
            _ => Err(self.bad(key, "a list of texts")),
        }
    }

    fn boolean(&self, key: &str) -> Result<bool, ConfigError> {
        match self.entry(key).raw {
            Raw::Boolean(truth) => Ok(truth),
            _ => Err(self.bad(key, "true or false")),
        }
    }

    fn number<T: TryFrom<i64>>(
        &self,
        key: &str,
        range: RangeInclusive<i64>,
    ) -> Result<T, ConfigError> {
        let number = match self.entry(key).raw {
            Raw::Integer(number) if range.contains(&number) => T::try_from(number).ok(),
            _ => None,
        };
        number.ok_or_else(|| {
            let (min, max) = range.into_inner();
            self.bad(key, &format!("a whole number from {min} to {max}"))
        })
    }

    fn milliseconds(&self, key: &str) -> Result<Duration, ConfigError> {
        self.number(key, 1..=DELAY_MS_MAX)
            .map(Duration::from_millis)
    }

    fn bytes(&self, key: &str, min: u64) -> Result<usize, ConfigError> {
        let bytes = match self.entry(key).raw {
            Raw::Integer(number) => u64::try_from(number).ok(),
            Raw::Text(text) => parse_bytes(&text),
            _ => None,
        };
        bytes
            .filter(|bytes| (min..=SIZE_BYTES_MAX).contains(bytes))
            .and_then(|bytes| usize::try_from(bytes).ok())
            .ok_or_else(|| {
                let range = format!("{min} bytes to {} GiB", SIZE_BYTES_MAX >> 30);
                self.bad(key, &format!("a size from {range}, such as \"8MiB\""))
            })
    }

    fn parsed<T: FromStr>(&self, key: &str, expected: &str) -> Result<T, ConfigError> {
        self.text(key)?.parse().map_err(|_| self.bad(key, expected))
    }

    /// The first line of the file that a key names; none where the key is not set or empty.
    fn file(&self, key: &str) -> Result<Option<String>, ConfigError> {
        let path = PathBuf::from(self.text(key)?);
        if path.as_os_str().is_empty() {
            return Ok(None);
        }
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned())),
            Err(source) => Err(ConfigError::ValueFile {
                origin: self.entry(key).origin,
                key: key.to_owned(),
                path,
                source,
            }),
        }
    }

    fn address(&self) -> Result<Address, ConfigError> {
        let expected = "a PostgreSQL URL such as postgres://relay@db/app";
        let (key, url) = if self.url_is_in_a_file()? {
            (URL_FILE, self.file(URL_FILE)?.unwrap_or_default())
        } else {
            (URL, self.required(URL, expected)?)
        };
        let mut address = Address::parse(&url)
            .map_err(|error| self.bad(key, &format!("{expected} ({error})")))?;
        if let Some(password) = self.file("postgres.password_file")? {
            address.set_password(&password);
        }
        Ok(address)
    }

    /// Of `url` and `url_file` the one wins that was written in the stronger place.
    fn url_is_in_a_file(&self) -> Result<bool, ConfigError> {
        let (url, file) = (self.entry(URL), self.entry(URL_FILE));
        if url.origin.rank() == file.origin.rank() && url.origin != Origin::Default {
            return Err(ConfigError::Twice {
                origin: file.origin,
                key: URL_FILE,
                other: URL,
                other_origin: url.origin,
            });
        }
        Ok(file.origin.rank() > url.origin.rank())
    }

    fn kafka(&self, relay: &str) -> Result<KafkaSection, ConfigError> {
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
            checkpoint_topic: self.text("kafka.checkpoint_topic")?,
            create_topics: self.boolean("kafka.create_topics")?,
            partitions: self.number("kafka.partitions", 1..=i64::from(i32::MAX))?,
            replication_factor: self.number("kafka.replication_factor", 1..=i64::from(i16::MAX))?,
            message_bytes_max: self.bytes("limits.message_bytes_max", 1000)?,
        })
    }
}
