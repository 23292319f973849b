//! A standby stands beside the primary, and takes its place: with everything, or without what was
//! published last.

use std::collections::BTreeSet;

use testbed::provision::PostgresVersion;
use testbed::{PostgresOptions, PostgresServer, Program, ReservedPort, wait};
use tokio_postgres::Client;

use crate::scenario::observation::assert_calm;
use crate::scenario::{DEADLINE, Scenario, connect};
use crate::target::Target;

/// The standby's physical slot on the primary.
const STANDBY: &str = "standby";

/// A slot follows to a standby since PostgreSQL 17: where an older version is asked for, these tests run
/// on 17 all the same.
fn options() -> PostgresOptions {
    let version = PostgresVersion::from_environment().unwrap();
    PostgresServer::options()
        .version(version.max(PostgresVersion::V17))
        .setting("hot_standby_feedback", "on")
}

/// A primary with a database that is set up for a relay, and a standby that follows it.
struct Servers {
    primary: PostgresServer,
    standby: PostgresServer,
    scenario: Scenario,
}

impl Servers {
    async fn start(options: PostgresOptions, target: Target) -> Self {
        let primary = options.start().await.unwrap();
        let scenario = Scenario::to(primary.address(), target).await;
        let standby = primary.start_standby(STANDBY).await.unwrap();
        scenario.init(&[]).await;
        Self {
            primary,
            standby,
            scenario,
        }
    }

    /// Lets the relay's address name these servers, in this order.
    fn name(&self, servers: &[&PostgresServer]) {
        let place = |server: &&PostgresServer| format!("127.0.0.1:{}", server.address().port());
        let places: Vec<_> = servers.iter().map(place).collect();
        let database = database(&self.scenario);
        let url = format!("postgres://postgres@{}/{database}", places.join(","));
        let configuration = self.scenario.configuration();
        assert!(configuration.contains(&self.scenario.database_url));
        self.scenario
            .configure(&configuration.replace(&self.scenario.database_url, &url));
    }
}

/// A relay that knows both servers, and a standby that would take its slot over.
struct Pair {
    primary: PostgresServer,
    standby: PostgresServer,
    scenario: Scenario,
    relay: Program,
}

impl Pair {
    /// `waits_for_standby`: the primary lets no reader of a slot ahead of the standby.
    async fn publishing_to(target: Target, waits_for_standby: bool) -> Self {
        let options = match waits_for_standby {
            true => options().setting("synchronized_standby_slots", STANDBY),
            false => options(),
        };
        let servers = Servers::start(options, target).await;
        servers.name(&[&servers.primary, &servers.standby]);
        let relay = servers.scenario.start_active().await;
        let pair = Self {
            primary: servers.primary,
            standby: servers.standby,
            scenario: servers.scenario,
            relay,
        };
        let client = pair.scenario.client().await;
        pair.scenario.enqueue(&client, 0..10).await;
        let slot = pair.scenario.slot();
        let database = database(&pair.scenario);
        pair.standby
            .synchronised(&pair.primary, database, &slot)
            .await
            .unwrap();
        pair.scenario.enqueue(&client, 10..20).await;
        pair.scenario.drained(&client).await;
        pair
    }

    /// Kills the primary and lets the standby take its place.
    async fn fail_over(&self) -> Client {
        self.primary.kill().await.unwrap();
        self.promoted().await
    }

    async fn promoted(&self) -> Client {
        self.standby.promote().await.unwrap();
        connect(&self.standby.url("postgres", database(&self.scenario))).await
    }

    /// What the settings of a second process on this host must say to use this server.
    fn only(&self, server: &PostgresServer) -> [String; 2] {
        let port = ReservedPort::find().unwrap();
        [
            format!(
                "postgres.url={}",
                server.url("postgres", database(&self.scenario))
            ),
            format!("http.listen=127.0.0.1:{}", port.number()),
        ]
    }

    /// The numbers that are published are those of the rows that the database has.
    async fn published_what_survived(&self, client: &Client) {
        let sql = "select convert_from(payload, 'UTF8')::int from outbox.message";
        let rows = client.query(sql, &[]).await.unwrap();
        let rows: BTreeSet<_> = rows.iter().map(|row| row.get::<_, i32>(0)).collect();
        let published = self.scenario.numbers().await;
        let published = published
            .into_iter()
            .map(|number| i32::try_from(number).unwrap());
        assert_eq!(published.collect::<Vec<_>>(), Vec::from_iter(rows));
    }
}

fn database(scenario: &Scenario) -> &str {
    scenario.database_url.rsplit('/').next().unwrap()
}

async fn kafka() -> Target {
    Target::kafka(testbed::shared_kafka().await.unwrap()).await
}

/// Rows are committed until the primary is gone, in the middle of whatever it does.
async fn failed_over_under_load() -> (Pair, Client) {
    let pair = Pair::publishing_to(kafka().await, true).await;
    let client = pair.scenario.client().await;
    let sql = "insert into outbox.message (destination, key, type, payload) \
               values ($1, $2, 'T', convert_to($3, 'UTF8'))";
    let destination = pair.scenario.target.destination().to_owned();
    let writing = tokio::spawn(async move {
        for number in 20..100_000 {
            let (key, payload) = (format!("k{}", number % 7), number.to_string());
            let written = client.execute(sql, &[&destination, &key, &payload]).await;
            if written.is_err() {
                return number;
            }
        }
        panic!("the primary should have been killed by then")
    });
    wait::until("some are published", DEADLINE, async || {
        pair.scenario.numbers().await.len() >= 100
    })
    .await
    .unwrap();
    let client = pair.fail_over().await;
    let tried = writing.await.unwrap();
    println!("{tried} rows were tried before the primary was gone");
    pair.scenario.enqueue(&client, 100_000..100_020).await;
    pair.scenario.drained(&client).await;
    (pair, client)
}

