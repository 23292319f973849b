use std::path::PathBuf;
use std::time::Duration;

use lapin::uri::AMQPUri;
use url::Url;

use super::routing::{Route, Routing, matches};
use super::transport::{FRAME_BYTES_MAX, FRAME_BYTES_MIN};
use crate::sink::broker_tls::{BrokerTls, read_address};
use crate::sink::loopback::is_loopback;

/// What a relay needs to know of RabbitMQ. Not shown by `Debug`: addresses hold passwords.
#[derive(Clone)]
pub struct RabbitSettings {
    /// The relay's name.
    pub relay: String,
    /// The brokers, tried in this order: `amqp://user:password@host:5672/vhost`, or `amqps`.
    pub urls: Vec<String>,
    /// A file that holds the one address in their place, read anew for each connection.
    pub url_file: Option<PathBuf>,
    /// How many messages may be on their way at once, at least 1.
    pub unconfirmed_max: usize,
    /// Whether a queue that a message of the default exchange needs is made: durable, quorum.
    pub create_queues: bool,
    /// How often both sides show that they live, at least a second.
    pub heartbeat: Duration,
    /// Which destination goes where.
    pub routes: Vec<Route>,
    /// The largest message, in bytes.
    pub message_bytes_max: usize,
}

/// One broker. It holds a password and has no `Debug` on purpose.
#[derive(Clone)]
pub(super) struct Broker {
    pub(super) uri: AMQPUri,
    /// Where the address asks for TLS.
    pub(super) tls: Option<BrokerTls>,
}

/// What an address may say beside what is ours; our heartbeat wins.
const PARAMETERS: [&str; 4] = [
    "heartbeat",
    "frame_max",
    "channel_max",
    "connection_timeout",
];

impl Broker {
    pub(super) fn read(text: &str, heartbeat: Duration) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        // What lapin says of such an address repeats it, password and all.
        if url.cannot_be_a_base() {
            return Err("expected amqp:// or amqps:// before user and host".to_owned());
        }
        let is_encrypted = url.scheme() == "amqps";
        // First: what lapin says of a parameter repeats its value.
        let tls = BrokerTls::read(&url, is_encrypted, &PARAMETERS)?;
        let mut uri: AMQPUri = text.parse()?;
        // lapin takes an IPv6 address for no host, and goes to localhost.
        if let Some(host) = url.host_str().filter(|host| host.starts_with('[')) {
            uri.authority.host = host.trim_matches(['[', ']']).to_owned();
        }
        // lapin takes what the broker names where we name nothing, and nothing is a limit of 4 GiB.
        let frame_max = uri.query.frame_max.unwrap_or(FRAME_BYTES_MAX);
        if !(FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&frame_max) {
            return Err(format!(
                "frame_max: expected {FRAME_BYTES_MIN} to {FRAME_BYTES_MAX}"
            ));
        }
        uri.query.frame_max = Some(frame_max);
        uri.query.heartbeat = Some(u16::try_from(heartbeat.as_secs()).unwrap_or(u16::MAX));
        if tls.is_external && !is_encrypted {
            return Err("auth_mechanism=external needs amqps".to_owned());
        }
        Ok(Self {
            uri,
            tls: is_encrypted.then_some(tls),
        })
    }

    /// `host:port`, for messages.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.uri.authority.host, self.uri.authority.port)
    }
}

/// Settings that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RabbitSettingsError {
    /// No broker is named.
    #[error("rabbitmq.url is missing: amqp://user:password@host:5672/vhost")]
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
    /// A route that means nothing.
    #[error("rabbitmq.routes, number {}: {what}", number + 1)]
    Route {
        /// Its place, from 0.
        number: usize,
        /// What is wrong.
        what: String,
    },
}

impl RabbitSettings {
    /// The name of the relay's guard queue and of its connection.
    #[must_use]
    pub fn guard(&self) -> String {
        format!("outbox-{}", self.relay)
    }

    /// The most that can be on its way to the broker at once.
    pub(super) fn in_flight_bytes_max(&self) -> u64 {
        (self.unconfirmed_max as u64).saturating_mul(self.message_bytes_max as u64)
    }

    /// Whether a publisher can be made of these settings.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub fn check(&self) -> Result<(), RabbitSettingsError> {
        self.check_ranges()?;
        self.routing()?;
        self.brokers().map(drop)
    }

    /// Whether a route decides where messages for this destination go.
    #[must_use]
    pub fn is_routed(&self, destination: &str) -> bool {
        self.routes
            .iter()
            .any(|route| matches(&route.destination, destination))
    }

    /// The brokers, as they are written now.
    pub(super) fn brokers(&self) -> Result<Vec<Broker>, RabbitSettingsError> {
        let read = |(number, url): (usize, &String)| {
            Broker::read(url, self.heartbeat)
                .map_err(|what| RabbitSettingsError::Url { number, what })
        };
        if let Some(file) = &self.url_file {
            let number = 0;
            let url =
                read_address(file).map_err(|what| RabbitSettingsError::Url { number, what })?;
            return Ok(vec![read((number, &url))?]);
        }
        if self.urls.is_empty() {
            return Err(RabbitSettingsError::UrlMissing);
        }
        self.urls.iter().enumerate().map(read).collect()
    }

    /// The brokers on other machines to which the password goes in clear.
    #[must_use]
    pub fn places_in_clear(&self) -> Vec<String> {
        let brokers = self.brokers().unwrap_or_default();
        let clear = brokers
            .iter()
            .filter(|broker| broker.tls.is_none() && !is_loopback(&broker.uri.authority.host));
        clear.map(Broker::place).collect()
    }

    pub(super) fn routing(&self) -> Result<Routing, RabbitSettingsError> {
        Routing::new(&self.routes)
    }

    pub(super) fn check_ranges(&self) -> Result<(), RabbitSettingsError> {
        let range = |setting, expected| RabbitSettingsError::Range { setting, expected };
        if self.unconfirmed_max == 0 {
            return Err(range("rabbitmq.unconfirmed_max", "at least 1"));
        }
        let heartbeat = self.heartbeat.as_secs();
        if !(1..=u64::from(u16::MAX)).contains(&heartbeat) {
            return Err(range("rabbitmq.heartbeat_s", "1 to 65535"));
        }
        Ok(())
    }
}
