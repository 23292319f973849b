//! `init`: whatever it meets and whenever it is killed, no row is silently left behind.

use outbox_core::schema;
use tokio_postgres::Client;

use crate::scenario::observation::{assert_calm, lines};
use crate::scenario::{DEADLINE, Scenario};

/// Each place at which a debug build of `init` can be killed, in their order.
const STEPS: [&str; 8] = [
    "init.schema",
    "init.roles",
    "init.publication",
    "init.slot",
    "init.slot-noted",
    "init.backlog-moved",
    "init.backlog-settled",
    "init.genesis",
];
/// More than `init` moves in one transaction.
const TWO_MOVES: usize = 1500;

/// An outbox that services use already, and nobody relays.
async fn with_outbox() -> (Scenario, Client) {
    let scenario = Scenario::shared().await;
    let client = scenario.client().await;
    schema::migrate(&client).await.unwrap();
    (scenario, client)
}

/// Runs the relay until everything is published, and compares.
async fn all_arrive(scenario: &Scenario, client: &Client, expected: Vec<usize>) {
    let relay = scenario.start_active().await;
    scenario.drained(client).await;
    assert_eq!(scenario.numbers().await, expected);
    assert_calm(&relay);
}

async fn slots(scenario: &Scenario, client: &Client) -> i64 {
    let sql = "select count(*) from pg_replication_slots where slot_name = $1";
    client
        .query_one(sql, &[&scenario.slot()])
        .await
        .unwrap()
        .get(0)
}

#[tokio::test]
async fn rows_older_than_the_slot_are_refused_by_number_then_published() {
    let (scenario, client) = with_outbox().await;
    scenario.enqueue(&client, 0..3).await;
    let ran = scenario.command(&["init"], &[]).await;
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    let expected = "3 rows of outbox.message are older than the slot and would never be published: \
                    run init with --backlog publish to publish them, or --backlog skip to leave them";
    assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    assert_eq!(
        slots(&scenario, &client).await,
        0,
        "nothing keeps log for nobody"
    );
    let ran = scenario.run_to_end().await;
    assert_eq!(ran.code, Some(4), "not set up: {}", ran.stderr);

    scenario.enqueue(&client, 3..5).await;
    let said = scenario.init(&["--backlog", "publish"]).await;
    assert!(
        said.contains("5 rows that are older than the slot go through the log"),
        "{said}"
    );
    scenario.enqueue(&client, 5..7).await;
    all_arrive(&scenario, &client, (0..7).collect()).await;
}

#[tokio::test]
async fn rows_older_than_the_slot_are_skipped_when_told_to_and_it_says_how_many() {
    let (scenario, client) = with_outbox().await;
    scenario.enqueue(&client, 0..3).await;
    let said = scenario.init(&["--backlog", "skip"]).await;
    assert!(
        said.contains("3 rows are older than the slot: skipped"),
        "{said}"
    );
    scenario.enqueue(&client, 3..5).await;
    all_arrive(&scenario, &client, vec![3, 4]).await;
}

#[tokio::test]
async fn killed_at_each_step_and_run_again_it_publishes_each_row_once() {
    for step in STEPS {
        let (scenario, client) = with_outbox().await;
        let older = if step == "init.backlog-moved" {
            TWO_MOVES
        } else {
            5
        };
        scenario.enqueue(&client, 0..older).await;
        let killed = scenario
            .command(
                &["init", "--backlog", "publish"],
                &[("OUTBOX_FAILPOINT", step)],
            )
            .await;
        assert_eq!(
            killed.code, None,
            "{step} should have killed it: {}",
            killed.stderr
        );
        let ran = scenario.run_to_end().await;
        assert_eq!(
            ran.code,
            Some(4),
            "{step}: no relay runs before genesis: {}",
            ran.stderr
        );
        scenario.enqueue(&client, older..older + 3).await;
        scenario.init(&["--backlog", "publish"]).await;
        scenario.enqueue(&client, older + 3..older + 5).await;
        println!("{step}");
        all_arrive(&scenario, &client, (0..older + 5).collect()).await;
    }
}

#[tokio::test]
async fn killed_at_one_step_after_another_it_still_publishes_each_row_once() {
    let (scenario, client) = with_outbox().await;
    let mut next = TWO_MOVES;
    scenario.enqueue(&client, 0..next).await;
    for step in STEPS {
        let killed = scenario
            .command(
                &["init", "--backlog", "publish"],
                &[("OUTBOX_FAILPOINT", step)],
            )
            .await;
        // Once the backlog is settled, its steps are not taken again.
        assert_eq!(
            killed.code, None,
            "{step} should have killed it: {}",
            killed.stderr
        );
        scenario.enqueue(&client, next..next + 3).await;
        next += 3;
    }
    scenario.init(&["--backlog", "publish"]).await;
    all_arrive(&scenario, &client, (0..next).collect()).await;
}

