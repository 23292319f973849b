//! What librdkafka is told: our defaults and the user's properties, for each client.

mod password_file;
mod written;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::{ClientConfig, error::KafkaError};

use self::password_file::PasswordFile;
use self::written::{canonical, number, refuse_random_partitioner, require};
use super::settings::{KafkaSettings, KafkaSettingsError};

const MAX_IN_FLIGHT: &str = "max.in.flight.requests.per.connection";
const MESSAGE_TIMEOUT: &str = "message.timeout.ms";
const TRANSACTION_TIMEOUT: &str = "transaction.timeout.ms";
const SOCKET_TIMEOUT: &str = "socket.timeout.ms";
/// What names files of which librdkafka says no more than that something is wrong.
const FILES: [&str; 4] = [
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.keystore.location",
];
const PASSWORD: &str = "sasl.password";
pub(super) const RETRY_BACKOFF: &str = "retry.backoff.ms";

/// Properties that only a producer knows: a reader of checkpoints would warn about them.
const PRODUCER_ONLY: &[&str] = &[
    "acks",
    "batch.num.messages",
    "batch.size",
    "compression.level",
    "compression.type",
    "enable.idempotence",
    "linger.ms",
    "partitioner",
    "queue.buffering.backpressure.threshold",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "request.timeout.ms",
    "retries",
    "sticky.partitioning.linger.ms",
    MESSAGE_TIMEOUT,
    TRANSACTION_TIMEOUT,
];

/// How long the broker lets a transaction stay open; also for how long a dead relay's open
/// transaction can hold up read_committed readers when nobody takes over.
const TRANSACTION_TIMEOUT_MS: u64 = 30_000;
/// How long a message waits for its acknowledgement: below the transaction's own time-out.
const MESSAGE_TIMEOUT_MS: u64 = 20_000;
/// How long one request may stay unanswered.
const SOCKET_TIMEOUT_MS: u64 = 10_000;
/// The pause before librdkafka repeats a request; a commit slower than half of it is suspect.
const RETRY_BACKOFF_MS: u64 = 100;
/// How far the pause grows where the broker is always slow, see [`Properties::slower`].
const RETRY_BACKOFF_MS_MAX: u64 = 3200;
/// How many messages librdkafka holds; a larger batch passes through in parts.
const QUEUE_MESSAGES_MAX: usize = 20_000;
/// How many bytes librdkafka holds, unless a single message needs more.
const QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The largest answer that a producer takes: of what a broker announces, librdkafka allocates all at once,
/// up to 100 MB by itself. The largest is of all topics, which `check` asks for.
const RECEIVE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Room that the protocol takes beside key, value and headers.
const RECORD_OVERHEAD_BYTES: usize = 1024;

/// Validated properties, from which each client's configuration is made.
#[derive(Clone)]
pub(super) struct Properties {
    user: BTreeMap<String, String>,
    password: Option<PasswordFile>,
    message_bytes_max: usize,
    transaction_timeout: Duration,
    message_timeout: Duration,
    retry_backoff_ms: u64,
    one_request_at_a_time: bool,
}

impl Properties {
    pub(super) fn new(settings: &KafkaSettings) -> Result<Self, KafkaSettingsError> {
        settings.check_ranges()?;
        let user = canonical(&settings.properties)?;
        let number = |name, default, from, to| number(&user, name, default, from..=to);
        require(
            &user,
            "enable.idempotence",
            &["true"],
            "without it a repeated request is a duplicate",
        )?;
        require(
            &user,
            "acks",
            &["all", "-1"],
            "a message counts once every in-sync replica has it",
        )?;
        refuse_random_partitioner(&user)?;
        number(MAX_IN_FLIGHT, 5, 1, 5)?;
        number("retries", 1, 1, i32::MAX as u64)?;
        let transaction_ms = number(TRANSACTION_TIMEOUT, TRANSACTION_TIMEOUT_MS, 2000, 900_000)?;
        let message_ms = number(
            MESSAGE_TIMEOUT,
            MESSAGE_TIMEOUT_MS.min(transaction_ms / 3 * 2),
            1000,
            transaction_ms - 1,
        )?;
        number(
            SOCKET_TIMEOUT,
            SOCKET_TIMEOUT_MS.min(transaction_ms / 3),
            500,
            60_000.min(transaction_ms - 100),
        )?;
        let retry_backoff_ms = number(RETRY_BACKOFF, RETRY_BACKOFF_MS, 50, RETRY_BACKOFF_MS_MAX)?;
        let properties = Self {
            user,
            password: settings.password_file.clone().map(PasswordFile::at),
            message_bytes_max: settings.message_bytes_max,
            transaction_timeout: Duration::from_millis(transaction_ms),
            message_timeout: Duration::from_millis(message_ms),
            retry_backoff_ms,
            one_request_at_a_time: false,
        };
        properties
            .transactional_producer(settings)?
            .create_native_config()
            .map_err(refused_by_library)?;
        Ok(properties)
    }

    /// The producer of batches.
    pub(super) fn transactional_producer(
        &self,
        settings: &KafkaSettings,
    ) -> Result<ClientConfig, KafkaSettingsError> {
        let mut config = self.plain_producer()?;
        let transaction_ms = self.transaction_timeout.as_millis();
        config
            .set("transactional.id", settings.transactional_id())
            .set(TRANSACTION_TIMEOUT, transaction_ms.to_string())
            .set("statistics.interval.ms", "5000");
        if self.one_request_at_a_time {
            config.set(MAX_IN_FLIGHT, "1");
        }
        Ok(config)
    }

