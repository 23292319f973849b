//! What a plain librdkafka, the one that is built in, makes of transactions that go wrong: facts that the
//! relay's sink is made for. What it makes of late requests is in `kafka_proxy.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails the test"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::error::{KafkaError, RDKafkaError};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use testbed::history::read;
use testbed::proxy::KafkaProxy;
use testbed::proxy::kafka::{Action, Fault, RequestKind, Stage, Until};
use testbed::{KafkaAddress, KafkaServer, unique, wait};

const DEADLINE: Duration = Duration::from_secs(60);
/// The longest time for a transaction that the broker's default allows.
const TRANSACTION_MS_MAX: u32 = 900_000;

#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Vec<Option<RDKafkaErrorCode>>>>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let failure = result.as_ref().err();
        let code = failure.and_then(|(error, _)| error.rdkafka_error_code());
        self.0.lock().unwrap().push(code);
    }
}

struct Plain {
    inner: ThreadedProducer<Reports>,
    reports: Reports,
}

impl Plain {
    fn new(config: &ClientConfig) -> Result<Self, KafkaError> {
        let reports = Reports::default();
        let inner = ThreadedProducer::from_config_and_context(config, reports.clone())?;
        Ok(Self { inner, reports })
    }

    /// A transaction that has begun, with these payloads sent and acknowledged or refused.
    fn begun(config: &ClientConfig, topic: &str, payloads: &[&str]) -> Self {
        let producer = Self::new(config).unwrap();
        producer.inner.init_transactions(DEADLINE).unwrap();
        producer.begin(topic, payloads);
        producer
    }

    fn begin(&self, topic: &str, payloads: &[&str]) {
        self.inner.begin_transaction().unwrap();
        self.send(topic, payloads);
    }

    fn send(&self, topic: &str, payloads: &[&str]) {
        for payload in payloads {
            let record = BaseRecord::<str, str>::to(topic).payload(*payload);
            self.inner.send(record).map_err(|(error, _)| error).unwrap();
        }
        self.inner.flush(DEADLINE).unwrap();
    }

    fn commit(&self) -> Result<(), RDKafkaError> {
        transaction_error(self.inner.commit_transaction(DEADLINE))
    }
}

fn transaction_error(result: Result<(), KafkaError>) -> Result<(), RDKafkaError> {
    match result {
        Ok(()) => Ok(()),
        Err(KafkaError::Transaction(error)) => Err(error),
        Err(error) => panic!("not a transaction's error: {error}"),
    }
}

/// Retriable, to be aborted, fatal.
fn kind(error: &RDKafkaError) -> [bool; 3] {
    [
        error.is_retriable(),
        error.txn_requires_abort(),
        error.is_fatal(),
    ]
}

const RETRIABLE: [bool; 3] = [true, false, false];
const REQUIRES_ABORT: [bool; 3] = [false, true, false];
const FATAL: [bool; 3] = [false, false, true];

fn transactional(kafka: &KafkaAddress) -> ClientConfig {
    let mut config = kafka.client_config();
    config.set("transactional.id", unique::name("facts"));
    config
}

async fn committed(kafka: &KafkaAddress, topic: &str) -> Vec<String> {
    let records = read(kafka, &[topic], DEADLINE).await.unwrap();
    let text = |payload: Option<Vec<u8>>| String::from_utf8(payload.unwrap_or_default()).unwrap();
    records
        .into_iter()
        .map(|record| text(record.payload))
        .collect()
}

#[tokio::test]
async fn a_commit_without_an_answer_is_retriable_and_may_have_happened() {
    let proxy = KafkaProxy::start_without_upstream().unwrap();
    let options = KafkaServer::options().proxied_as(proxy.port());
    let kafka = options.start().await.unwrap();
    proxy.set_upstream(&kafka.proxied_upstream());
    let address = kafka.address();
    let topic = address.create_unique_topic("facts", 1).await.unwrap();
    let id = unique::name("facts");
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", proxy.address());
    config.set("transactional.id", &id);
    let producer = Plain::begun(&config, &topic, &["1"]);
    let held = proxy.inject(Fault {
        transactional_id: id,
        kind: RequestKind::Commit,
        occurrence: 1,
        action: Action::HoldAnswer(Until::Released),
    });
    let in_vain = producer.inner.commit_transaction(Duration::from_secs(1));
    let error = transaction_error(in_vain).unwrap_err();
    assert_eq!(kind(&error), RETRIABLE, "{error}");
    assert_eq!(committed(address, &topic).await, ["1"]);
    held.release();
    held.reached(Stage::Settled, DEADLINE).await.unwrap();
    producer.commit().unwrap();
    assert_eq!(committed(address, &topic).await, ["1"]);
}

