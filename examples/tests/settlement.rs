//! The consumer of Kafka: whatever is killed when, each event is settled once.

mod topic;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use testbed::{Program, Spawn, wait};
use uuid::Uuid;

use crate::database::Database;
use crate::seed::seed;
use topic::{Event, Topic};

const DEADLINE: Duration = Duration::from_secs(90);

struct Service {
    database: Database,
    program: Program,
}

impl Service {
    async fn start(topic: &Topic, arguments: &[&str]) -> Self {
        let database = Database::create().await;
        let command = Spawn::new(env!("CARGO_BIN_EXE_settlement"))
            .args(["--database-url", &database.url()])
            .args(["--bootstrap-servers", &topic.bootstrap_servers()])
            // A group of the test's own, with one instance that comes back under its name.
            .args(["--topic", &topic.name, "--group", &topic.name])
            .args(["--instance", "settlement-0"])
            .args(arguments.iter().copied());
        let program = Program::start("settlement", command).unwrap();
        let service = Self { database, program };
        // Made by the program as it starts.
        let ready = async || {
            let sql = "select count(*) from pg_tables where tablename = 'parked_event'";
            service.database.count(sql).await == 1
        };
        service.until("its tables", ready).await;
        service
    }

    async fn until<F: Future<Output = bool>>(&self, what: &str, condition: impl FnMut() -> F) {
        let waited = wait::until(what, DEADLINE, condition).await;
        waited.unwrap_or_else(|error| panic!("{error}: {:?}", self.program.stderr()));
    }

    async fn settled(&self) -> usize {
        let count = "select count(*) from settlement";
        usize::try_from(self.database.count(count).await).unwrap()
    }

    /// Waits until so many events are settled.
    async fn until_settled(&self, count: usize) {
        let what = format!("{count} events settled");
        let settled = async || self.settled().await >= count;
        self.until(&what, settled).await;
    }

    async fn kill_and_restart(&self) {
        self.program.kill().await.unwrap();
        self.program.restart().unwrap();
    }

    /// Events that came again and were found in the inbox.
    fn duplicates(&self) -> usize {
        let log = self.program.log().unwrap();
        log.iter()
            .filter(|line| line["fields"]["message"] == "a duplicate")
            .count()
    }

    async fn parked_reasons(&self) -> Vec<String> {
        let client = self.database.client().await;
        let sql = "select reason from parked_event order by topic_offset";
        let rows = client.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Every event of `expected` is settled, once, nothing else is, and the accounts agree.
    async fn assert_settled_once(&self, expected: &[Event]) {
        let client = self.database.client().await;
        let rows = client
            .query("select message_id, customer, cents from settlement", &[])
            .await
            .unwrap();
        let settled: HashSet<Uuid> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(rows.len(), settled.len(), "something is settled twice");
        let wanted: HashSet<Uuid> = expected.iter().map(|event| event.id).collect();
        assert_eq!(settled, wanted);
        let mut accounts: BTreeMap<String, i64> = BTreeMap::new();
        for event in expected {
            *accounts.entry(event.customer.clone()).or_default() += event.cents();
        }
        let rows = client
            .query("select customer, settled_cents from account", &[])
            .await
            .unwrap();
        let found: BTreeMap<String, i64> =
            rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert_eq!(found, accounts);
    }
}

/// Killed while events flow that also come twice, and between transactions that are aborted.
#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_settles_each_event_once() {
    const KILLS: usize = 8;
    const EVENTS_A_ROUND: usize = 300;
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let topic = Topic::create(3).await;
    let service = Service::start(&topic, &[]).await;
    let mut expected = Vec::new();
    let mut published_twice = 0;
    for _ in 0..KILLS {
        let before = service.settled().await;
        let mut transactions = Vec::new();
        for _ in 0..EVENTS_A_ROUND / 30 {
            let events: Vec<Event> = (0..30).map(|_| Event::random(&mut random)).collect();
            let commits = random.u8(..5) > 0;
            let mut records = events.clone();
            if commits && random.bool() {
                // As after a relay that could not know whether the broker had them.
                records.extend_from_slice(&events);
                published_twice += events.len();
            }
            if commits {
                expected.extend(events);
            }
            transactions.push((records, commits));
        }
        let publishing = topic.publish(transactions);
        let some = before + random.usize(1..EVENTS_A_ROUND / 3);
        service.until_settled(some).await;
        service.kill_and_restart().await;
        publishing.await.unwrap();
    }
    expected.extend(topic.publish_to_each_partition().await);
    service.until_settled(expected.len()).await;
    service.program.terminate().unwrap();
    let exit = service.program.exited(DEADLINE).await.unwrap();
    assert_eq!(exit.code(), Some(0), "{:?}", service.program.stderr());

