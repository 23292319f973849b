//! A message over which the process ends, whoever starts it again.

use std::collections::{BTreeMap, HashSet};

use testbed::{Program, wait};
use tokio_postgres::Client;

use crate::broker::Kind;
use crate::scenario::observation::lines;
use crate::scenario::{DEADLINE, Scenario};

const MESSAGES: usize = 500;
const KEYS: usize = 20;

/// The message that ends whoever hands it to the broker's client.
const CRASHING: usize = 250;

/// Two ends in full batches, one in a small batch, and three of the message alone.
const CRASHES: usize = 6;

/// What a consumer sees while the cause is there: what else of its key waits under `park-key`.
fn others(waits_for_key: bool) -> Vec<usize> {
    let waits = |number: &usize| {
        *number == CRASHING
            || waits_for_key && *number > CRASHING && number % KEYS == CRASHING % KEYS
    };
    (0..MESSAGES).filter(|number| !waits(number)).collect()
}

/// One message a transaction, each with its number.
async fn write(scenario: &Scenario, client: &Client, numbers: std::ops::Range<usize>) {
    let sql = "insert into outbox.message (destination, key, type, payload)
               values ($1, $2, $3, convert_to($4, 'UTF8'))";
    for number in numbers {
        let of_type = if number == CRASHING { "Crashing" } else { "T" };
        let (key, payload) = (format!("k{}", number % KEYS), number.to_string());
        let destination = scenario.target.destination();
        client
            .execute(sql, &[&destination, &key, &of_type, &payload])
            .await
            .unwrap();
    }
}

async fn parked(client: &Client) -> Vec<(usize, String)> {
    let sql = "select convert_from(payload, 'UTF8'), reason from outbox.parked
               where state = 'waiting' order by commit_lsn, index";
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter()
        .map(|row| (row.get::<_, String>(0).parse().unwrap(), row.get(1)))
        .collect()
}

/// The numbers that a consumer has seen, by their first time, each key's in the order in which they
/// came; where nothing may repeat, nothing has.
async fn seen(scenario: &Scenario) -> BTreeMap<usize, Vec<usize>> {
    let mut ids = HashSet::new();
    let mut by_key: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for record in &scenario.records().await {
        if !ids.insert(record.id) {
            assert!(scenario.target.may_repeat(), "{record} came twice");
            continue;
        }
        let payload = record.payload.as_deref().unwrap();
        let number: usize = String::from_utf8_lossy(payload).parse().unwrap();
        by_key.entry(number % KEYS).or_default().push(number);
    }
    by_key
}

fn by_key(numbers: impl IntoIterator<Item = usize>) -> BTreeMap<usize, Vec<usize>> {
    let mut by_key: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for number in numbers {
        by_key.entry(number % KEYS).or_default().push(number);
    }
    by_key
}

/// Starts the relay again and again, as a supervisor would, until it stays up and is done; how often
/// it ended.
async fn supervised(scenario: &Scenario, client: &Client, settings: &[&str]) -> (Program, usize) {
    let end = "select pg_current_wal_insert_lsn()::text";
    let end: String = client.query_one(end, &[]).await.unwrap().get(0);
    let slot = scenario.slot();
    let done = "select confirmed_flush_lsn >= $2::text::pg_lsn from pg_replication_slots
                where slot_name = $1";
    for crashes in 0..=2 * CRASHES {
        let relay = scenario.start_failing("crash-over:Crashing", settings);
        wait::until("the relay ended, held or done", DEADLINE, || async {
            let status = scenario.status().await;
            relay.exit().unwrap().is_some()
                || status.is_some_and(|status| status["phase"] == "held")
                || client.query_one(done, &[&slot, &end]).await.unwrap().get(0)
        })
        .await
        .unwrap();
        match relay.exit().unwrap() {
            Some(exit) => assert_eq!(exit.code(), None, "it aborts"),
            None => return (relay, crashes),
        }
    }
    panic!("it ends over and over, and nothing is set aside");
}

async fn is_found(kind: Kind) {
    let broker = kind.start().await;
    let postgres = testbed::shared_postgres().await.unwrap();
    let scenario = Scenario::to(postgres, broker.target(kind).await).await;
    scenario.init(&[]).await;
    let client = scenario.client().await;
    write(&scenario, &client, 0..MESSAGES).await;
    let (relay, crashes) = supervised(&scenario, &client, &[]).await;
    assert_eq!(crashes, CRASHES);
    assert_eq!(seen(&scenario).await, by_key(others(true)));
    let waiting: Vec<usize> = (CRASHING..MESSAGES).step_by(KEYS).collect();
    let reason = |number: &usize| match *number {
        CRASHING => "crashes",
        _ => "key-blocked",
    };
    let expected: Vec<_> = waiting
        .iter()
        .map(|number| (*number, reason(number).to_owned()))
        .collect();
    assert_eq!(parked(&client).await, expected);
    let list = ["stuck", "list", "--reason", "crashes"];
    let listed = scenario.command(&list, &[]).await;
    assert!(
        listed.stdout.contains("1 message: 1 crashes waiting"),
        "{}",
        listed.stdout
    );
    let slow = "whoever published before ended without a word, again and again: the next messages go \
                in small batches, so that one which ends the process is found";
    assert_eq!(lines(&relay, slow).len(), 1);

    // The cause is gone.
    relay.terminate().unwrap();
    relay.exited(DEADLINE).await.unwrap();
    let relay = scenario.start_active().await;
    let replay = ["stuck", "replay", "--all", "--yes", "--wait"];
    let ran = scenario.command(&replay, &[]).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(seen(&scenario).await, by_key(0..MESSAGES));
    assert!(lines(&relay, slow).is_empty(), "it ended in order");
}

