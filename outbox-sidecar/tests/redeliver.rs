//! What was published in a range of time is published once more, marked, and exactly once.

mod left_out;

use std::collections::BTreeMap;

use serde_json::Value;
use testbed::KafkaAddress;
use testbed::history::Record;
use tokio_postgres::Client;

use crate::scenario::{DEADLINE, Scenario};
use crate::target::Target;

/// What the relay refuses of messages of 2,000 bytes.
const LIMITED: &str = "limits.message_bytes_max=1000B";

/// The server's clock, as the command takes it.
async fn now(client: &Client) -> String {
    let sql =
        "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.USZ')";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Runs `redeliver --json` for a range, which ends with this exit code.
async fn redeliver(
    scenario: &Scenario,
    (from, to): (&str, &str),
    options: &[&str],
    code: i32,
) -> Value {
    let range = ["redeliver", "--json", "--from", from, "--to", to];
    let arguments: Vec<_> = range.iter().chain(options).copied().collect();
    let ran = scenario.command(&arguments, &[]).await;
    assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap_or_default()
}

async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

fn number(record: &Record) -> usize {
    let payload = record.payload.as_deref().unwrap();
    String::from_utf8_lossy(payload).trim().parse().unwrap()
}

fn is_again(record: &Record) -> bool {
    let request = record.header("outbox-redelivery");
    assert_eq!(request.is_some(), record.header("outbox-replay").is_some());
    request.is_some()
}

/// The numbers that came again, by key in their order; and that the originals came once.
fn again(records: &[Record], originals: std::ops::Range<usize>) -> BTreeMap<String, Vec<usize>> {
    let (again, first): (Vec<_>, Vec<_>) = records.iter().partition(|record| is_again(record));
    let mut numbers: Vec<_> = first.iter().map(|record| number(record)).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, originals.collect::<Vec<_>>(), "the originals");
    let ids: BTreeMap<_, _> = first
        .iter()
        .map(|record| (number(record), record.id))
        .collect();
    let mut keys: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for record in again {
        assert_eq!(record.id, ids[&number(record)]);
        let key = record.key.clone().unwrap_or_default();
        keys.entry(key).or_default().push(number(record));
    }
    keys
}

/// What [`Scenario::enqueue`] wrote, by key.
fn by_key(numbers: impl Iterator<Item = usize>) -> BTreeMap<String, Vec<usize>> {
    let mut keys: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for number in numbers {
        keys.entry(format!("k{}", number % 7))
            .or_default()
            .push(number);
    }
    keys
}

async fn read(kafka: &KafkaAddress, topic: &str) -> Vec<Record> {
    testbed::history::read(kafka, &[topic], DEADLINE)
        .await
        .unwrap()
}

async fn verified(scenario: &Scenario, sent_again: usize) {
    let ran = scenario.command(&["verify", "--json"], &[]).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["sent_again"], sent_again, "{report:#}");
}

#[tokio::test]
async fn a_range_of_time_comes_again_where_it_was_or_elsewhere() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let _relay = scenario.start_active().await;
    scenario.enqueue(&client, 0..20).await;
    let from = now(&client).await;
    scenario.enqueue(&client, 20..60).await;
    let to = now(&client).await;
    scenario.enqueue(&client, 60..70).await;
    scenario.drained(&client).await;
    let range = (from.as_str(), to.as_str());

    let said = redeliver(&scenario, range, &["--dry-run"], 0).await;
    assert_eq!((&said["chosen"], &said["keys"]), (&40.into(), &7.into()));
    assert_eq!(said["presence"], "running");
    redeliver(&scenario, range, &[], 2).await;
    assert_eq!(
        count(&client, "select count(*) from outbox.request").await,
        0
    );
    assert_eq!(scenario.records().await.len(), 70);

    // Messages keep coming meanwhile.
    let asked = redeliver(&scenario, range, &["--yes", "--wait", "--rate", "25"], 0);
    let writer = scenario.client().await;
    let (asked, ()) = tokio::join!(asked, scenario.enqueue(&writer, 70..120));
    assert_eq!(asked["outcome"]["published"], 40, "{asked:#}");
    assert_eq!(asked["requests"].as_array().unwrap().len(), 2);
    scenario.drained(&client).await;
    let records = scenario.records().await;
    assert_eq!(again(&records, 0..120), by_key(20..60));
    verified(&scenario, 40).await;
    assert_eq!(
        count(&client, "select count(*) from outbox.redelivery").await,
        0
    );

    let kafka = &scenario.topic().address;
    let other = kafka.create_unique_topic("again", 2).await.unwrap();
    let elsewhere = [
        "--destination",
        &other,
        "--key",
        "k1",
        "--key",
        "k2",
        "--yes",
        "--wait",
    ];
    redeliver(&scenario, range, &elsewhere, 0).await;
    let there: Vec<_> = read(kafka, &other).await.iter().map(number).collect();
    let mut sorted = there.clone();
    sorted.sort_unstable();
    let expected = (20..60).filter(|number| [1, 2].contains(&(number % 7)));
    assert_eq!(sorted, expected.collect::<Vec<_>>());
    verified(&scenario, 40).await;
    let published = scenario
        .metric("outbox_redeliveries_total{outcome=\"published\"}")
        .await;
    assert_eq!(published, Some(40.0 + there.len() as f64));
}

