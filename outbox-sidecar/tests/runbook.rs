//! `docs/runbooks/messages-did-not-arrive.md`: each of its commands is typed as it stands there, where a
//! relay is in the state that the text is about, and prints what the text says.

mod trial;

use std::collections::BTreeSet;
use std::time::Duration;

use testbed::history::read;
use testbed::{KafkaServer, wait};

use crate::page::{blocks, commands_in_prose};
use crate::scenario::{DEADLINE, connect};
use trial::{TOO_LARGE_BYTES, Trial, topic_name};

const PAGE: &str = include_str!("../../docs/runbooks/messages-did-not-arrive.md");

const ONE_KEY: [&str; 14] = [
    "status",
    "written",
    "never-written",
    "carried",
    "not-set-aside",
    "list",
    "show",
    "overtaking",
    "refused-again",
    "raise",
    "dry-run",
    "replay",
    "not-set-aside",
    "verify",
];
const NO_RELAY: [&str; 6] = [
    "raise",
    "nobody",
    "request-waits",
    "asked-twice",
    "carried-out",
    "ended",
];
const HALTED: [&str; 3] = ["halted", "halted-no-more", "make-topic"];
const AS_IT_IS_NOT: [&str; 4] = ["replay-all", "elsewhere", "edit", "skip"];
const GONE: [&str; 4] = ["gone", "gone-waits", "gone-made", "gone-replay"];
const BUSY: [&str; 2] = ["raise", "busy"];
const BROKER: [&str; 2] = ["allow", "away"];
const LOST: [&str; 2] = ["lost-dry-run", "lost"];

/// Between two messages of a busy key.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

#[test]
fn every_command_of_the_page_is_tried() {
    let tried: BTreeSet<_> = [
        &ONE_KEY[..],
        &NO_RELAY,
        &HALTED,
        &AS_IT_IS_NOT,
        &GONE,
        &BUSY,
        &BROKER,
        &LOST,
    ]
    .concat()
    .into_iter()
    .collect();
    let written: BTreeSet<_> = blocks(PAGE).into_keys().collect();
    assert_eq!(tried, written);
    assert_eq!(
        commands_in_prose(PAGE),
        [""; 0],
        "commands belong into blocks"
    );
}

#[tokio::test]
async fn a_message_that_blocks_its_key_is_found_mended_and_replayed() {
    let mut trial = Trial::new(&ONE_KEY).await;
    trial.small_topic().await;
    let since = "select to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let since: String = trial.client.query_one(since, &[]).await.unwrap().get(0);
    trial.set("SINCE", since);
    let _relay = trial.scenario.start_active().await;
    trial.step("status").await;
    trial.client.batch_execute("begin").await.unwrap();
    let rolled_back = trial.enqueue("any", None, "").await;
    trial.client.batch_execute("rollback").await.unwrap();
    trial.set("ROLLED_BACK", rolled_back);
    trial.block_the_key().await;
    for step in &ONE_KEY[1..] {
        trial.step(step).await;
    }
    trial.finish();
}

#[tokio::test]
async fn a_request_waits_for_a_relay_that_is_away() {
    let mut trial = Trial::new(&NO_RELAY).await;
    trial.small_topic().await;
    let relay = trial.scenario.start_active().await;
    trial.block_the_key().await;
    trial.scenario.drained(&trial.client).await;
    relay.terminate().unwrap();
    assert_eq!(relay.exited(DEADLINE).await.unwrap().code(), Some(0));
    for step in ["raise", "nobody", "request-waits", "asked-twice"] {
        trial.step(step).await;
    }
    let relay = trial.scenario.start_active().await;
    trial.carried_out().await;
    trial.step("carried-out").await;
    relay.kill().await.unwrap();
    let drop = "select pg_drop_replication_slot($1)";
    let slot = trial.scenario.slot();
    wait::until("the slot dropped", DEADLINE, || async {
        trial.client.execute(drop, &[&slot]).await.is_ok()
    })
    .await
    .unwrap();
    trial.step("ended").await;
    trial.finish();
}

#[tokio::test]
async fn a_halted_relay_goes_on_once_its_message_may_be_set_aside() {
    let mut trial = Trial::new(&HALTED).await;
    let missing = topic_name("missing");
    trial.set("MISSING", missing.clone());
    let relay = trial.scenario.start_with(&["stuck.policy=halt"]);
    trial.scenario.phase("active").await;
    let key = trial.get("KEY").to_owned();
    let id = trial.enqueue(&missing, Some(&key), "1").await;
    trial.set("ID", id);
    let is_held = |status: &serde_json::Value| status["held"].is_object();
    trial.scenario.status_where("held", is_held).await;
    trial.step("halted").await;
    relay.terminate().unwrap();
    relay.exited(DEADLINE).await.unwrap();
    let _relay = trial.scenario.start_active().await;
    trial.waiting(1).await;
    trial.step("halted-no-more").await;
    trial.enqueue(&missing, Some(&key), "2").await;
    trial.waiting(2).await;
    trial.step("make-topic").await;
    trial.finish();
}

