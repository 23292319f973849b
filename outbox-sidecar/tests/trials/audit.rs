//! `verify` of a large table: one fault of each kind, and how much memory it takes to find them.

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use testbed::wait;
use tokio_postgres::Client;

use crate::scenario::memory::resident_kibibytes_max;
use crate::scenario::{DEADLINE, Scenario, seed};
use crate::target::Topic;

/// What the command may hold in memory, whatever the table has.
const MEMORY_KIBIBYTES_MAX: u64 = 128 * 1024;
/// How long the command may take: the wait that it is allowed, and as long again to compare.
const VERIFY_MAX: Duration = Duration::from_secs(1200);
/// How long the relay may take to publish everything.
const PUBLISH_MAX: Duration = Duration::from_secs(1800);
/// Rows of one transaction.
const ROWS_AT_ONCE: usize = 50_000;
/// Of the topic.
const PARTITIONS: i32 = 6;
/// The key whose only two messages change places.
const SWAPPED: &str = "swapped";

/// Enqueues so many rows, and finds nothing; plants four faults, and finds those.
pub(crate) async fn audit(rows: usize) {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let _relay = scenario.start_active().await;
    enqueue(&scenario, &client, rows).await;
    let total = rows + 2;
    let clean = verify(&scenario, 0).await;
    assert_eq!(clean["ok"], json!(true), "{clean:#}");
    assert_eq!(
        (&clean["rows"], &clean["messages"]),
        (&json!(total), &json!(total))
    );

    let third = rows / 3;
    let [doubled, altered, removed] =
        [0, third, 2 * third].map(|from| (from + random.usize(0..third)).to_string());
    let doubled = id_of(&client, "payload = convert_to($1, 'UTF8')", &doubled).await;
    let earlier = id_of(&client, "type = $1", "first").await;
    let later = id_of(&client, "type = $1", "second").await;
    let messages = find(scenario.topic(), &[&doubled, &earlier, &later]);
    // Updates are not published: the table says otherwise than the topic from now on.
    let change = async |change: &str, payload: &str| {
        let sql = format!(
            "update outbox.message set {change} where payload = convert_to($1, 'UTF8') \
             returning id::text"
        );
        let row = client.query_one(&sql, &[&payload]).await.unwrap();
        row.get::<_, String>(0)
    };
    let altered = change("payload = payload || '!'", &altered).await;
    let removed = change("id = gen_random_uuid()", &removed).await;
    let producer: BaseProducer = scenario.topic().address.client_config().create().unwrap();
    write(&producer, &messages[&doubled], &doubled);
    let new_earlier = change("id = gen_random_uuid()", "first").await;
    let new_later = change("id = gen_random_uuid()", "second").await;
    write(&producer, &messages[&later], &new_later);
    write(&producer, &messages[&earlier], &new_earlier);
    producer.flush(DEADLINE).unwrap();

    let report = verify(&scenario, 3).await;
    let found: Vec<(&str, &str)> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| {
            (
                found["kind"].as_str().unwrap(),
                found["id"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("missing", removed.as_str()),
        ("duplicated", doubled.as_str()),
        ("out_of_order", new_earlier.as_str()),
        ("altered", altered.as_str()),
    ];
    assert_eq!(found, expected, "seed {seed}: {report:#}");
    // What had the ids that were changed.
    assert_eq!(report["without_row"], 3, "{report:#}");
}

pub(super) async fn enqueue(scenario: &Scenario, client: &Client, rows: usize) {
    let topic = &scenario.topic().name;
    for first in (0..rows).step_by(ROWS_AT_ONCE) {
        let last = rows.min(first + ROWS_AT_ONCE) - 1;
        let insert = format!(
            "insert into outbox.message (destination, key, type, payload, headers) \
             select '{topic}', 'key-' || n % 100003, 'T', convert_to(n::text, 'UTF8'), \
                    jsonb_build_object('tenant', n::text) \
             from generate_series({first}, {last}) n"
        );
        client.batch_execute(&insert).await.unwrap();
    }
    let swapped = format!(
        "insert into outbox.message (destination, key, type, payload) values \
         ('{topic}', '{SWAPPED}', 'first', 'first'), ('{topic}', '{SWAPPED}', 'second', 'second')"
    );
    client.batch_execute(&swapped).await.unwrap();
}

async fn id_of(client: &Client, condition: &str, value: &str) -> String {
    let sql = format!("select id::text from outbox.message where {condition}");
    client.query_one(&sql, &[&value]).await.unwrap().get(0)
}

/// Runs `verify --json`, which ends with this exit code and stays within its memory.
pub(super) async fn verify(scenario: &Scenario, code: i32) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outbox-sidecar"));
    command.args(["verify", "--json", "--wait-s", "600", "-c"]);
    command.arg(scenario.file());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let began = Instant::now();
    let watched = tokio::task::spawn_blocking(move || {
        let mut running = command.spawn().unwrap();
        let mut peak = 0;
        // What it prints at its end fits the pipes.
        while running.try_wait().unwrap().is_none() {
            if began.elapsed() >= VERIFY_MAX {
                running.kill().unwrap();
                panic!("verify has not ended within {VERIFY_MAX:?}");
            }
            peak = peak.max(resident_kibibytes_max(running.id()));
            std::thread::sleep(Duration::from_millis(10));
        }
        (running.wait_with_output().unwrap(), peak)
    });
    let (output, peak) = watched.await.unwrap();
    println!("verify took {:?} and {peak} KiB", began.elapsed());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{stdout}{stderr}");
    assert!(peak > 0 && peak <= MEMORY_KIBIBYTES_MAX, "{peak} KiB");
    serde_json::from_str(&stdout).unwrap()
}

/// The records of these ids.
fn find(topic: &Topic, ids: &[&String]) -> HashMap<String, OwnedMessage> {
    let consumer: BaseConsumer = topic
        .address
        .client_config()
        .set("group.id", "audit")
        .set("isolation.level", "read_committed")
        .create()
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        assignment
            .add_partition_offset(&topic.name, partition, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut found = HashMap::new();
    let deadline = Instant::now() + DEADLINE;
    while found.len() < ids.len() {
        assert!(Instant::now() < deadline, "{} of {ids:?}", found.len());
        let Some(Ok(record)) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let id = record.headers().unwrap().iter().find_map(|header| {
            let id = (header.key == "outbox-id").then_some(header.value?)?;
            Some(String::from_utf8_lossy(id).into_owned())
        });
        let id = id.unwrap();
        if ids.contains(&&id) {
            found.insert(id, record.detach());
        }
    }
    found
}

/// Writes a record once more, under this id.
fn write(producer: &BaseProducer, record: &OwnedMessage, id: &str) {
    let mut headers = OwnedHeaders::new();
    for header in record.headers().unwrap().iter() {
        let is_id = header.key == "outbox-id";
        headers = headers.insert(Header {
            key: header.key,
            value: if is_id {
                Some(id.as_bytes())
            } else {
                header.value
            },
        });
    }
    let written = BaseRecord::to(record.topic())
        .partition(record.partition())
        .key(record.key().unwrap())
        .payload(record.payload().unwrap())
        .headers(headers);
    producer.send(written).map_err(|(error, _)| error).unwrap();
}

/// Waits until the slot has passed everything that is written now.
pub(crate) async fn published(scenario: &Scenario, client: &Client) {
    let end = "select pg_current_wal_insert_lsn()::text";
    let end: String = client.query_one(end, &[]).await.unwrap().get(0);
    wait::until("everything published", PUBLISH_MAX, || async {
        let sql = "select confirmed_flush_lsn >= $2::text::pg_lsn from pg_replication_slots \
                   where slot_name = $1";
        let row = client.query_one(sql, &[&scenario.slot(), &end]).await;
        row.unwrap().get(0)
    })
    .await
    .unwrap();
}
