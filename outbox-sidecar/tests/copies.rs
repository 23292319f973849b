//! Copies of a database, on servers of their own, with a relay of the same name: what they do to the
//! relay that they were copied from.

use testbed::{PostgresServer, Program, ReservedPort, Snapshot};
use tokio_postgres::Client;

use crate::refused::expect;
use crate::scenario::observation::{assert_calm, lines};
use crate::scenario::{DEADLINE, Scenario};
use crate::target::Target;

/// A relay at work, and the disk of its server as it was a moment ago.
struct Healthy {
    postgres: PostgresServer,
    scenario: Scenario,
    client: Client,
    relay: Program,
    snapshot: Snapshot,
}

impl Healthy {
    async fn publishing_to(target: Target) -> Self {
        let postgres = PostgresServer::start().await.unwrap();
        let scenario = Scenario::to(postgres.address(), target).await;
        scenario.init(&[]).await;
        let relay = scenario.start_active().await;
        let client = scenario.client().await;
        scenario.enqueue(&client, 0..10).await;
        scenario.drained(&client).await;
        let snapshot = postgres.snapshot().await.unwrap();
        let client = scenario.client().await;
        Self {
            postgres,
            scenario,
            client,
            relay,
            snapshot,
        }
    }

    /// More messages, which the copy does not have.
    async fn goes_on(&self, numbers: std::ops::Range<usize>) {
        self.scenario.enqueue(&self.client, numbers).await;
        self.scenario.drained(&self.client).await;
    }

    async fn copy(&self) -> Copy {
        let server = self.postgres.start_copy(&self.snapshot).await.unwrap();
        let database = self.scenario.database_url.rsplit('/').next().unwrap();
        let superuser = server.address().superuser();
        let port = ReservedPort::find().unwrap();
        let settings = [
            format!("postgres.url={}", server.url(superuser, database)),
            format!("http.listen=127.0.0.1:{}", port.number()),
        ];
        Copy {
            client: server.connect(superuser, database).await.unwrap(),
            settings,
            _server: server,
            _port: port,
        }
    }

    /// Nobody fenced it, and each number was published once.
    async fn is_undisturbed(&self, numbers: std::ops::Range<usize>) {
        let log = self.relay.stderr().unwrap();
        assert!(!log.contains("fenced"), "{log}");
        let fenced = self.scenario.metric("outbox_fenced_total").await;
        assert!(fenced.is_none_or(|fenced| fenced == 0.0), "{fenced:?}");
        assert_calm(&self.relay);
        self.scenario.drained(&self.client).await;
        assert_eq!(self.scenario.numbers().await, numbers.collect::<Vec<_>>());
    }
}

/// A server with the files of the other's, and a relay's configuration for it.
struct Copy {
    client: Client,
    settings: [String; 2],
    _server: PostgresServer,
    _port: ReservedPort,
}

impl Copy {
    fn settings(&self) -> Vec<&str> {
        self.settings.iter().map(String::as_str).collect()
    }

    /// Whoever runs it does not care for what the last run said.
    async fn clear_hold(&self) {
        let sql =
            "update outbox.relay set held_exit_code = null, held_reason = null, held_at = null";
        self.client.batch_execute(sql).await.unwrap();
    }

    /// By a check, which would fence the healthy relay if it tried its transactional id.
    async fn is_looked_at(&self, healthy: &Healthy) {
        let set = self.settings().into_iter().flat_map(|set| ["--set", set]);
        let arguments: Vec<&str> = set.chain(["check"]).collect();
        let checked = healthy.scenario.command(&arguments, &[]).await.stdout;
        let says = ["the server was set back", "with this one's past"];
        assert!(says.iter().any(|says| checked.contains(says)), "{checked}");
    }

    async fn slot(&self, relay: &Scenario) -> (String, i64) {
        let sql = "select confirmed_flush_lsn::text, (select epoch from outbox.relay) \
                   from pg_replication_slots where slot_name = $1";
        let row = self.client.query_one(sql, &[&relay.slot()]).await.unwrap();
        (row.get(0), row.get(1))
    }

    /// Started again and again beside the healthy relay, which goes on publishing.
    async fn is_started_again_and_again(
        &self,
        healthy: &Healthy,
        first: usize,
        code: i32,
        text: &str,
    ) -> usize {
        let before = self.slot(&healthy.scenario).await;
        let mut next = first;
        for _ in 0..3 {
            self.clear_hold().await;
            healthy.goes_on(next..next + 10).await;
            next += 10;
            let ran = healthy.scenario.run_to_end_with(&self.settings()).await;
            expect(&ran, code, &[text]);
        }
        assert_eq!(
            self.slot(&healthy.scenario).await,
            before,
            "nothing was confirmed, and nobody claimed the relay"
        );
        next
    }
}

async fn kafka() -> Target {
    Target::kafka(testbed::shared_kafka().await.unwrap()).await
}