/// What was published may be gone from the table by the time the relay comes to the request.
#[tokio::test]
async fn a_redelivery_waits_for_a_relay_that_is_away_and_needs_the_table_no_more() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    let from = now(&client).await;
    scenario.enqueue(&client, 0..30).await;
    scenario.drained(&client).await;
    relay.kill().await.unwrap();
    let to = now(&client).await;
    let said = redeliver(&scenario, (&from, &to), &["--yes"], 0).await;
    assert_eq!(
        (&said["presence"], &said["asked"]),
        (&"away".into(), &30.into())
    );
    let gone = "truncate outbox.message";
    client.batch_execute(gone).await.unwrap();
    let _relay = scenario.start_active().await;
    scenario.drained(&client).await;
    assert_eq!(again(&scenario.records().await, 0..30), by_key(0..30));
}

#[tokio::test]
async fn killed_at_every_step_of_a_redelivery_its_messages_come_once_more() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let mut expected = BTreeMap::new();
    for (round, failpoint) in [
        "replay-before-take-commits",
        "replay-taken",
        "replay-before-put-back-commits",
        "replay-put-back",
        "replay-published",
        "replay-before-finish-commits",
        "replay-finished",
    ]
    .into_iter()
    .enumerate()
    {
        let relay = scenario.start_active().await;
        let from = now(&client).await;
        let first = round * 10;
        let sql = "insert into outbox.message (destination, key, type, payload)
                   values ($1, $2, 'T', convert_to(rpad($3, $4, ' '), 'UTF8'))";
        for (number, bytes) in [(first, 10), (first + 1, 2000), (first + 2, 10)] {
            let (destination, key) = (scenario.target.destination(), format!("k{round}"));
            client
                .execute(sql, &[&destination, &key, &number.to_string(), &bytes])
                .await
                .unwrap();
        }
        scenario.drained(&client).await;
        relay.kill().await.unwrap();
        let to = now(&client).await;
        redeliver(&scenario, (&from, &to), &["--yes"], 0).await;
        let is_refused = failpoint.contains("put-back");
        let limits = if is_refused { &[LIMITED][..] } else { &[] };
        let failing = scenario.start_failing(failpoint, limits);
        let exit = failing.exited(DEADLINE).await.unwrap();
        assert_eq!(exit.code(), None, "{failpoint} should have killed it");
        let relay = scenario.start_with(limits);
        scenario.drained(&client).await;
        relay.kill().await.unwrap();
        let numbers = (first..first + 3).filter(|number| !is_refused || *number != first + 1);
        expected.insert(format!("k{round}"), numbers.collect::<Vec<_>>());
        let records = scenario.records().await;
        let again: Vec<&Record> = records.iter().filter(|record| is_again(record)).collect();
        for (key, numbers) in &expected {
            let of_key = again
                .iter()
                .filter(|record| record.key.as_ref() == Some(key));
            let seen: Vec<_> = of_key.map(|record| number(record)).collect();
            assert_eq!(&seen, numbers, "{failpoint}");
        }
        assert_eq!(
            records.len() - again.len(),
            3 * (round + 1),
            "the originals"
        );
    }
    let left = "select count(*) from outbox.redelivery where reason = 'too-large'";
    assert_eq!(count(&client, left).await, 2);
    let open = "select count(*) from outbox.request where state <> 'done' or returned <> taken - published";
    assert_eq!(count(&client, open).await, 0);
    let _relay = scenario.start_active().await;
    verified(&scenario, 19).await;
}

async fn comes_again_once(target: Target) -> Scenario {
    let postgres = testbed::shared_postgres().await.unwrap();
    let scenario = Scenario::to(postgres, target).await;
    scenario.init(&[]).await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    let from = now(&client).await;
    scenario.enqueue(&client, 0..40).await;
    scenario.drained(&client).await;
    let to = now(&client).await;
    let range = (from.as_str(), to.as_str());
    redeliver(&scenario, range, &["--yes", "--wait"], 0).await;
    scenario.enqueue(&client, 40..50).await;
    scenario.drained(&client).await;
    assert_eq!(again(&scenario.records().await, 0..50), by_key(0..40));
    // Once more, and the relay dies with it published and not noted.
    relay.kill().await.unwrap();
    redeliver(&scenario, range, &["--yes", "--key", "k3"], 0).await;
    let failing = scenario.start_failing("replay-published", &[]);
    failing.exited(DEADLINE).await.unwrap();
    let _relay = scenario.start_active().await;
    scenario.enqueue(&client, 50..60).await;
    scenario.drained(&client).await;
    let mut expected = by_key(0..40);
    expected
        .entry("k3".to_owned())
        .or_default()
        .extend(by_key(0..40).remove("k3").unwrap());
    assert_eq!(again(&scenario.records().await, 0..60), expected);
    scenario
}

#[tokio::test]
async fn a_range_comes_again_in_a_stream() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let scenario = comes_again_once(Target::stream(rabbit).await).await;
    let _relay = scenario.start();
    verified(&scenario, 46).await;
}

#[tokio::test]
async fn a_range_comes_again_in_a_queue() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    comes_again_once(Target::queue(rabbit, "classic").await).await;
}