    service.assert_settled_once(&expected).await;
    let duplicates = service.duplicates();
    println!(
        "{} events, {published_twice} published twice, {duplicates} duplicates met",
        expected.len()
    );
    assert!(duplicates >= published_twice, "{duplicates} duplicates");
}

/// The point between the commit of the database and that of the offset, hit on purpose: offsets are
/// never committed but at an end in order.
#[tokio::test(flavor = "multi_thread")]
async fn killed_before_its_offsets_are_committed_it_gets_all_again_and_settles_nothing_twice() {
    let topic = Topic::create(1).await;
    let service = Service::start(&topic, &["--commit-interval-ms", "3600000"]).await;
    let mut random = fastrand::Rng::with_seed(1);
    let mut events: Vec<Event> = (0..50).map(|_| Event::random(&mut random)).collect();
    topic.publish(vec![(events.clone(), true)]).await.unwrap();
    service.until_settled(50).await;
    service.kill_and_restart().await;
    events.extend(topic.publish_to_each_partition().await);
    service.until_settled(51).await;
    assert_eq!(service.duplicates(), 50);

    service.program.terminate().unwrap();
    let exit = service.program.exited(DEADLINE).await.unwrap();
    assert_eq!(exit.code(), Some(0), "{:?}", service.program.stderr());
    service.program.restart().unwrap();
    events.extend(topic.publish_to_each_partition().await);
    service.until_settled(52).await;
    assert_eq!(service.duplicates(), 50, "the offsets were committed");
    service.assert_settled_once(&events).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ours_is_skipped_and_poison_is_parked_once() {
    let topic = Topic::create(1).await;
    let service = Service::start(&topic, &["--commit-interval-ms", "3600000"]).await;
    let mut random = fastrand::Rng::with_seed(1);
    let mut event = || Event::random(&mut random);
    let good = [event(), event()];
    let records = vec![
        good[0].clone(),
        event().tombstone(),
        event().of_type(Some("OrderAudited")),
        event().of_type(None),
        event().payload(b"\xff\0no order"),
        event().without_id(),
        // Only the database sees that: the sum does not fit.
        event().cents_of(i64::MAX).customer("big"),
        event().cents_of(i64::MAX).customer("big"),
        good[1].clone(),
    ];
    let big = records[6].clone();
    topic.publish(vec![(records, true)]).await.unwrap();
    service.until_settled(3).await;
    service.kill_and_restart().await;
    let last = topic.publish_to_each_partition().await;
    service.until_settled(4).await;

    let reasons = service.parked_reasons().await;
    let expected = [
        "no header outbox-type",
        "no order",
        "no header outbox-id",
        "out of range",
    ];
    assert_eq!(reasons.len(), expected.len(), "{reasons:?}");
    for (reason, part) in reasons.iter().zip(expected) {
        assert!(reason.contains(part), "{reason}");
    }
    assert_eq!(service.duplicates(), 3);
    let settled = [&good[..], &[big], &last].concat();
    service.assert_settled_once(&settled).await;
}

/// While the database is away nothing is given up, parked or passed.
#[tokio::test(flavor = "multi_thread")]
async fn events_wait_while_the_database_is_away() {
    let topic = Topic::create(1).await;
    let service = Service::start(&topic, &[]).await;
    service.database.close().await;
    let events = topic.publish_to_each_partition().await;
    let waiting = |line: &serde_json::Value| {
        line["fields"]["message"] == "a message could not be handled, trying again"
    };
    let logged = service.program.logged("a try", DEADLINE, waiting).await;
    logged.unwrap();
    service.database.open().await;
    service.until_settled(1).await;
    service.assert_settled_once(&events).await;
    assert!(service.parked_reasons().await.is_empty());
}
