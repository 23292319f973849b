//! What a plain client of Kafka makes of requests that arrive late, seen through the proxy: the facts
//! that the relay's sink defends itself against.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of a test fails the test"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use testbed::history::{Record, read};
use testbed::proxy::KafkaProxy;
use testbed::proxy::kafka::{Action, Fault, Injected, RequestKind, Seen, Stage, Until};
use testbed::{KafkaServer, unique};

const DEADLINE: Duration = Duration::from_secs(60);
const SOCKET_TIMEOUT: Duration = Duration::from_millis(1000);
const RETRY_BACKOFF: Duration = Duration::from_millis(100);

/// The broker's answers to a request of a producer that another one has replaced.
const FENCED: [Option<i16>; 2] = [Some(47), Some(90)];

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn of(&self, facility: &str) -> usize {
        let lines = self.0.lock().unwrap();
        lines.iter().filter(|line| *line == facility).count()
    }
}

impl ClientContext for Heard {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, _: &str) {
        self.0.lock().unwrap().push(facility.to_owned());
    }

    fn error(&self, _: KafkaError, _: &str) {
        self.0.lock().unwrap().push("error callback".to_owned());
    }
}

impl ProducerContext for Heard {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// A broker behind a proxy, a topic, and a transactional id.
struct Bed {
    proxy: KafkaProxy,
    kafka: KafkaServer,
    topic: String,
    id: String,
}

impl Bed {
    async fn start() -> Self {
        let proxy = KafkaProxy::start_without_upstream().unwrap();
        let options = KafkaServer::options().proxied_as(proxy.port());
        let kafka = options.start().await.unwrap();
        proxy.set_upstream(&kafka.proxied_upstream());
        let mut bed = Self {
            proxy,
            kafka,
            topic: String::new(),
            id: String::new(),
        };
        bed.renew().await;
        bed
    }

    /// A topic and a transactional id that nobody has used.
    async fn renew(&mut self) {
        let address = self.kafka.address();
        self.topic = address.create_unique_topic("late", 1).await.unwrap();
        self.id = unique::name("late");
    }

    fn producer(&self) -> Plain {
        let heard = Heard::default();
        let mut config = rdkafka::ClientConfig::new();
        config
            .set("bootstrap.servers", self.proxy.address())
            .set("transactional.id", &self.id)
            .set("socket.timeout.ms", SOCKET_TIMEOUT.as_millis().to_string())
            .set("retry.backoff.ms", RETRY_BACKOFF.as_millis().to_string())
            .set("log.connection.close", "true")
            .set_log_level(RDKafkaLogLevel::Info);
        let inner: ThreadedProducer<Heard> = config.create_with_context(heard.clone()).unwrap();
        inner.init_transactions(DEADLINE).unwrap();
        Plain { inner, heard }
    }

    fn inject(&self, kind: RequestKind, action: Action) -> Injected {
        self.proxy.inject(Fault {
            transactional_id: self.id.clone(),
            kind,
            occurrence: 1,
            action,
        })
    }

    fn seen(&self, kind: RequestKind) -> Vec<Seen> {
        let mut seen = self.proxy.seen(&self.id);
        seen.retain(|seen| seen.kind == kind);
        seen
    }

    /// What a reader of committed records sees.
    async fn committed(&self) -> Vec<String> {
        let records = read(self.kafka.address(), &[&self.topic], DEADLINE)
            .await
            .unwrap();
        let text = |record: &Record| {
            String::from_utf8(record.payload.clone().unwrap_or_default()).unwrap()
        };
        records.iter().map(text).collect()
    }
}

/// librdkafka as anyone would use it.
struct Plain {
    inner: ThreadedProducer<Heard>,
    heard: Heard,
}

impl Plain {
    fn begin(&self) {
        self.inner.begin_transaction().unwrap();
    }

