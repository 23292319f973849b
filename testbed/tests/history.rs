//! Writers, table and checker agree, whatever happens to the database meanwhile.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of a test fails the test"
)]

use std::time::Duration;

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use testbed::history::{Follower, Record, WriterPlan, Writers, check, read};
use testbed::{PostgresServer, Shutdown, shared_kafka, unique, wait};
use uuid::Uuid;

const DEADLINE: Duration = Duration::from_secs(120);
const TABLE: &str = "create schema outbox; create table outbox.message (
    position bigserial, id uuid, destination text, key text, type text, content_type text,
    payload bytea, headers jsonb, created_at timestamptz default now())";

#[tokio::test]
async fn the_history_is_what_the_table_holds_after_kills() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let postgres = PostgresServer::start().await.unwrap();
    let admin = postgres.connect("postgres", "postgres").await.unwrap();
    admin.batch_execute(TABLE).await.unwrap();
    let mut plan = WriterPlan::new(seed, "orders");
    plan.messages = 6000;
    plan.pause_max = Duration::from_millis(5);
    let writers = Writers::start(&postgres.url("postgres", "postgres"), &plan);
    let half = async || writers.committed() > 1000;
    wait::until("a thousand messages", DEADLINE, half)
        .await
        .unwrap();
    postgres.kill().await.unwrap();
    postgres.restart().await.unwrap();
    let more = async || writers.committed() > 3000;
    wait::until("more messages", DEADLINE, more).await.unwrap();
    postgres.stop(Shutdown::Immediate).await.unwrap();
    postgres.restart().await.unwrap();
    let history = writers.finish().await.unwrap();

    let client = postgres.connect("postgres", "postgres").await.unwrap();
    let rows = client
        .query("select id, key, payload, position from outbox.message", &[])
        .await;
    let mut rows = rows.unwrap();
    assert!(history.committed.len() >= plan.messages);
    assert!(!history.rolled_back.is_empty());
    rows.sort_by_key(|row| row.get::<_, i64>(3));
    // One connection writes a key at a time, so the sequence is its commit order.
    let record = |row: &tokio_postgres::Row| Record {
        id: Some(row.get::<_, Uuid>(0)),
        topic: "orders".to_owned(),
        key: row.get(1),
        partition: 0,
        offset: row.get(3),
        payload: row.get(2),
        headers: Vec::new(),
        received: std::time::Instant::now(),
    };
    let mut records: Vec<Record> = rows.iter().map(record).collect();
    let report = check(&history, &records);
    assert!(report.is_exactly_once(), "{report}");
    records.pop();
    assert_eq!(check(&history, &records).lost.count, 1);
}

#[tokio::test]
async fn readers_see_committed_records_only() {
    let kafka = shared_kafka().await.unwrap();
    let topic = kafka.create_unique_topic("history", 3).await.unwrap();
    let follower = Follower::start(kafka, &[&topic]).await.unwrap();
    let producer: BaseProducer = kafka
        .client_config()
        .set("transactional.id", unique::name("history"))
        .create()
        .unwrap();
    producer.init_transactions(DEADLINE).unwrap();
    let ids: Vec<Uuid> = (0..100).map(|_| Uuid::new_v4()).collect();
    for commit in [true, false] {
        producer.begin_transaction().unwrap();
        for id in &ids {
            let text = id.to_string();
            let headers = OwnedHeaders::new().insert(Header {
                key: "outbox-id",
                value: Some(&text),
            });
            let record = BaseRecord::to(&topic)
                .key(&text)
                .payload("{}")
                .headers(headers);
            producer.send(record).unwrap();
        }
        if commit {
            producer.commit_transaction(DEADLINE).unwrap();
        } else {
            producer.flush(DEADLINE).unwrap();
            producer.abort_transaction(DEADLINE).unwrap();
        }
    }
    follower.arrived(100, DEADLINE).await.unwrap();
    let records = read(kafka, &[&topic], DEADLINE).await.unwrap();
    assert_eq!((records.len(), follower.count()), (100, 100));
    let mut found: Vec<Uuid> = records.iter().map(|record| record.id.unwrap()).collect();
    found.sort();
    let mut expected = ids.clone();
    expected.sort();
    assert_eq!(found, expected);
    assert!(read(kafka, &["no-such-topic"], DEADLINE).await.is_err());
}