#[tokio::test]
async fn a_promoted_standby_that_had_everything_goes_on_with_each_message_once() {
    let (pair, client) = failed_over_under_load().await;
    pair.published_what_survived(&client).await;
    assert_calm(&pair.relay);
    let (target, relay) = (&pair.scenario.target, &pair.scenario.relay);
    let checkpoint = target.checkpoint(relay, &client).await.unwrap();
    assert_eq!(checkpoint.timeline.0, 2);
}

#[tokio::test]
async fn an_old_primary_that_wakes_ends_with_exit_6_and_disturbs_nobody() {
    let (pair, client) = failed_over_under_load().await;
    pair.primary.restart().await.unwrap();
    let old = pair.scenario.client().await;
    // It does not know that it was left behind, and takes what is written to it.
    pair.scenario.enqueue(&old, 200_000..200_010).await;
    old.batch_execute("select pg_switch_wal()").await.unwrap();
    pair.scenario.enqueue(&old, 200_010..200_020).await;
    let only = pair.only(&pair.primary);
    let set = only.iter().flat_map(|set| ["--set", set]);
    let arguments: Vec<&str> = set.chain(["check"]).collect();
    let checked = pair.scenario.command(&arguments, &[]).await;
    let says = "the server is on 1: an old primary";
    assert!(checked.stdout.contains(says), "{}", checked.stdout);
    let texts = ["the server is on timeline 1", "an old primary"];
    let settings = pair.only(&pair.primary);
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    pair.scenario
        .refuses_to_go_on(&old, &settings, 6, &texts)
        .await;
    pair.scenario.enqueue(&client, 100_020..100_040).await;
    pair.scenario.drained(&client).await;
    pair.published_what_survived(&client).await;
    let fenced = pair.scenario.metric("outbox_fenced_total").await;
    assert!(fenced.is_none_or(|fenced| fenced == 0.0), "{fenced:?}");
    assert_calm(&pair.relay);
}

/// Not synchronous: what was published last is lost with the primary.
#[tokio::test]
async fn published_messages_that_a_failover_lost_are_listed_and_end_with_exit_6() {
    let pair = Pair::publishing_to(kafka().await, false).await;
    let client = pair.scenario.client().await;
    pair.standby.caught_up(&pair.primary).await.unwrap();
    pair.standby.stop(testbed::Shutdown::Fast).await.unwrap();
    pair.scenario.enqueue(&client, 20..35).await;
    pair.scenario.drained(&client).await;
    let lost = "select id from outbox.message \
                where convert_from(payload, 'UTF8')::int >= 20";
    let lost = client.query(lost, &[]).await.unwrap();
    let lost: Vec<uuid::Uuid> = lost.iter().map(|row| row.get(0)).collect();
    pair.primary.kill().await.unwrap();
    pair.standby.restart().await.unwrap();
    let client = pair.promoted().await;
    let exit = pair.relay.exited(DEADLINE).await.unwrap();
    assert_eq!(exit.code(), Some(6), "{}", pair.relay.stderr().unwrap());
    let said = pair.relay.stderr().unwrap();
    let listed = lost
        .iter()
        .filter(|id| said.contains(&id.to_string()))
        .count();
    assert_eq!(listed, 15, "each of them is named in the log: {said}");
    // A message of the new history stands where the lost ones stood.
    pair.scenario.enqueue(&client, 100..110).await;
    let texts = ["were lost in the fail-over to timeline 2", "15 messages"];
    let settings = pair.only(&pair.standby);
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    pair.scenario
        .refuses_to_go_on(&client, &settings, 6, &texts)
        .await;
    assert_eq!(pair.scenario.numbers().await, (0..35).collect::<Vec<_>>());
}

/// Which of them is the primary changes with each fail-over, and the relay's address does not.
#[tokio::test]
async fn a_relay_whose_address_names_a_live_standby_first_publishes_from_the_primary() {
    let options = options().setting("log_connections", "on");
    let servers = Servers::start(options, kafka().await).await;
    let scenario = &servers.scenario;
    servers.name(&[&servers.standby, &servers.primary]);
    let relay = scenario.start_active().await;
    let client = scenario.client().await;
    scenario.enqueue(&client, 0..20).await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..20).collect::<Vec<_>>());
    // The standby would have served it: it let the relay in, for SQL and for replication.
    let log = std::fs::read_to_string(servers.standby.log()).unwrap();
    let name = format!("application_name=outbox-sidecar/{}", scenario.relay);
    for what in ["connection authorized", "replication connection authorized"] {
        let what = format!("LOG:  {what}: ");
        let is_there = log
            .lines()
            .any(|line| line.contains(&what) && line.contains(&name));
        assert!(is_there, "{what:?} with {name}: {log}");
    }
    assert_calm(&relay);
}

#[tokio::test]
async fn a_check_says_that_the_server_is_a_standby_where_the_address_names_no_other() {
    let servers = Servers::start(options(), kafka().await).await;
    servers.standby.caught_up(&servers.primary).await.unwrap();
    servers.name(&[&servers.standby]);
    let said = servers.scenario.check(3).await;
    let is_it = |line: &str| {
        line.starts_with("error    server: PostgreSQL ")
            && line.ends_with(" is a standby; fix: name the primary in postgres.url")
    };
    assert!(said.lines().any(is_it), "{said}");
    servers.name(&[&servers.standby, &servers.primary]);
    let said = servers.scenario.check(0).await;
    assert!(!said.contains("is a standby"), "{said}");
}