    /// Sends, and waits for the acknowledgements.
    fn send(&self, topic: &str, payloads: &[&str]) {
        for payload in payloads {
            let record = BaseRecord::<str, str>::to(topic).payload(*payload);
            self.inner.send(record).map_err(|(error, _)| error).unwrap();
        }
        self.inner.flush(DEADLINE).unwrap();
    }
}

fn code(result: Result<(), KafkaError>) -> Option<RDKafkaErrorCode> {
    result.err().and_then(|error| error.rdkafka_error_code())
}

#[tokio::test]
async fn a_commit_that_arrives_late_tears_the_next_transaction_of_a_plain_client() {
    let bed = Bed::start().await;
    let producer = bed.producer();
    let held = bed.inject(RequestKind::Commit, Action::Hold(Until::Released));
    producer.begin();
    producer.send(&bed.topic, &["1.0", "1.1", "1.2", "1.3"]);
    // The client hears nothing for as long as it waits for an answer, asks once more on another
    // connection, and says yes.
    producer.inner.commit_transaction(DEADLINE).unwrap();
    let commits = bed.seen(RequestKind::Commit);
    assert!(commits.len() >= 2, "{commits:?}");
    assert_ne!(commits[0].connection, commits[1].connection);
    assert!(producer.heard.of("REQTMOUT") > 0, "{:?}", producer.heard.0);

    producer.begin();
    producer.send(&bed.topic, &["2.0", "2.1"]);
    held.release();
    let answered = held.reached(Stage::Settled, DEADLINE).await.unwrap();
    assert_eq!(answered.error_code, Some(0));
    let torn = ["1.0", "1.1", "1.2", "1.3", "2.0", "2.1"];
    assert_eq!(bed.committed().await, torn);
    let aborted = code(producer.inner.abort_transaction(DEADLINE));
    println!("the abort: {aborted:?}");
    assert_eq!(bed.committed().await, torn);
}

#[tokio::test]
async fn an_abort_that_arrives_late_takes_the_next_transaction_of_a_plain_client_away() {
    let bed = Bed::start().await;
    let producer = bed.producer();
    let held = bed.inject(RequestKind::Abort, Action::Hold(Until::Released));
    producer.begin();
    producer.send(&bed.topic, &["1.0"]);
    producer.inner.abort_transaction(DEADLINE).unwrap();
    assert!(bed.seen(RequestKind::Abort).len() >= 2);

    producer.begin();
    producer.send(&bed.topic, &["2.0", "2.1"]);
    held.release();
    let answered = held.reached(Stage::Settled, DEADLINE).await.unwrap();
    assert_eq!(answered.error_code, Some(0));
    let committed = code(producer.inner.commit_transaction(DEADLINE));
    println!("the commit: {committed:?}");
    assert!(committed.is_some());
    assert_eq!(bed.committed().await, [""; 0]);
}

#[tokio::test]
async fn what_arrives_late_is_refused_once_another_producer_has_the_transactional_id() {
    let mut bed = Bed::start().await;
    for kind in [RequestKind::Commit, RequestKind::Abort] {
        bed.renew().await;
        let first = bed.producer();
        let held = bed.inject(kind, Action::Hold(Until::Released));
        first.begin();
        first.send(&bed.topic, &["1.0"]);
        let ended = match kind {
            RequestKind::Commit => first.inner.commit_transaction(DEADLINE),
            _ => first.inner.abort_transaction(DEADLINE),
        };
        ended.unwrap();

        let second = bed.producer();
        second.begin();
        second.send(&bed.topic, &["2.0", "2.1"]);
        held.release();
        let answered = held.reached(Stage::Settled, DEADLINE).await.unwrap();
        assert!(FENCED.contains(&answered.error_code), "{answered:?}");
        second.send(&bed.topic, &["2.2"]);
        second.inner.commit_transaction(DEADLINE).unwrap();
        let expected = match kind {
            RequestKind::Commit => vec!["1.0", "2.0", "2.1", "2.2"],
            _ => vec!["2.0", "2.1", "2.2"],
        };
        assert_eq!(bed.committed().await, expected);
    }
}

#[tokio::test]
async fn a_request_is_repeated_no_sooner_than_half_the_backoff_and_only_the_log_tells() {
    let mut bed = Bed::start().await;
    for kind in [RequestKind::Commit, RequestKind::Abort] {
        for action in [Action::CutBefore, Action::CutAfter, Action::DropAnswer] {
            bed.renew().await;
            let producer = bed.producer();
            producer.begin();
            producer.send(&bed.topic, &["1.0"]);
            let errors = producer.heard.of("error callback");
            let (failed, timed_out) = (producer.heard.of("FAIL"), producer.heard.of("REQTMOUT"));
            bed.inject(kind, action);
            match kind {
                RequestKind::Commit => producer.inner.commit_transaction(DEADLINE).unwrap(),
                _ => producer.inner.abort_transaction(DEADLINE).unwrap(),
            }
            let ends = bed.seen(kind);
            // A third one comes where the second is told that the first is still going on.
            let [first, second, ..] = ends.as_slice() else {
                panic!("{action:?}: {ends:?}");
            };
            let pause = second.at - first.at;
            let (failed, timed_out) = (
                producer.heard.of("FAIL") - failed,
                producer.heard.of("REQTMOUT") - timed_out,
            );
            println!(
                "{kind:?}, {action:?}: again after {pause:?}, FAIL {failed}, REQTMOUT {timed_out}, \
                 error callbacks {}",
                producer.heard.of("error callback") - errors
            );
            assert!(pause >= RETRY_BACKOFF / 2, "{action:?}: {pause:?}");
            // One of the two is always said, and it is all there is: the call says yes.
            let is_lost = action != Action::DropAnswer;
            assert_eq!((failed > 0, timed_out > 0), (is_lost, !is_lost));
        }
    }
}

#[tokio::test]
async fn what_waits_for_less_than_the_clients_time_out_is_not_repeated() {
    let mut bed = Bed::start().await;
    let pause = SOCKET_TIMEOUT / 4;
    let held = Action::HoldAnswer(Until::Released);
    for action in [Action::Delay(pause), Action::DelayAnswer(pause), held] {
        bed.renew().await;
        let producer = bed.producer();
        producer.begin();
        producer.send(&bed.topic, &["1.0"]);
        let waiting = bed.inject(RequestKind::Commit, action);
        let committing = std::thread::scope(|scope| {
            let committing = scope.spawn(|| producer.inner.commit_transaction(DEADLINE));
            if action == held {
                while !waiting.has_struck() {
                    std::thread::yield_now();
                }
                waiting.release();
            }
            committing.join().unwrap()
        });
        committing.unwrap();
        let answered = waiting.reached(Stage::Settled, DEADLINE).await.unwrap();
        assert_eq!(answered.error_code, Some(0), "{action:?}");
        assert_eq!(bed.seen(RequestKind::Commit).len(), 1, "{action:?}");
        assert_eq!(bed.committed().await, ["1.0"]);
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_again_and_again_is_not_told_and_only_the_time_shows_it() {
    let bed = Bed::start().await;
    let producer = bed.producer();
    let mut told = Vec::new();
    for _ in 0..5 {
        producer.begin();
        producer.send(&bed.topic, &["1.0"]);
        let (failed, before) = (
            producer.heard.of("FAIL"),
            bed.seen(RequestKind::Commit).len(),
        );
        let _ = bed.inject(RequestKind::Commit, Action::CutAfter);
        producer.inner.commit_transaction(DEADLINE).unwrap();
        told.push(producer.heard.of("FAIL") - failed);
        // A third one comes where the second is told that the commit is still going on.
        let commits = bed.seen(RequestKind::Commit).split_off(before);
        assert!(commits.len() >= 2, "{commits:?}");
        let pause = commits[1].at - commits[0].at;
        println!("again after {pause:?}, FAIL {told:?}");
        assert!(pause >= RETRY_BACKOFF / 2, "{pause:?}");
    }
    assert_eq!(told.first(), Some(&1));
    assert_eq!(told.last(), Some(&0));
}
