//! `verify`: what it finds, and that it finds nothing else.

mod faults;
mod positions;
mod set_aside;
mod super_stream;

use std::collections::BTreeMap;

use lapin::options::QueueDeleteOptions;
use rdkafka::producer::{BaseProducer, Producer};
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::scenario::{DEADLINE, Ran, Scenario, seed};
use crate::target::Target;
use crate::trials::audit::audit;
use crate::trials::large_audit::large_audit;
use faults::{Faults, empty, publish, rows, runs, with_faults, write};

/// Runs `verify --json`, which ends with this exit code.
async fn verify(scenario: &Scenario, options: &[&str], code: i32) -> Value {
    let ran = run(scenario, options).await;
    assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

async fn run(scenario: &Scenario, options: &[&str]) -> Ran {
    let arguments: Vec<_> = ["verify", "--json"]
        .iter()
        .chain(options)
        .copied()
        .collect();
    scenario.command(&arguments, &[]).await
}

/// The ids of each kind of finding, sorted.
fn found(report: &Value) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for finding in report["findings"].as_array().unwrap() {
        let text = |name: &str| finding[name].as_str().unwrap().to_owned();
        found.entry(text("kind")).or_default().push(text("id"));
    }
    found
}

fn counts(missing: u64, duplicated: u64, out_of_order: u64, altered: u64) -> Value {
    json!({
        "missing": missing,
        "duplicated": duplicated,
        "out_of_order": out_of_order,
        "altered": altered,
    })
}

/// Rows of every shape, each in a transaction of its own but the last: keys `k0` to `k6`.
async fn enqueue(scenario: &Scenario, client: &Client, rows: i32) {
    let destination = scenario.target.destination();
    let sql = "insert into outbox.message (destination, key, type, content_type, payload, headers) \
               select $1, 'k' || n % 7, 'T' || n % 3, 'text/plain', convert_to(n::text, 'UTF8'), \
                      case when n % 2 = 0 then jsonb_build_object('tenant', n::text, 'ü', 'é\"') \
                           else '{}' end \
               from generate_series($2::int, $3::int) n";
    for first in (0..rows).step_by(50) {
        let last = rows.min(first + 50) - 1;
        client
            .execute(sql, &[&destination, &first, &last])
            .await
            .unwrap();
    }
    let others = format!(
        "insert into outbox.message (destination, key, type, payload) values \
         ('{destination}', null, 'Keyless', null), ('{destination}', '', 'Empty', ''), \
         ('{destination}', '{}', 'Long', convert_to(repeat('x', 100000), 'UTF8'))",
        "key ".repeat(100)
    );
    client.batch_execute(&others).await.unwrap();
}

/// Runs `verify`, which must find these faults and nothing else.
async fn finds(scenario: &Scenario, faults: &Faults) -> Value {
    let report = verify(scenario, &[], 3).await;
    assert_eq!(found(&report), faults.expected, "{report:#}");
    assert_eq!(report["counts"], counts(1, 1, 1, 1), "{report:#}");
    let of = |kind: &str| {
        let findings = report["findings"].as_array().unwrap();
        let of_kind = findings.iter().find(|finding| finding["kind"] == kind);
        of_kind.unwrap().clone()
    };
    assert_eq!(of("altered")["detail"], "differs in payload");
    assert_eq!(of("missing")["key"], "k0");
    let destination = scenario.target.destination();
    assert_eq!(of("out_of_order")["destination"], destination);
    assert_eq!(of("out_of_order")["position"], faults.position.as_str());
    report
}

async fn finds_nothing(scenario: &Scenario, rows: u64) {
    let report = verify(scenario, &[], 0).await;
    assert_eq!(report["counts"], counts(0, 0, 0, 0), "{report:#}");
    assert_eq!(report["ok"], json!(true));
    assert_eq!(
        (&report["rows"], &report["messages"]),
        (&json!(rows), &json!(rows)),
        "{report:#}"
    );
}

#[tokio::test]
async fn each_fault_of_a_topic_is_found_by_its_id_and_nothing_else() {
    let mut random = fastrand::Rng::with_seed(seed());
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let _relay = scenario.start_active().await;
    enqueue(&scenario, &client, 500).await;
    // The command waits for the relay.
    finds_nothing(&scenario, 503).await;

    let topic = scenario.topic();
    let faults = with_faults(scenario.records().await, &mut random);
    empty(topic, 6).await;
    let producer: BaseProducer = topic.address.client_config().create().unwrap();
    for record in &faults.records {
        write(topic, &producer, record);
    }
    producer.flush(DEADLINE).unwrap();
    let report = finds(&scenario, &faults).await;
    let notes = report["notes"].to_string();
    assert!(notes.contains("retention"), "{report:#}");

    // The same for people; of the list nothing is wanted.
    let arguments = ["verify", "--findings-max", "0"];
    let ran = scenario.command(&arguments, &[]).await;
    assert_eq!(ran.code, Some(3));
    assert!(ran.stdout.contains("\nmissing       1\n"), "{}", ran.stdout);
    let rest = "and 4 more (--findings-max)";
    assert!(ran.stdout.contains(rest), "{}", ran.stdout);
}

