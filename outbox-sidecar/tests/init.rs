//! Setting up: whatever is killed in between, nothing is left behind and nothing is sent twice.

use std::time::Duration;

use outbox_core::schema;
use tokio_postgres::Client;

use crate::scenario::Scenario;

/// A scenario whose outbox holds rows before the relay is set up.
async fn with_rows(rows: usize) -> (Scenario, Client) {
    let scenario = Scenario::shared().await;
    let client = scenario.client().await;
    schema::migrate(&client).await.unwrap();
    scenario.enqueue(&client, 0..rows).await;
    (scenario, client)
}

#[tokio::test]
async fn older_rows_are_refused_by_their_number_and_nothing_keeps_log() {
    let (scenario, client) = with_rows(7).await;
    let ran = scenario.command(&["init"], &[]).await;
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("7 rows of outbox.message are older than the slot"),
        "{}",
        ran.stderr
    );
    let slot = format!("outbox_{}", scenario.relay);
    let sql = "select count(*) from pg_replication_slots where slot_name = $1";
    let slots: i64 = client.query_one(sql, &[&slot]).await.unwrap().get(0);
    assert_eq!(slots, 0);
    let run = scenario.run_to_end().await;
    assert_eq!(run.code, Some(4), "{}", run.stderr);
    assert!(run.stderr.contains("outbox-sidecar init"), "{}", run.stderr);
}

#[tokio::test]
async fn older_rows_are_published_once_with_their_ids() {
    let (scenario, client) = with_rows(2500).await;
    let ids = |rows: Vec<tokio_postgres::Row>| {
        let mut ids: Vec<uuid::Uuid> = rows.iter().map(|row| row.get(0)).collect();
        ids.sort_unstable();
        ids
    };
    let before = ids(client
        .query("select id from outbox.message", &[])
        .await
        .unwrap());
    scenario.init(&["--backlog", "publish"]).await;
    scenario.enqueue(&client, 2500..2600).await;
    let _relay = scenario.start_active().await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..2600).collect::<Vec<_>>());
    let mut seen: Vec<_> = scenario
        .records()
        .await
        .iter()
        .filter_map(|record| record.id)
        .collect();
    seen.retain(|id| before.binary_search(id).is_ok());
    seen.sort_unstable();
    assert_eq!(seen, before);
}

#[tokio::test]
async fn older_rows_are_skipped_by_their_number() {
    let (scenario, client) = with_rows(5).await;
    let said = scenario.init(&["--backlog", "skip"]).await;
    assert!(
        said.contains("5 rows are older than the slot: skipped"),
        "{said}"
    );
    scenario.enqueue(&client, 5..10).await;
    let _relay = scenario.start_active().await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (5..10).collect::<Vec<_>>());
}

/// Kills `init` right after a step, enqueues more, and sets up again.
async fn killed_after(step: &str) {
    let (scenario, client) = with_rows(1200).await;
    let arguments = ["init", "--backlog", "publish"];
    let ran = scenario
        .command(&arguments, &[("OUTBOX_FAILPOINT", step)])
        .await;
    assert_eq!(
        ran.code, None,
        "init should have been killed at {step}: {}",
        ran.stderr
    );
    scenario.enqueue(&client, 1200..1300).await;
    wait_for_killed_backends(&client).await;
    scenario.init(&arguments[1..]).await;
    scenario.enqueue(&client, 1300..1400).await;
    let _relay = scenario.start_active().await;
    scenario.drained(&client).await;
    let missing_or_double = scenario.numbers().await != (0..1400).collect::<Vec<_>>();
    assert!(
        !missing_or_double,
        "killed at {step}: {:?}",
        scenario.numbers().await.len()
    );
}

/// The server notices a moment later that a client is gone; until then its locks hold.
async fn wait_for_killed_backends(client: &Client) {
    testbed::wait::until(
        "the killed init's locks to be gone",
        Duration::from_secs(30),
        || async {
            let sql = "select not exists (select from pg_locks as l join pg_stat_activity as a \
                   using (pid) where l.locktype = 'advisory' and a.datname = current_database()) \
                   and not exists (select from pg_replication_slots where active and \
                   database = current_database())";
            client.query_one(sql, &[]).await.unwrap().get(0)
        },
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn init_may_be_killed_before_the_slot_exists() {
    for step in ["init.schema", "init.roles", "init.publication"] {
        killed_after(step).await;
    }
}

#[tokio::test]
async fn init_may_be_killed_between_the_slot_and_the_backlog() {
    for step in ["init.slot", "init.slot-noted", "init.backlog-moved"] {
        killed_after(step).await;
    }
}

#[tokio::test]
async fn init_may_be_killed_around_the_first_checkpoint() {
    for step in ["init.backlog-settled", "init.genesis"] {
        killed_after(step).await;
    }
}

#[tokio::test]
async fn init_again_changes_nothing_for_a_running_relay() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    scenario.enqueue(&client, 0..50).await;
    let said = scenario.init(&[]).await;
    assert!(said.contains("set up before"), "{said}");
    scenario.enqueue(&client, 50..100).await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..100).collect::<Vec<_>>());
    assert_eq!(relay.exit().unwrap(), None);
    let lines = relay.log().unwrap();
    assert!(
        !lines.iter().any(|line| line["message"] == "fenced"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn several_inits_at_once_end_in_one_relay() {
    let scenario = Scenario::shared().await;
    let (a, b, c) = tokio::join!(
        scenario.command(&["init"], &[]),
        scenario.command(&["init"], &[]),
        scenario.command(&["init"], &[])
    );
    let codes = [a.code, b.code, c.code];
    assert!(codes.contains(&Some(0)), "{codes:?}");
    let refused = |code: &Option<i32>| matches!(code, Some(0 | 2));
    assert!(codes.iter().all(refused), "{a:?} {b:?} {c:?}");
    scenario.init(&[]).await;
    let client = scenario.client().await;
    scenario.enqueue(&client, 0..5).await;
    let _relay = scenario.start_active().await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..5).collect::<Vec<_>>());
}

#[tokio::test]
async fn printing_changes_nothing_and_a_removed_relay_may_begin_anew() {
    let scenario = Scenario::shared().await;
    let ran = scenario.command(&["init", "--print"], &[]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("create publication"), "{}", ran.stdout);
    let client = scenario.client().await;
    let sql = "select to_regclass('outbox.message') is null";
    assert!(client.query_one(sql, &[]).await.unwrap().get::<_, bool>(0));

    scenario.init(&[]).await;
    {
        let relay = scenario.start_active().await;
        scenario.enqueue(&client, 0..5).await;
        scenario.drained(&client).await;
        relay.terminate().unwrap();
        relay.exited(Duration::from_secs(60)).await.unwrap();
    }
    let ran = scenario.command(&["remove"], &[]).await;
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    let ran = scenario.command(&["remove", "--yes"], &[]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    scenario.init(&["--backlog", "skip"]).await;
    scenario.enqueue(&client, 5..10).await;
    let _relay = scenario.start_active().await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..10).collect::<Vec<_>>());
}
