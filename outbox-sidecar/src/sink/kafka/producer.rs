use std::time::{Duration, Instant};

use outbox_core::sink::Outcome;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, message::OwnedHeaders};

use super::connection_failures::{ConnectionFailures, LOG_MAX};
use super::deliveries::{Deliveries, Settled};
use super::errors::Trouble;
use super::failed_transaction::FailedTransaction;
use super::suspicion::{Mark, Suspicion, Traces};
use super::unauthorised::UnauthorisedTopics;

/// How long a new producer may take to reach the leader of the checkpoint topic.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long `init_transactions` may take: it waits for an earlier producer's open transaction.
const INIT_MAX: Duration = Duration::from_secs(15);
/// How long a commit or an abort is waited for before its outcome is called indefinite.
const END_MAX: Duration = Duration::from_secs(10);
/// How long an abort is waited for before it is asked for again, the first time. A request that was
/// on its way when the transaction failed may be put back into the queue after librdkafka has emptied
/// that: only another call empties it again, and a single one would wait for it until its end.
const ABORT_SLICE_MIN: Duration = Duration::from_millis(100);
/// The pause between looks at librdkafka's event queue when only its tail is missing.
const EVENTS_PAUSE: Duration = Duration::from_micros(20);
/// How often a long wait looks whether the producer is fenced.
const FATAL_LOOK_EVERY: Duration = Duration::from_millis(200);

/// One librdkafka producer, with the acknowledgements of its records and the traces it leaves.
///
/// rust-rdkafka's own thread serves the events; the calling thread sends, waits and commits.
pub(super) struct Producer {
    inner: ThreadedProducer<Context>,
    sent: u64,
}

/// Where librdkafka's callbacks arrive.
pub(super) struct Context {
    failures: ConnectionFailures,
    deliveries: Deliveries,
    traces: Traces,
    unauthorised: UnauthorisedTopics,
    failed: FailedTransaction,
}

impl Context {
    fn of(config: &ClientConfig) -> Self {
        Self {
            failures: ConnectionFailures::of(config),
            deliveries: Deliveries::default(),
            traces: Traces::default(),
            unauthorised: UnauthorisedTopics::default(),
            failed: FailedTransaction::default(),
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.failures.log_line(facility, message);
        self.traces.log_line(facility, message);
        self.unauthorised.log_line(facility, message);
        self.failed.log_line(facility, message);
        log(level, facility, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.traces.statistics(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, tag: usize) {
        let result = match result {
            Ok(message) => Ok(message.offset()),
            Err((error, _)) => Err(error
                .rdkafka_error_code()
                .unwrap_or(RDKafkaErrorCode::Unknown)),
        };
        self.deliveries.settle(tag, result);
    }
}

/// librdkafka repeats itself while a broker is away; who handles the outcome logs it once.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::warn!(facility, "librdkafka: {message}");
        }
        _ => tracing::debug!(facility, "librdkafka: {message}"),
    }
}

/// Why a record was not taken.
pub(super) enum SendError {
    /// Too many records wait: some must be acknowledged first.
    QueueFull,
    /// The record alone is larger than the configuration allows.
    TooLarge(String),
    /// The destination is not known any more.
    DestinationGone(String),
    /// The transaction failed meanwhile: nothing more is taken until it is rolled back.
    TransactionFailed(String),
    /// Anything else.
    Trouble(Trouble),
}

/// A record, its parts borrowed from the batch.
pub(super) struct Record<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: Option<i32>,
    pub(super) key: Option<&'a [u8]>,
    pub(super) payload: Option<&'a [u8]>,
    pub(super) headers: Option<OwnedHeaders>,
    pub(super) timestamp_ms: Option<i64>,
    pub(super) tag: usize,
}

impl Producer {
    pub(super) fn start(config: &ClientConfig) -> Result<Self, KafkaError> {
        Ok(Self {
            inner: config.create_with_context(Context::of(config))?,
            sent: 0,
        })
    }

    /// Waits for a connection to the partition's leader. Without one, `init_transactions` begins
    /// in vain and looks again only after a fixed 500 ms.
    pub(super) fn connect(&self, topic: &str, partition: i32) -> Result<(), Trouble> {
        self.inner
            .client()
            .fetch_watermarks(topic, partition, CONNECT_MAX)
            .map(|_| ())
            .map_err(|error| self.explain(self.trouble("connecting", &error)))
    }

    /// Fences every earlier producer of the transactional id.
    pub(super) fn init_transactions(&self) -> Result<(), Trouble> {
        self.inner
            .init_transactions(INIT_MAX)
            .map_err(|error| self.explain(self.trouble("init_transactions", &error)))
    }

    /// Adds what librdkafka said of its connections: a time-out alone explains nothing, and a
    /// wrong password shows in no other way. The producer's own thread reads it.
    pub(super) fn explain(&self, trouble: Trouble) -> Trouble {
        self.context().failures.explain_within(LOG_MAX, trouble)
    }