    /// Whether the next producer of batches keeps a single request on its way to each broker: a
    /// refused one then takes no other along.
    pub(super) const fn one_request_at_a_time(&mut self, single: bool) {
        self.one_request_at_a_time = single;
    }

    /// The producer of batches without transactions. A message waits for as long as it takes, and
    /// the first one that the broker refuses stops the producer: nothing behind it gets past.
    pub(super) fn lasting_producer(&self) -> Result<ClientConfig, KafkaSettingsError> {
        let mut config = self.plain_producer()?;
        config
            .set(MESSAGE_TIMEOUT, "0")
            .set("enable.gapless.guarantee", "true")
            .set("statistics.interval.ms", "0");
        Ok(config)
    }

    /// A producer that fences nobody: for single records of `init` and `remove`.
    pub(super) fn plain_producer(&self) -> Result<ClientConfig, KafkaSettingsError> {
        let transaction_ms = self.transaction_timeout.as_millis();
        let queue_bytes = QUEUE_BYTES_MAX.max(2 * self.message_bytes_max);
        let mut config = base();
        config
            // Reserved topics aside, a metadata request must never create what it asks for.
            .set("allow.auto.create.topics", "false")
            .set("partitioner", "murmur2_random")
            .set("receive.message.max.bytes", RECEIVE_BYTES_MAX.to_string())
            // A transaction waits twice, for its messages and for its checkpoint: each lingering
            // would count twice, and the first request gathers messages while partitions are added.
            .set("linger.ms", "0")
            .set(
                MESSAGE_TIMEOUT,
                self.message_timeout.as_millis().to_string(),
            )
            .set(
                SOCKET_TIMEOUT,
                SOCKET_TIMEOUT_MS.min(transaction_ms as u64 / 3).to_string(),
            )
            .set(
                "queue.buffering.max.messages",
                QUEUE_MESSAGES_MAX.to_string(),
            )
            .set(
                "queue.buffering.max.kbytes",
                (queue_bytes / 1024).to_string(),
            );
        self.add_users_own(&mut config)?;
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.max.bytes", self.record_bytes_max().to_string())
            .set(RETRY_BACKOFF, self.retry_backoff_ms.to_string())
            .set(
                "retry.backoff.max.ms",
                self.retry_backoff_ms.max(1000).to_string(),
            );
        config.remove(TRANSACTION_TIMEOUT);
        Ok(config)
    }

    /// A reader of checkpoints.
    pub(super) fn consumer(
        &self,
        settings: &KafkaSettings,
    ) -> Result<ClientConfig, KafkaSettingsError> {
        let mut config = base();
        config
            .set(SOCKET_TIMEOUT, SOCKET_TIMEOUT_MS.to_string())
            // The reader holds about one fetch; librdkafka's default would prefetch 64 MiB.
            .set("queued.max.messages.kbytes", "1024")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.error.backoff.ms", "50");
        self.add_users_own(&mut config)?;
        for property in PRODUCER_ONLY {
            config.remove(property);
        }
        config
            // librdkafka assigns partitions only to members of a group; it is never joined.
            .set("group.id", settings.transactional_id())
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("check.crcs", "true");
        Ok(config)
    }

    /// What the user has written, with the password as it is now: what is rotated needs no restart.
    fn add_users_own(&self, config: &mut ClientConfig) -> Result<(), KafkaSettingsError> {
        config.extend(self.user.clone());
        for setting in FILES {
            let named = self.user.get(setting).filter(|file| *file != "probe");
            if let Some(file) = named.map(PathBuf::from)
                && let Err(error) = std::fs::File::open(&file)
            {
                let why = error.to_string();
                return Err(KafkaSettingsError::File { setting, file, why });
            }
        }
        if let Some(password) = &self.password {
            config.set(PASSWORD, password.read()?);
        }
        Ok(())
    }

    /// How long a transaction may be open before the broker aborts it.
    pub(super) const fn transaction_timeout(&self) -> Duration {
        self.transaction_timeout
    }

    /// How long a message may wait for its acknowledgement; less than a transaction may be open.
    pub(super) const fn message_timeout(&self) -> Duration {
        self.message_timeout
    }

    /// A commit or abort that takes longer may have needed a repeated request.
    pub(super) const fn suspicious_after(&self) -> Duration {
        Duration::from_millis(self.retry_backoff_ms / 2)
    }

    /// Doubles the pause before a repeat, and with it what counts as slow: where every commit
    /// takes long, suspecting each would go on for ever. False once the limit is reached.
    pub(super) fn slower(&mut self) -> bool {
        let doubled = (self.retry_backoff_ms * 2).min(RETRY_BACKOFF_MS_MAX);
        let grew = doubled > self.retry_backoff_ms;
        self.retry_backoff_ms = doubled;
        grew
    }

    fn record_bytes_max(&self) -> usize {
        self.message_bytes_max + RECORD_OVERHEAD_BYTES
    }
}

fn base() -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("client.id", "outbox-sidecar")
        // Half of it also passes before the first connection.
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "1000")
        .set("log.connection.close", "true")
        // Lost connections are told at this level, and the producer must hear of them.
        .set_log_level(RDKafkaLogLevel::Info);
    config
}

fn refused_by_library(error: KafkaError) -> KafkaSettingsError {
    match error {
        // The value stays out of the message: it may be a password.
        KafkaError::ClientConfig(_, cause, property, _) => {
            KafkaSettingsError::Unknown { property, cause }
        }
        other => KafkaSettingsError::Together {
            cause: other.to_string(),
        },
    }
}

#[cfg(test)]
mod tests;