#[tokio::test]
async fn what_was_rolled_back_is_counted_and_what_is_open_is_waited_for() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let _relay = scenario.start_active().await;
    enqueue(&scenario, &client, 50).await;
    finds_nothing(&scenario, 53).await;

    let topic = scenario.topic();
    let records = scenario.records().await;
    let mut config = topic.address.client_config();
    config.set("transactional.id", testbed::unique::name("stranger"));
    config.set("transaction.timeout.ms", "600000");
    let stranger: BaseProducer = config.create().unwrap();
    stranger.init_transactions(DEADLINE).unwrap();
    stranger.begin_transaction().unwrap();
    for record in &records[..3] {
        write(topic, &stranger, record);
    }
    stranger.flush(DEADLINE).unwrap();
    // The same patience serves for the relay's checkpoint, which may need some.
    testbed::wait::until("an open transaction named", DEADLINE, || async {
        let ran = run(&scenario, &["--wait-s", "7"]).await;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        ran.stderr.contains("stays open")
    })
    .await
    .unwrap();

    stranger.abort_transaction(DEADLINE).unwrap();
    let report = verify(&scenario, &[], 0).await;
    assert_eq!(report["rolled_back"], 3, "{report:#}");
    assert_eq!(report["messages"], 53, "{report:#}");

    // A transaction that commits shows them twice.
    stranger.begin_transaction().unwrap();
    write(topic, &stranger, &records[0]);
    stranger.flush(DEADLINE).unwrap();
    stranger.commit_transaction(DEADLINE).unwrap();
    let report = verify(&scenario, &[], 3).await;
    assert_eq!(report["counts"], counts(0, 1, 0, 0), "{report:#}");
    assert_eq!(report["rolled_back"], 3, "{report:#}");
}

#[tokio::test]
async fn each_fault_of_a_stream_is_found_by_its_id_and_nothing_else() {
    let mut random = fastrand::Rng::with_seed(seed());
    let postgres = testbed::shared_postgres().await.unwrap();
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let scenario = Scenario::to(postgres, Target::stream(rabbit).await).await;
    scenario.init(&[]).await;
    let client = scenario.client().await;
    let _relay = scenario.start_active().await;
    // An empty stream sends nothing.
    finds_nothing(&scenario, 0).await;
    enqueue(&scenario, &client, 500).await;
    finds_nothing(&scenario, 503).await;

    let records = scenario.records().await;
    let faults = with_faults(records, &mut random);
    let (address, stream) = (rabbit.address(), scenario.target.destination());
    let channel = address.channel().await.unwrap();
    let deleting = channel.queue_delete(stream.into(), QueueDeleteOptions::default());
    deleting.await.unwrap();
    let checkpoint = scenario.target.checkpoint(&scenario.relay, &client).await;
    let gone = verify(&scenario, &[], 3).await;
    assert_eq!(gone["counts"], counts(503, 0, 0, 0), "{gone:#}");
    assert_eq!(gone["findings"].as_array().unwrap().len(), 100);
    address.create_queue(stream, "stream").await.unwrap();
    let runs = runs(&faults.records, &rows(&client).await);
    let url = address.stream_url();
    let publishing = move || publish(&url, runs, &checkpoint.unwrap());
    tokio::task::spawn_blocking(publishing).await.unwrap();
    finds(&scenario, &faults).await;
}

#[tokio::test]
async fn a_relay_that_is_behind_is_said_to_be() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    enqueue(&scenario, &client, 10).await;
    let ran = run(&scenario, &["--wait-s", "1"]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(
        ran.stderr.contains("the relay is behind by "),
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn rows_are_chosen_by_when_they_were_enqueued() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let _relay = scenario.start_active().await;
    enqueue(&scenario, &client, 100).await;
    let sql =
        "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.USZ')";
    let between: String = client.query_one(sql, &[]).await.unwrap().get(0);
    enqueue(&scenario, &client, 200).await;
    let rows = |report: &Value| report["rows"].as_u64().unwrap();
    let later = verify(&scenario, &["--from", &between], 0).await;
    let earlier = verify(&scenario, &["--to", &between], 0).await;
    assert_eq!((rows(&earlier), rows(&later)), (103, 203));
    // What lies outside is neither missing nor too much.
    assert_eq!(later["without_row"], 0, "{later:#}");
    let ran = run(&scenario, &["--from", &between, "--to", &between]).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
}

#[tokio::test]
async fn a_queue_is_not_compared_and_loses_nothing() {
    let postgres = testbed::shared_postgres().await.unwrap();
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let scenario = Scenario::to(postgres, Target::queue(rabbit, "classic").await).await;
    scenario.init(&[]).await;
    let client = scenario.client().await;
    let _relay = scenario.start_active().await;
    scenario.enqueue(&client, 0..10).await;
    scenario.drained(&client).await;
    let ran = run(&scenario, &[]).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.stderr.contains("a queue cannot be compared"),
        "{}",
        ran.stderr
    );
    assert_eq!(scenario.numbers().await, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn faults_among_many_messages_are_found_in_bounded_memory() {
    audit(30_000).await;
}

#[tokio::test]
async fn what_was_set_aside_among_many_messages_is_counted_in_bounded_memory() {
    large_audit(20_000).await;
}