#[tokio::test]
async fn what_ends_the_process_is_found_and_set_aside_by_kafka_exactly_once() {
    is_found(Kind::KafkaExactlyOnce).await;
}

#[tokio::test]
async fn what_ends_the_process_is_found_and_set_aside_by_a_queue() {
    is_found(Kind::ClassicQueue).await;
}

#[tokio::test]
async fn what_ends_the_process_is_found_and_set_aside_by_a_stream() {
    is_found(Kind::Stream).await;
}

#[tokio::test]
async fn under_park_it_alone_is_set_aside_and_one_whose_replay_ends_the_process_waits_again() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    write(&scenario, &client, 0..MESSAGES).await;
    let settings = ["stuck.policy=park"];
    let (relay, crashes) = supervised(&scenario, &client, &settings).await;
    assert_eq!(crashes, CRASHES);
    assert_eq!(seen(&scenario).await, by_key(others(false)));
    relay.kill().await.unwrap();

    // Asked for too early: it ends the process again, and is put back.
    let replay = ["stuck", "replay", "--all", "--yes"];
    let ran = scenario.command(&replay, &[]).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let (relay, crashes) = supervised(&scenario, &client, &settings).await;
    assert!(crashes <= CRASHES, "{crashes}");
    let attempts = "select attempts, reason from outbox.parked where state = 'waiting'";
    let row = client.query_one(attempts, &[]).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), (2, "crashes"));
    relay.terminate().unwrap();
    relay.exited(DEADLINE).await.unwrap();

    let _relay = scenario.start_with(&settings);
    let replay = ["stuck", "replay", "--all", "--yes", "--wait"];
    let ran = scenario.command(&replay, &[]).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let mut expected = by_key(others(false));
    expected.entry(CRASHING % KEYS).or_default().push(CRASHING);
    assert_eq!(seen(&scenario).await, expected);
}

#[tokio::test]
async fn under_halt_the_relay_stays_up_before_it_and_tries_again_when_it_is_restarted() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    write(&scenario, &client, 0..MESSAGES).await;
    let (relay, crashes) = supervised(&scenario, &client, &["stuck.policy=halt"]).await;
    assert_eq!(crashes, CRASHES);
    let status = scenario.status().await.unwrap();
    assert_eq!(status["held"]["reason"], "crashes", "{status}");
    assert_eq!(seen(&scenario).await, by_key(0..CRASHING));
    relay.kill().await.unwrap();
    let _relay = scenario.start_with(&["stuck.policy=halt"]);
    scenario.drained(&client).await;
    assert_eq!(seen(&scenario).await, by_key(0..MESSAGES));
    assert!(parked(&client).await.is_empty());
}

#[tokio::test]
async fn a_relay_that_is_killed_while_it_is_idle_sets_nothing_aside_and_is_fast_again() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let relay = scenario.start_with(&["batch.messages_max=100"]);
    write(&scenario, &client, 0..10).await;
    scenario.drained(&client).await;
    for _ in 0..5 {
        relay.kill().await.unwrap();
        relay.restart().unwrap();
        scenario.phase("active").await;
    }
    let careful = |status: &serde_json::Value| status["careful_messages"] == 100;
    let status = scenario.status_where("careful", careful).await;
    assert_eq!(status["unclean_ends"], 5, "{status}");
    write(&scenario, &client, 10..200).await;
    scenario.drained(&client).await;
    assert_eq!(seen(&scenario).await, by_key(0..200));
    let fast = |status: &serde_json::Value| status["careful_messages"] == 0;
    scenario.status_where("fast again", fast).await;
    assert_eq!(scenario.metric("outbox_unclean_ends").await, Some(0.0));
    let rows = "select count(*) from outbox.parked";
    let rows: i64 = client.query_one(rows, &[]).await.unwrap().get(0);
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn ordinary_running_writes_nothing_of_itself_for_a_batch() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    let version = "select xmin::text || ctid::text from outbox.relay";
    let before: String = client.query_one(version, &[]).await.unwrap().get(0);
    for number in 0..100 {
        write(&scenario, &client, number..number + 1).await;
        scenario.drained(&client).await;
    }
    let batches = scenario
        .metric("outbox_batch_messages_count")
        .await
        .unwrap();
    assert!(batches >= 100.0, "{batches} batches");
    let after: String = client.query_one(version, &[]).await.unwrap().get(0);
    assert_eq!(before, after);
    relay.kill().await.unwrap();
}

#[tokio::test]
async fn a_panic_of_any_thread_ends_the_process_and_says_so() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    write(&scenario, &client, CRASHING..CRASHING + 1).await;
    let relay = scenario.start_failing("panic-over:Crashing", &[]);
    let exit = relay.exited(DEADLINE).await.unwrap();
    assert_eq!(exit.code(), Some(1));
    let said = relay.stderr().unwrap();
    assert!(
        said.contains("thread 'sink'") && said.contains("panicked"),
        "{said}"
    );
    assert!(
        said.contains("outbox-sidecar: a thread panicked: this is a bug, and the process ends"),
        "{said}"
    );
    let sql = "select count(*) from pg_stat_replication where application_name like '%' || $1";
    wait::until("the slot let go", DEADLINE, || async {
        let row = client.query_one(sql, &[&scenario.relay]).await.unwrap();
        row.get::<_, i64>(0) == 0
    })
    .await
    .unwrap();
}
