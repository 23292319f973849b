use std::path::PathBuf;
use std::time::Duration;

use super::address::Address;
use crate::sink::broker_tls::read_address;
use crate::sink::loopback::is_loopback;

/// What a relay needs to know of RabbitMQ streams.
#[derive(Clone)]
pub struct StreamSettings {
    /// The relay's name, at most 63 bytes.
    pub relay: String,
    /// The brokers, tried in this order: `rabbitmq-stream://user:password@host:5552/vhost`, or
    /// `rabbitmq-stream+tls`.
    pub urls: Vec<String>,
    /// A file that holds the one address in their place, read anew for each connection.
    pub url_file: Option<PathBuf>,
    /// The stream that gets copies of the checkpoints of any number of relays.
    pub checkpoint_stream: String,
    /// Whether a stream that a message needs is made.
    pub create_streams: bool,
    /// How many messages may be on their way at once, 1 to 1,000,000.
    pub unconfirmed_max: usize,
    /// How often both sides show that they live, at least a second.
    pub heartbeat: Duration,
    /// The largest message, in bytes.
    pub message_bytes_max: usize,
    /// Whether to publish into a stream although it holds messages of an earlier timeline that the
    /// surviving one does not have. They stay in the stream.
    pub phantoms_accepted: bool,
}

/// Settings that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamSettingsError {
    /// No broker is named.
    #[error("rabbitmq_stream.url is missing: rabbitmq-stream://user:password@host:5552/vhost")]
    UrlMissing,
    /// An address that cannot be read. It may hold a password and is not shown.
    #[error("the address of broker {} is not valid: {what}", number + 1)]
    Url {
        /// Its place, from 0.
        number: usize,
        /// What is wrong.
        what: String,
    },
    /// A value out of its range.
    #[error("{setting}: expected {expected}")]
    Range {
        /// The key of the configuration.
        setting: &'static str,
        /// What would be valid.
        expected: &'static str,
    },
    /// The thread that answers heartbeats cannot be started.
    #[error("a thread for RabbitMQ cannot be started: {0}")]
    Thread(String),
}

/// A bound for what confirms may take in memory, not for speed.
const UNCONFIRMED_MAX: usize = 1_000_000;
/// With it, the reference of a publisher stays within the 255 bytes that the broker stores.
const RELAY_BYTES_MAX: usize = 63;

impl StreamSettings {
    /// Whether a publisher can be made of these settings.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub fn check(&self) -> Result<(), StreamSettingsError> {
        self.check_ranges()?;
        self.addresses().map(drop)
    }

    pub(super) fn addresses(&self) -> Result<Vec<Address>, StreamSettingsError> {
        let read = |(number, url): (usize, &String)| {
            Address::parse(url).map_err(|what| StreamSettingsError::Url { number, what })
        };
        if let Some(file) = &self.url_file {
            let number = 0;
            let url =
                read_address(file).map_err(|what| StreamSettingsError::Url { number, what })?;
            return Ok(vec![read((number, &url))?]);
        }
        if self.urls.is_empty() {
            return Err(StreamSettingsError::UrlMissing);
        }
        self.urls.iter().enumerate().map(read).collect()
    }

    /// The brokers on other machines to which the password goes in clear.
    #[must_use]
    pub fn places_in_clear(&self) -> Vec<String> {
        let addresses = self.addresses().unwrap_or_default();
        let clear = addresses
            .iter()
            .filter(|address| address.tls.is_none() && !is_loopback(&address.host));
        clear.map(Address::place).collect()
    }

    pub(super) fn check_ranges(&self) -> Result<(), StreamSettingsError> {
        let range = |setting, expected| StreamSettingsError::Range { setting, expected };
        if !(1..=UNCONFIRMED_MAX).contains(&self.unconfirmed_max) {
            let setting = "rabbitmq_stream.unconfirmed_max";
            return Err(range(setting, "1 to 1000000"));
        }
        let heartbeat = self.heartbeat.as_secs();
        if !(1..=u64::from(u16::MAX)).contains(&heartbeat) {
            return Err(range("rabbitmq_stream.heartbeat_s", "1 to 65535"));
        }
        if self.relay.is_empty() || self.relay.len() > RELAY_BYTES_MAX {
            return Err(range("relay.name", "1 to 63 bytes"));
        }
        Ok(())
    }
}
