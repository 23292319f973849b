//! `verify` of a super stream: its partitions are one destination.

use std::collections::BTreeMap;

use outbox_core::checkpoint::Checkpoint;
use serde_json::json;
use testbed::history::read_stream;
use testbed::unique;
use tokio_postgres::Client;

use super::faults::{of_key, publish, rows, runs};
use super::{counts, enqueue, finds_nothing, found, verify};
use crate::scenario::{DEADLINE, Scenario};
use crate::target::{Stream, Target};

const PARTITIONS: usize = 3;

async fn row(client: &Client, change: &str, id: &str) -> String {
    let sql = format!("update outbox.message set {change} where id::text = $1 returning id::text");
    client.query_one(&sql, &[&id]).await.unwrap().get(0)
}

#[tokio::test]
async fn each_fault_of_a_super_stream_is_found_by_its_id_and_nothing_else() {
    let postgres = testbed::shared_postgres().await.unwrap();
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let name = unique::name("super");
    let count = PARTITIONS.to_string();
    let making = ["add_super_stream", &name, "--partitions", &count];
    rabbit.streams(&making).await.unwrap();
    let address = rabbit.address();
    let target = Target::Stream(Stream {
        address: address.clone(),
        name: name.clone(),
    });
    let scenario = Scenario::to(postgres, target).await;
    scenario.init(&[]).await;
    let client = scenario.client().await;
    let _relay = scenario.start_active().await;
    enqueue(&scenario, &client, 500).await;
    finds_nothing(&scenario, 503).await;

    let mut records = Vec::new();
    let mut used = 0;
    for partition in 0..PARTITIONS {
        let stream = format!("{name}-{partition}");
        let read = read_stream(&address, &stream, DEADLINE).await.unwrap();
        used += usize::from(!read.is_empty());
        records.extend(read);
    }
    assert_eq!((records.len(), used), (503, PARTITIONS));
    let record = |key: &str, at: usize| &records[of_key(&records, key)[at]];
    let id = |key, at| record(key, at).id.unwrap().to_string();

    // Updates are not published: the rows say otherwise than the streams from now on.
    let altered = row(&client, "payload = payload || '!'", &id("k3", 5)).await;
    let removed = row(&client, "id = gen_random_uuid()", &id("k0", 7)).await;
    // Published once more: one as it is, and two of one key, under new ids, the later one first.
    let doubled = id("k1", 9);
    let mut again = vec![record("k1", 9).clone()];
    let mut moved = Vec::new();
    for at in [12, 11] {
        let renamed = row(&client, "id = gen_random_uuid()", &id("k2", at)).await;
        let mut record = record("k2", at).clone();
        record.id = Some(renamed.parse().unwrap());
        moved.push(renamed);
        again.push(record);
    }
    let checkpoint: Option<Checkpoint> = scenario.checkpoint().await;
    let runs = runs(&again, &rows(&client).await);
    assert_eq!(runs.len(), 2);
    let url = address.stream_url();
    let publishing = move || publish(&url, runs, &checkpoint.unwrap());
    tokio::task::spawn_blocking(publishing).await.unwrap();

    let report = verify(&scenario, &[], 3).await;
    assert_eq!(report["counts"], counts(1, 1, 2, 1), "{report:#}");
    let behind = report["findings"].as_array().unwrap().iter();
    let behind = behind.filter(|found| found["kind"] == "out_of_order");
    for finding in behind {
        // In the partition of its key, which is one destination with the others.
        assert_eq!(finding["destination"], json!(name), "{finding:#}");
        assert!(finding["at"].as_str().unwrap().starts_with(&name));
    }
    // The one came behind the whole key, the other behind it.
    moved.sort();
    let expected: BTreeMap<_, _> = [
        ("missing", vec![removed]),
        ("duplicated", vec![doubled]),
        ("out_of_order", moved),
        ("altered", vec![altered]),
    ]
    .map(|(kind, ids)| (kind.to_owned(), ids))
    .into();
    assert_eq!(found(&report), expected, "{report:#}");
    // What had the ids that were changed, and what marked the end of each partition for reading it.
    assert_eq!(report["without_row"], 3 + PARTITIONS, "{report:#}");
}