#[tokio::test]
async fn a_staging_copy_never_disturbs_the_relay_that_it_was_copied_from() {
    let healthy = Healthy::publishing_to(kafka().await).await;
    // However much a copy's server writes of its own, it stays behind.
    let foreign = "create table foreign_table as select generate_series(1, 100000) as n";
    healthy.client.batch_execute(foreign).await.unwrap();
    healthy.goes_on(10..20).await;
    let copy = healthy.copy().await;
    copy.is_looked_at(&healthy).await;
    let text = "the server's log ends at ";
    let next = copy.is_started_again_and_again(&healthy, 20, 6, text).await;
    healthy.is_undisturbed(0..next).await;

    // Staging writes messages of its own, and its log grows past the checkpoint.
    let topic = healthy.scenario.target.destination();
    let end = healthy.scenario.checkpoint().await.unwrap().frontier.lsn;
    let ours = "insert into outbox.message (destination, key, type, payload) \
                select $1, 'staging', 'T', '0' from generate_series(1, 1000)";
    let passed = "select pg_current_wal_flush_lsn() > $1::text::pg_lsn + 1000000";
    loop {
        copy.client.execute(ours, &[&topic]).await.unwrap();
        let row = copy.client.query_one(passed, &[&end.to_string()]).await;
        if row.unwrap().get(0) {
            break;
        }
    }
    copy.is_looked_at(&healthy).await;
    let text = "the log differs from what was published";
    let next = copy
        .is_started_again_and_again(&healthy, next, 6, text)
        .await;
    healthy.is_undisturbed(0..next).await;

    // Made by a tool for base backups it would have come without slots.
    let drop = "select pg_drop_replication_slot($1)";
    let slot = healthy.scenario.slot();
    copy.client.execute(drop, &[&slot]).await.unwrap();
    copy.clear_hold().await;
    let ran = healthy.scenario.run_to_end_with(&copy.settings()).await;
    expect(&ran, 4, &["the replication slot does not exist"]);
    healthy.is_undisturbed(0..next).await;
}

/// A copy of the last moment, with its slot, and nothing published since: no byte on its disk is
/// another. Whoever of the two publishes first goes on, and the other stops.
#[tokio::test]
async fn of_a_relay_and_its_exact_copy_only_one_goes_on_publishing() {
    let healthy = Healthy::publishing_to(kafka().await).await;
    let copy = healthy.copy().await;
    let scenario = &healthy.scenario;
    let twin = scenario.start_with(&copy.settings());
    twin.logged("active", DEADLINE, |line| line["message"] == "active")
        .await
        .unwrap();
    scenario.enqueue(&copy.client, 10..20).await;
    scenario.drained(&copy.client).await;
    // What the copied relay would publish now, it would publish on top of what its log does not hold.
    scenario.enqueue(&healthy.client, 100..110).await;
    let exit = healthy.relay.exited(DEADLINE).await.unwrap();
    assert_eq!(exit.code(), Some(6), "{}", healthy.relay.stderr().unwrap());
    scenario.enqueue(&copy.client, 20..30).await;
    scenario.drained(&copy.client).await;
    assert_eq!(scenario.numbers().await, (0..30).collect::<Vec<_>>());
    assert_eq!(twin.exit().unwrap(), None);
}

/// The checkpoint lies in the copy, too, and fits it. The broker knows better.
#[tokio::test]
async fn a_copy_beside_a_stream_publishes_nothing_and_disturbs_nobody() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let healthy = Healthy::publishing_to(Target::stream(rabbit).await).await;
    healthy.goes_on(10..20).await;
    let copy = healthy.copy().await;
    let mine = healthy.scenario.target.destination();
    let ours = "insert into outbox.message (destination, key, type, payload) \
                select $1, 'staging', 'T', '0' from generate_series(1, 1000)";
    copy.client.execute(ours, &[&mine]).await.unwrap();
    for next in [20, 30] {
        copy.clear_hold().await;
        let ran = healthy.scenario.run_to_end_with(&copy.settings()).await;
        expect(&ran, 6, &["outbox-checkpoints"]);
        healthy.goes_on(next..next + 10).await;
    }
    healthy.is_undisturbed(0..40).await;
}

/// Nothing in a queue tells the copy from its original; but the guard is held by one connection.
#[tokio::test]
async fn a_copy_beside_a_queue_publishes_nothing_as_long_as_its_original_is_there() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let healthy = Healthy::publishing_to(Target::queue(rabbit, "classic").await).await;
    // It lost its server for the snapshot, and has the guard again.
    healthy.goes_on(10..20).await;
    let copy = healthy.copy().await;
    let scenario = &healthy.scenario;
    let twin = scenario.start_with(&copy.settings());
    let queue = scenario.target.destination();
    let ours = "insert into outbox.message (destination, key, type, payload) \
                select $1, 'staging', 'T', '0' from generate_series(1, 10)";
    copy.client.execute(ours, &[&queue]).await.unwrap();
    twin.logged("it waits for the guard", DEADLINE, |line| {
        line["side"] == "sink" && line["kind"] == "unavailable"
    })
    .await
    .unwrap();
    healthy.goes_on(20..30).await;
    assert!(lines(&twin, "active").is_empty());
    healthy.is_undisturbed(0..30).await;
}