#[tokio::test]
async fn a_transaction_past_its_time_is_fatal() {
    // The broker looks every 10 s by default.
    let look_every = "transaction.abort.timed.out.transaction.cleanup.interval.ms";
    let options = KafkaServer::options().setting(look_every, "100");
    let kafka = options.start().await.unwrap();
    let address = kafka.address();
    let topic = address.create_unique_topic("facts", 1).await.unwrap();
    let mut config = transactional(address);
    config.set("transaction.timeout.ms", "1000");
    let producer = Plain::begun(&config, &topic, &["1"]);
    // Its end is decided when the reader reaches what comes after it.
    let other = Plain::new(&address.client_config()).unwrap();
    other.send(&topic, &["2"]);
    assert_eq!(committed(address, &topic).await, ["2"]);
    // KIP-588 would let it go on.
    let error = producer.commit().unwrap_err();
    assert_eq!(kind(&error), FATAL, "{error}");
    assert!(producer.inner.client().fatal_error().is_some());
}

#[tokio::test]
async fn one_message_that_is_refused_fails_its_whole_transaction_and_no_other() {
    let address = testbed::shared_kafka().await.unwrap();
    let topic = address.create_unique_topic("facts", 1).await.unwrap();
    let narrow = unique::name("narrow");
    let limit = [("max.message.bytes", "1000")];
    address.create_topic_with(&narrow, 1, &limit).await.unwrap();
    let producer = Plain::begun(&transactional(address), &topic, &["1"]);
    producer.send(&narrow, &["x".repeat(2_000).as_str()]);
    let reports = producer.reports.0.lock().unwrap().clone();
    let too_large = Some(RDKafkaErrorCode::MessageSizeTooLarge);
    assert_eq!(reports, [None, too_large]);
    let error = producer.commit().unwrap_err();
    assert_eq!(kind(&error), REQUIRES_ABORT, "{error}");
    producer.inner.abort_transaction(DEADLINE).unwrap();
    producer.begin(&topic, &["2"]);
    producer.commit().unwrap();
    assert_eq!(committed(address, &topic).await, ["2"]);
    assert_eq!(committed(address, &narrow).await, [""; 0]);
}

#[tokio::test]
async fn an_open_transaction_holds_readers_back_until_another_producer_has_its_id() {
    let address = testbed::shared_kafka().await.unwrap();
    let topic = address.create_unique_topic("facts", 1).await.unwrap();
    let config = transactional(address);
    let silent = Plain::begun(&config, &topic, &["1"]);
    Plain::new(&address.client_config())
        .unwrap()
        .send(&topic, &["2"]);
    let waited = read(address, &[&topic], Duration::from_secs(3)).await;
    assert!(waited.is_err(), "what came after it is visible: {waited:?}");
    let next = Plain::new(&config).unwrap();
    next.inner.init_transactions(DEADLINE).unwrap();
    assert_eq!(committed(address, &topic).await, ["2"]);
    let error = silent.commit().unwrap_err();
    assert_eq!(kind(&error), FATAL, "{error}");
    assert_eq!(error.code(), RDKafkaErrorCode::Fenced);
}

#[tokio::test]
async fn times_that_do_not_fit_are_refused() {
    let address = testbed::shared_kafka().await.unwrap();
    let with = |transaction_ms: u32, message_ms: u32| {
        let mut config = transactional(address);
        config.set("transaction.timeout.ms", transaction_ms.to_string());
        config.set("message.timeout.ms", message_ms.to_string());
        Plain::new(&config)
    };
    // The client's own limit.
    let made = with(10_000, 10_001).err().map(|error| error.to_string());
    let named = made.is_some_and(|error| error.contains("message.timeout.ms"));
    assert!(named, "a message may outlive its transaction");
    // The broker's.
    let longest = with(TRANSACTION_MS_MAX, 10_000).unwrap();
    longest.inner.init_transactions(DEADLINE).unwrap();
    let longer = with(TRANSACTION_MS_MAX + 1, 10_000).unwrap();
    let error = transaction_error(longer.inner.init_transactions(DEADLINE)).unwrap_err();
    assert_eq!(error.code(), RDKafkaErrorCode::InvalidTransactionTimeout);
}