#[tokio::test]
async fn what_cannot_go_as_it_is_goes_elsewhere_or_corrected_or_not_at_all() {
    let mut trial = Trial::new(&AS_IT_IS_NOT).await;
    let invalid = "orders/eu";
    trial.set("INVALID", invalid);
    let compacted = topic_name("compacted");
    let policy = [("cleanup.policy", "compact")];
    let topic = trial.scenario.topic();
    let made = topic.address.create_topic_with(&compacted, 1, &policy);
    made.await.unwrap();
    trial.set("COMPACTED", compacted.clone());
    let _relay = trial.scenario.start_active().await;
    trial.enqueue(invalid, Some("a"), "1").await;
    trial.enqueue(invalid, Some("a"), "2").await;
    let rejected = trial.enqueue(&compacted, None, "3").await;
    trial.set("REJECTED", rejected);
    let headers = "insert into outbox.message (destination, key, type, payload, headers) \
                   values ($1, 'b', 'PolicyIssued', '4', '{\"outbox-tenant\": \"7\"}') returning id::text";
    let destination = trial.get("DESTINATION").to_owned();
    let headers = trial.client.query_one(headers, &[&destination]).await;
    trial.set("HEADERS", headers.unwrap().get::<_, String>(0));
    trial.waiting(4).await;
    for step in &AS_IT_IS_NOT {
        trial.step(step).await;
    }
    let records = trial.scenario.records().await;
    let of = |key: &str| -> Vec<_> {
        let ours = records.iter().filter(|r| r.key.as_deref() == Some(key));
        ours.map(|r| (r.payload.clone().unwrap(), r.header("tenant")))
            .collect()
    };
    assert_eq!(of("a"), [(b"1".to_vec(), None), (b"2".to_vec(), None)]);
    assert_eq!(of("b"), [(b"4".to_vec(), Some("7".to_owned()))]);
    trial.finish();
}

#[tokio::test]
async fn a_consumer_that_lost_its_data_gets_it_again() {
    let mut trial = Trial::new(&LOST).await;
    let now = "select to_char(clock_timestamp() at time zone 'UTC', \
               'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let _relay = trial.scenario.start_active().await;
    let destination = trial.get("DESTINATION").to_owned();
    trial.enqueue(&destination, Some("a"), "before").await;
    let since: String = trial.client.query_one(now, &[]).await.unwrap().get(0);
    trial.set("SINCE", since);
    for (key, payload) in [("a", "1"), ("b", "2"), ("a", "3")] {
        trial.enqueue(&destination, Some(key), payload).await;
    }
    let until: String = trial.client.query_one(now, &[]).await.unwrap().get(0);
    trial.set("UNTIL", until);
    trial.enqueue(&destination, Some("a"), "behind").await;
    trial.scenario.drained(&trial.client).await;
    for step in &LOST {
        trial.step(step).await;
    }
    assert_eq!(trial.scenario.records().await.len(), 8);
    trial.finish();
}

#[tokio::test]
async fn a_destination_that_is_gone_comes_back_by_itself() {
    let mut trial = Trial::new(&GONE).await;
    let kafka = trial.scenario.topic().address.clone();
    let gone = topic_name("gone");
    kafka.create_topic(&gone, 6).await.unwrap();
    trial.set("GONE", gone.clone());
    let _relay = trial.scenario.start_with(&[
        "stuck.gone_after=5",
        "stuck.gone_messages_max=20",
        "retry.delay_ms_max=1000",
    ]);
    trial.scenario.phase("active").await;
    trial.enqueue(&gone, Some("0"), "there").await;
    trial.scenario.drained(&trial.client).await;
    kafka.delete_topic(&gone).await.unwrap();
    let destination = trial.get("DESTINATION").to_owned();
    // What comes before the broker has noticed the deletion is gone with the topic.
    let mut last = 0;
    while trial.count_waiting().await < 10 {
        last += 1;
        trial.enqueue(&gone, Some(&last.to_string()), "").await;
        trial.enqueue(&destination, None, "").await;
        trial.scenario.drained(&trial.client).await;
    }
    let others = last;
    trial.step("gone").await;
    for _ in 0..50 {
        last += 1;
        trial.enqueue(&gone, Some(&last.to_string()), "").await;
    }
    let waits = |status: &serde_json::Value| {
        let error = status["sink"]["error"].as_str().unwrap_or_default();
        error.starts_with("destination-gone: ")
    };
    trial.scenario.status_where("waiting", waits).await;
    trial.step("gone-waits").await;
    trial.step("gone-made").await;
    trial.scenario.drained(&trial.client).await;
    trial.step("gone-replay").await;
    let records = read(&kafka, &[&gone], DEADLINE).await.unwrap();
    let mut keys: Vec<usize> = records
        .iter()
        .map(|record| record.key.as_deref().unwrap().parse().unwrap())
        .collect();
    keys.sort_unstable();
    assert_eq!(keys, (keys[0]..=last).collect::<Vec<_>>());
    assert!(keys.len() >= 60, "all that was set aside: {keys:?}");
    assert_eq!(trial.scenario.records().await.len(), others);
    trial.finish();
}

