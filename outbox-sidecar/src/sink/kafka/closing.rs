use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;

use super::connection_failures::{ConnectionFailures, LOG_MAX};
use super::errors::Trouble;

/// How many clients may be closing at one time: each may still hold its buffers.
const CLOSING_MAX: usize = 4;
/// How long a new client waits for one of them to be gone.
const CLOSING_WAIT_MAX: Duration = Duration::from_secs(5);
/// The pause between looks at them.
const CLOSING_PAUSE: Duration = Duration::from_millis(5);

/// Clients on their way out. librdkafka and rust-rdkafka take from 100 ms to some seconds to let
/// go of one (more with a frozen broker), and nobody should wait for that.
#[derive(Debug, Default)]
pub(super) struct Closing(Vec<JoinHandle<()>>);

impl Closing {
    /// Closes `client` on a thread of its own.
    pub(super) fn close<T: Send + 'static>(&mut self, client: T) {
        let thread = std::thread::Builder::new().name("kafka-closing".to_owned());
        // Without a thread the closure is dropped here and now, and the client with it.
        if let Ok(handle) = thread.spawn(move || drop(client)) {
            self.0.push(handle);
        }
    }

    /// Waits until there is room for one more client; false when the limit is reached.
    pub(super) fn make_room(&mut self) -> bool {
        let deadline = Instant::now() + CLOSING_WAIT_MAX;
        loop {
            self.0.retain(|handle| !handle.is_finished());
            if self.0.len() < CLOSING_MAX {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(CLOSING_PAUSE);
        }
    }
}

/// Callbacks of clients whose connections nobody's transaction depends on.
#[derive(Debug)]
pub(super) struct QuietContext {
    failures: ConnectionFailures,
}

impl QuietContext {
    /// For a client with this configuration.
    pub(super) fn of(config: &ClientConfig) -> Self {
        Self {
            failures: ConnectionFailures::of(config),
        }
    }
}

impl ClientContext for QuietContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.failures.log_line(facility, message);
        super::producer::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
    }
}

impl ConsumerContext for QuietContext {}

/// Adds what librdkafka said of a consumer's connections. It waits in a queue until somebody polls.
pub(super) fn explain(consumer: &BaseConsumer<QuietContext>, trouble: Trouble) -> Trouble {
    let deadline = Instant::now() + LOG_MAX;
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        // Whatever record comes, it comes too late.
        let _ = consumer.poll(left);
    }
    consumer.context().failures.explain(trouble)
}