#[tokio::test]
async fn rows_that_came_between_the_slot_and_genesis_are_published_or_counted() {
    for step in [
        "init.slot",
        "init.slot-noted",
        "init.backlog-settled",
        "init.genesis",
    ] {
        let (scenario, client) = with_outbox().await;
        let killed = scenario
            .command(&["init"], &[("OUTBOX_FAILPOINT", step)])
            .await;
        assert_eq!(killed.code, None, "{step}: {}", killed.stderr);
        scenario.enqueue(&client, 0..4).await;
        let ran = scenario.command(&["init"], &[]).await;
        if step.starts_with("init.slot") {
            // The snapshot that could tell older rows from newer ones went with the process.
            assert_eq!(ran.code, Some(2), "{step}: {}", ran.stderr);
            assert!(
                ran.stderr.contains("4 rows of outbox.message"),
                "{step}: {}",
                ran.stderr
            );
            scenario.init(&["--backlog", "publish"]).await;
        } else {
            assert_eq!(ran.code, Some(0), "{step}: {}", ran.stderr);
        }
        all_arrive(&scenario, &client, (0..4).collect()).await;
    }
}

#[tokio::test]
async fn of_several_at_once_one_does_it_and_the_others_say_so() {
    let scenario = Scenario::shared().await;
    let init = || scenario.command(&["init"], &[]);
    let (a, b, c, d) = tokio::join!(init(), init(), init(), init());
    let all = [a, b, c, d];
    for ran in &all {
        let refused = ran.code == Some(2)
            && ran.stderr.contains("another init or remove of relay")
            && ran.stderr.contains("wait for its end");
        assert!(
            ran.code == Some(0) || refused,
            "{:?}: {}",
            ran.code,
            ran.stderr
        );
    }
    assert!(all.iter().any(|ran| ran.code == Some(0)), "{all:#?}");
    let said = scenario.init(&[]).await;
    assert!(
        said.contains("the relay was set up before: nothing else to do"),
        "{said}"
    );
    let client = scenario.client().await;
    scenario.enqueue(&client, 0..5).await;
    all_arrive(&scenario, &client, (0..5).collect()).await;
}

#[tokio::test]
async fn a_running_relay_does_not_notice_it() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    scenario.enqueue(&client, 0..50).await;
    let state = async || -> String {
        let sql = "select (to_jsonb(r) || to_jsonb(s) - 'confirmed_flush_lsn' - 'restart_lsn' \
                   - 'catalog_xmin' - 'inactive_since')::text from outbox.relay r \
                   join pg_replication_slots s on s.slot_name = r.slot";
        client.query_one(sql, &[]).await.unwrap().get(0)
    };
    let before = state().await;
    for _ in 0..3 {
        let said = scenario.init(&["--backlog", "publish"]).await;
        assert!(
            said.contains("the relay was set up before: nothing else to do"),
            "{said}"
        );
    }
    assert_eq!(state().await, before);
    scenario.enqueue(&client, 50..100).await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..100).collect::<Vec<_>>());
    assert_eq!(scenario.metric("outbox_fenced_total").await, Some(0.0));
    assert_eq!(
        scenario
            .metric("outbox_reconnects_total{side=\"sink\"}")
            .await,
        Some(0.0)
    );
    assert_eq!(lines(&relay, "active").len(), 1);
    assert_calm(&relay);
}

#[tokio::test]
async fn what_was_removed_can_be_set_up_anew() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    scenario.enqueue(&client, 0..5).await;
    scenario.drained(&client).await;
    let refused = scenario.command(&["remove", "--yes"], &[]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("stop the relay first"),
        "{}",
        refused.stderr
    );
    relay.terminate().unwrap();
    assert_eq!(relay.exited(DEADLINE).await.unwrap().code(), Some(0));
    let removed = scenario.command(&["remove", "--yes"], &[]).await;
    assert_eq!(removed.code, Some(0), "{}", removed.stderr);
    assert_eq!(slots(&scenario, &client).await, 0);
    let ran = scenario.run_to_end().await;
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    scenario.init(&["--backlog", "skip"]).await;
    relay.restart().unwrap();
    scenario.phase("active").await;
    scenario.enqueue(&client, 5..10).await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..10).collect::<Vec<_>>());
}