#[tokio::test]
async fn a_busy_key_is_freed_while_its_messages_keep_coming() {
    let mut trial = Trial::new(&BUSY).await;
    trial.small_topic().await;
    let _relay = trial.scenario.start_active().await;
    let (destination, key) = (
        trial.get("DESTINATION").to_owned(),
        trial.get("KEY").to_owned(),
    );
    let large = format!("0{}", " ".repeat(TOO_LARGE_BYTES));
    trial.enqueue(&destination, Some(&key), &large).await;
    let client = connect(&trial.scenario.database_url).await;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let topic = destination.clone();
    let writer = tokio::spawn(async move {
        let sql = "insert into outbox.message (destination, key, type, payload) \
                   values ($1, $2, 'PolicyIssued', convert_to($3, 'UTF8'))";
        let mut number = 1;
        let mut pace = tokio::time::interval(BUSY_PAUSE);
        while stopped.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
            let payload = number.to_string();
            let written = client.execute(sql, &[&topic, &key, &payload]).await;
            written.unwrap();
            number += 1;
            pace.tick().await;
        }
        number
    });
    trial.waiting(20).await;
    trial.step("raise").await;
    trial.step("busy").await;
    stop.send(()).unwrap();
    let count: usize = writer.await.unwrap();
    trial.scenario.drained(&trial.client).await;
    let kafka = &trial.scenario.topic().address;
    let records = read(kafka, &[&destination], DEADLINE).await.unwrap();
    let number =
        |payload: &[u8]| -> usize { String::from_utf8_lossy(payload).trim().parse().unwrap() };
    let numbers: Vec<_> = records
        .iter()
        .map(|record| number(record.payload.as_deref().unwrap()))
        .collect();
    assert_eq!(numbers, (0..count).collect::<Vec<_>>());
    trial.finish();
}

#[tokio::test]
async fn a_broker_that_forbids_and_one_that_is_away() {
    let options = KafkaServer::options().authorizer();
    let kafka = options.start().await.unwrap();
    let postgres = testbed::shared_postgres().await.unwrap();
    let mut trial = Trial::on(postgres, kafka.address(), &BROKER).await;
    let denied = topic_name("denied");
    kafka.create_topic(&denied, 1).await.unwrap();
    trial.set("DENIED", denied.clone());
    trial.set("USER", "ANONYMOUS");
    // A topic that somebody has rights to is closed to all others.
    let other = format!(
        "kafka-acls.sh --bootstrap-server {} --add --allow-principal User:other --operation WRITE \
         --topic {denied}",
        kafka.bootstrap()
    );
    let ran = trial.shell(&other).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let _relay = trial.scenario.start_with(&["retry.delay_ms_max=1000"]);
    trial.scenario.phase("active").await;
    let key = trial.get("KEY").to_owned();
    let id = trial.enqueue(&denied, Some(&key), "1").await;
    trial.set("ID", id);
    trial.waiting(1).await;
    trial.step("allow").await;
    let destination = trial.get("DESTINATION").to_owned();
    trial.enqueue(&destination, None, "2").await;
    trial.scenario.drained(&trial.client).await;
    kafka.kill().await.unwrap();
    trial.enqueue(&destination, None, "3").await;
    let is_away = |status: &serde_json::Value| status["sink"]["error"].is_string();
    trial.scenario.status_where("away", is_away).await;
    trial.step("away").await;
    kafka.restart().await.unwrap();
    trial.scenario.drained(&trial.client).await;
    assert_eq!(trial.scenario.records().await.len(), 2);
    trial.finish();
}
