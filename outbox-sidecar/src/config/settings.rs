use std::net::SocketAddr;
use std::time::Duration;

use outbox_core::relay::{BackoffLimits, BatchLimits, GoneLimits, StuckPolicy};
use outbox_core::schema::SchemaName;

use super::error::ConfigError;
use super::layers::Layers;
use super::reader::Reader;
use super::sink::{SinkSettings, only_section};
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
    pub(crate) sink: SinkSettings,
    pub(crate) batch: BatchLimits,
    pub(crate) buffer_bytes_max: usize,
    pub(crate) stuck: StuckPolicy,
    pub(crate) gone: GoneLimits,
    pub(crate) retry: BackoffLimits,
    pub(crate) drain_max: Duration,
    pub(crate) listen: SocketAddr,
    pub(crate) ready: Ready,
    pub(crate) log_level: tracing::Level,
    pub(crate) log_json: bool,
}

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

impl Settings {
    /// The name of the relay's slot and publication.
    pub(crate) fn slot(&self) -> String {
        format!("outbox_{}", self.relay)
    }

    /// Validates what was written.
    pub(crate) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        let read = Reader { layers };
        let section = only_section(layers)?;
        let relay = read.required("relay.name")?;
        let destinations = read.list("relay.destinations")?;
        let shard: Shard = read.parsed("relay.shard")?;
        let row_filter = row_filter(&destinations, shard)
            .map_err(|error| read.bad("relay.destinations", &error.to_string()))?;
        let policies = [StuckPolicy::ParkKey, StuckPolicy::Park, StuckPolicy::Halt];
        let policy = read.text("stuck.policy")?;
        let stuck = policies.into_iter().find(|known| known.as_str() == policy);
        let stuck = stuck.ok_or_else(|| read.not_allowed("stuck.policy"))?;
        read.nothing_of_later()?;
        let settings = Self {
            address: read.address()?,
            schema: read.parsed::<SchemaName>("postgres.schema")?,
            failover_slot: read.boolean("postgres.failover_slot")?,
            sink: SinkSettings::read(&read, section, &relay)?,
            batch: BatchLimits {
                messages_max: read.number("batch.messages_max")?,
                bytes_max: read.bytes("batch.bytes_max")?,
                transaction_max: read.milliseconds("batch.transaction_ms_max")?,
            },
            buffer_bytes_max: read.bytes("limits.buffer_bytes_max")?,
            retry: BackoffLimits {
                delay_min: read.milliseconds("retry.delay_ms_min")?,
                delay_max: read.milliseconds("retry.delay_ms_max")?,
            },
            drain_max: Duration::from_secs(read.number("limits.drain_s_max")?),
            listen: read.parsed("http.listen")?,
            ready: match read.text("http.ready")?.as_str() {
                "member" => Ready::Member,
                "active" => Ready::Active,
                _ => return Err(read.not_allowed("http.ready")),
            },
            log_level: read.parsed("log.level")?,
            log_json: match read.text("log.format")?.as_str() {
                "json" => true,
                "text" => false,
                _ => return Err(read.not_allowed("log.format")),
            },
            stuck,
            gone: GoneLimits {
                after: read.number("stuck.gone_after")?,
                messages_max: read.number("stuck.gone_messages_max")?,
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
            return Err(read.not_allowed("relay.name"));
        }
        if self.retry.delay_max < self.retry.delay_min {
            return Err(read.bad("retry.delay_ms_max", "at least retry.delay_ms_min"));
        }
        Ok(())
    }
}
