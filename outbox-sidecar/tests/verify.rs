//! `verify`: what it finds, and that it finds nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use testbed::history::Record;
use tokio_postgres::Client;

use crate::scenario::{DEADLINE, Ran, Scenario, seed};
use crate::target::Topic;

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

/// Empties a topic: every record of it is deleted.
async fn empty(topic: &Topic, partitions: i32) {
    let consumer: BaseConsumer = topic.address.client_config().create().unwrap();
    let mut ends = TopicPartitionList::new();
    for partition in 0..partitions {
        let (_, end) = consumer
            .fetch_watermarks(&topic.name, partition, DEADLINE)
            .unwrap();
        ends.add_partition_offset(&topic.name, partition, Offset::Offset(end))
            .unwrap();
    }
    let admin: AdminClient<DefaultClientContext> = topic.address.client_config().create().unwrap();
    let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(30)));
    admin.delete_records(&ends, &options).await.unwrap();
}

/// Writes a record as the relay would have, into the partition that it was in.
fn write(topic: &Topic, producer: &BaseProducer, record: &Record) {
    let mut headers = OwnedHeaders::new();
    for (key, value) in &record.headers {
        let value = Some(value.as_slice());
        headers = headers.insert(Header { key, value });
    }
    let mut written: BaseRecord<'_, str, [u8]> = BaseRecord::to(&topic.name)
        .partition(record.partition)
        .headers(headers);
    written.key = record.key.as_deref();
    written.payload = record.payload.as_deref();
    producer.send(written).map_err(|(error, _)| error).unwrap();
}

/// The places of a key's records, in their order.
fn of_key(records: &[Record], key: &str) -> Vec<usize> {
    let is_of = |(_, record): &(usize, &Record)| record.key.as_deref() == Some(key);
    records
        .iter()
        .enumerate()
        .filter(is_of)
        .map(|(at, _)| at)
        .collect()
}

#[tokio::test]
async fn each_fault_of_a_topic_is_found_by_its_id_and_nothing_else() {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    enqueue(&scenario, &client, 500).await;

    // Without waiting for the relay: the command does.
    let clean = verify(&scenario, &[], 0).await;
    assert_eq!(clean["counts"], counts(0, 0, 0, 0), "{clean:#}");
    assert_eq!(
        (&clean["rows"], &clean["messages"]),
        (&json!(503), &json!(503))
    );
    assert_eq!(clean["ok"], json!(true));

    let topic = scenario.topic();
    let mut records = scenario.records().await;
    empty(topic, 6).await;
    let pick = |random: &mut fastrand::Rng, key| {
        let places = of_key(&records, key);
        let at = random.usize(0..places.len() - 1);
        (places[at], places[at + 1])
    };
    let (removed, _) = pick(&mut random, "k0");
    let (doubled, _) = pick(&mut random, "k1");
    let (earlier, later) = pick(&mut random, "k2");
    let (altered, _) = pick(&mut random, "k3");
    let id = |records: &[Record], at: usize| vec![records[at].id.unwrap().to_string()];
    let expected = BTreeMap::from([
        ("missing".to_owned(), id(&records, removed)),
        ("duplicated".to_owned(), id(&records, doubled)),
        ("out_of_order".to_owned(), id(&records, earlier)),
        ("altered".to_owned(), id(&records, altered)),
    ]);
    records.swap(earlier, later);
    records[altered].payload.as_mut().unwrap().push(b'!');
    let producer: BaseProducer = topic.address.client_config().create().unwrap();
    for (at, record) in records.iter().enumerate() {
        let times = [1, 0, 2][usize::from(at == removed) + 2 * usize::from(at == doubled)];
        for _ in 0..times {
            write(topic, &producer, record);
        }
    }
    producer.flush(DEADLINE).unwrap();

    let report = verify(&scenario, &[], 3).await;
    assert_eq!(found(&report), expected, "seed {seed}: {report:#}");
    assert_eq!(report["counts"], counts(1, 1, 1, 1), "{report:#}");
    let of = |kind: &str| {
        let findings = report["findings"].as_array().unwrap();
        findings
            .iter()
            .find(|finding| finding["kind"] == kind)
            .unwrap()
    };
    assert_eq!(of("altered")["detail"], "differs in payload");
    assert_eq!(of("missing")["key"], "k0");
    assert_eq!(of("out_of_order")["destination"], topic.name.as_str());
    let position = records[later].header("outbox-position").unwrap();
    assert_eq!(of("out_of_order")["position"], position.as_str());
    assert!(
        report["notes"][0].as_str().unwrap().contains("retention"),
        "{report:#}"
    );

    // The same for people; of the list nothing is wanted.
    let ran = scenario
        .command(&["verify", "--findings-max", "0"], &[])
        .await;
    assert_eq!(ran.code, Some(3));
    assert!(ran.stdout.contains("\nmissing       1\n"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("and 4 more (--findings-max)"),
        "{}",
        ran.stdout
    );
    relay.kill().await.unwrap();
}