    /// What it means that the brokers do not answer: they are away, or do not take us.
    pub(super) fn without_answer(&self, reason: String) -> Outcome {
        match self.explain(Trouble::Unclear(reason)) {
            Trouble::Unclear(reason) => Outcome::Retry { reason },
            refused => refused.into_outcome(),
        }
    }

    pub(super) fn begin(&self) -> Result<(), Trouble> {
        self.inner
            .begin_transaction()
            .map_err(|error| self.trouble("begin_transaction", &error))
    }

    /// Hands a record over; its bytes are copied. Never blocks.
    pub(super) fn send(&mut self, record: Record<'_>) -> Result<(), SendError> {
        let mut base = BaseRecord::with_opaque_to(record.topic, record.tag);
        base.partition = record.partition;
        base.key = record.key;
        base.payload = record.payload;
        base.headers = record.headers;
        base.timestamp = record.timestamp_ms;
        match self.inner.send(base) {
            Ok(()) => {
                self.sent += 1;
                Ok(())
            }
            Err((error, _)) => Err(match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => SendError::QueueFull,
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                    SendError::TooLarge(error.to_string())
                }
                Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownPartition) => {
                    SendError::DestinationGone(error.to_string())
                }
                Some(RDKafkaErrorCode::State) if self.fatal_error().is_none() => {
                    SendError::TransactionFailed(error.to_string())
                }
                _ => SendError::Trouble(self.trouble("produce", &error)),
            }),
        }
    }

    /// How many sent records have no answer yet.
    pub(super) fn unsettled(&self) -> u64 {
        self.sent.saturating_sub(self.deliveries().settled())
    }

    /// Waits until at most `unsettled_max` of the sent records have no answer yet.
    pub(super) fn wait(&self, unsettled_max: u64, deadline: Instant) -> Result<Settled, Trouble> {
        let target = self.sent.saturating_sub(unsettled_max);
        loop {
            let look = deadline.min(Instant::now() + FATAL_LOOK_EVERY);
            let settled = self.context().deliveries.wait(target, look);
            if let Some(fatal) = self.fatal_error() {
                let error = KafkaError::Global(fatal.0);
                return Err(Trouble::of("produce", &error, Some(fatal)));
            }
            if settled != Settled::Waiting || look >= deadline {
                return Ok(settled);
            }
        }
    }

    /// Waits until every event that librdkafka has queued was served: with one left, rust-rdkafka's
    /// commit would poll for it in blocks of 100 ms, and a trace could come after the decision.
    pub(super) fn serve_events(&self, deadline: Instant) -> bool {
        while self.inner.in_flight_count() != 0 {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(EVENTS_PAUSE);
        }
        true
    }

    /// Commits, and says how long it took.
    pub(super) fn commit(&self) -> (Result<(), Trouble>, Duration) {
        let began = Instant::now();
        let result = self.inner.commit_transaction(END_MAX);
        let took = began.elapsed();
        (
            result.map_err(|error| self.trouble("commit_transaction", &error)),
            took,
        )
    }

    /// Rolls back, and says how long it took.
    pub(super) fn abort(&self) -> (Result<(), Trouble>, Duration) {
        let began = Instant::now();
        let mut slice = ABORT_SLICE_MIN;
        let result = loop {
            let left = END_MAX.saturating_sub(began.elapsed());
            let result = self.inner.abort_transaction(slice.min(left));
            match &result {
                Err(KafkaError::Transaction(error)) if error.is_retriable() && !left.is_zero() => {
                    slice *= 2;
                }
                _ => break result,
            }
        };
        let took = began.elapsed();
        (
            result.map_err(|error| self.trouble("abort_transaction", &error)),
            took,
        )
    }

    pub(super) fn deliveries(&self) -> &Deliveries {
        &self.context().deliveries
    }

    pub(super) fn unauthorised(&self) -> &UnauthorisedTopics {
        &self.context().unauthorised
    }

    pub(super) fn failed_transaction(&self) -> &FailedTransaction {
        &self.inner.context().failed
    }

    pub(super) fn traces(&self) -> &Traces {
        &self.context().traces
    }

    pub(super) fn client(&self) -> &rdkafka::client::Client<Context> {
        self.inner.client()
    }

    /// What speaks against believing a transaction's end, once all events are served.
    pub(super) fn suspicion(
        &self,
        since: Mark,
        ending: Duration,
        slow: Duration,
    ) -> Option<Suspicion> {
        if !self.serve_events(Instant::now() + slow) {
            return Some(Suspicion::events_not_served());
        }
        self.traces().suspicion(since, ending, slow)
    }

    pub(super) fn fatal_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.inner.client().fatal_error()
    }

    fn trouble(&self, call: &str, error: &KafkaError) -> Trouble {
        Trouble::of(call, error, self.fatal_error())
    }

    fn context(&self) -> &Context {
        self.inner.context()
    }
}