#[tokio::test]
async fn keys_lie_elsewhere_unless_the_partitioner_is_javas() {
    const PARTITIONS: i32 = 50;
    let address = testbed::shared_kafka().await.unwrap();
    let mut places = Vec::new();
    for partitioner in [None, Some("murmur2_random")] {
        let topic = address
            .create_unique_topic("facts", PARTITIONS)
            .await
            .unwrap();
        let mut config = address.client_config();
        if let Some(partitioner) = partitioner {
            config.set("partitioner", partitioner);
        }
        let producer = Plain::new(&config).unwrap();
        // `Utils.murmur2("foobar")` in Java is -790332482.
        let record = BaseRecord::to(&topic).key("foobar").payload("1");
        producer
            .inner
            .send(record)
            .map_err(|(error, _)| error)
            .unwrap();
        producer.inner.flush(DEADLINE).unwrap();
        let records = read(address, &[&topic], DEADLINE).await.unwrap();
        places.extend(records.iter().map(|record| record.partition));
    }
    let java = (-790_332_482 & 0x7fff_ffff) % PARTITIONS;
    let [by_default, as_java] = places.as_slice() else {
        panic!("{places:?}");
    };
    assert_eq!(*as_java, java);
    assert_ne!(*by_default, java);
}

#[tokio::test]
async fn a_queue_that_is_full_refuses_one_message_and_takes_a_later_one() {
    let address = testbed::shared_kafka().await.unwrap();
    let topic = address.create_unique_topic("facts", 1).await.unwrap();
    let mut config = address.client_config();
    config.set("queue.buffering.max.messages", "1");
    config.set("linger.ms", "200");
    config.set("enable.idempotence", "true");
    let producer = Plain::new(&config).unwrap();
    let send = |payload: &str| {
        let sent = producer
            .inner
            .send(BaseRecord::<str, str>::to(&topic).payload(payload));
        sent.map_err(|(error, _)| error.rdkafka_error_code())
    };
    send("1").unwrap();
    assert_eq!(send("2"), Err(Some(RDKafkaErrorCode::QueueFull)));
    wait::until("room for one", DEADLINE, async || send("3").is_ok())
        .await
        .unwrap();
    wait::until("room for another", DEADLINE, async || send("2").is_ok())
        .await
        .unwrap();
    producer.inner.flush(DEADLINE).unwrap();
    // In the order in which they were taken, which is not that in which they were sent first.
    assert_eq!(committed(address, &topic).await, ["1", "3", "2"]);
}

#[tokio::test]
async fn messages_behind_a_refused_one_are_taken_and_overtake_it() {
    let address = testbed::shared_kafka().await.unwrap();
    let topic = unique::name("compacted");
    let compacted = [("cleanup.policy", "compact")];
    address
        .create_topic_with(&topic, 1, &compacted)
        .await
        .unwrap();
    let mut config = address.client_config();
    config.set("enable.idempotence", "true");
    config.set("batch.num.messages", "1");
    let producer = Plain::new(&config).unwrap();
    let send = |key: Option<&str>, payload: &str| {
        let mut record = BaseRecord::<str, str>::to(&topic).payload(payload);
        record.key = key;
        let sent = producer.inner.send(record);
        sent.map_err(|(error, _)| error).unwrap();
    };
    send(Some("a"), "1");
    // A compacted topic takes nothing without a key.
    send(None, "2");
    send(Some("c"), "3");
    producer.inner.flush(DEADLINE).unwrap();
    let reports = producer.reports.0.lock().unwrap().clone();
    let invalid = Some(RDKafkaErrorCode::InvalidRecord);
    assert_eq!(reports, [None, invalid, None]);
    send(Some("b"), "2");
    producer.inner.flush(DEADLINE).unwrap();
    assert_eq!(committed(address, &topic).await, ["1", "3", "2"]);
}
