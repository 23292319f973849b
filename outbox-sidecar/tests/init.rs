//! `init`: whatever it meets and whenever it is killed, no row is silently left behind.

use outbox_core::schema;
use testbed::wait;
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

/// Kills `init` right after this step.
async fn kill_after(scenario: &Scenario, client: &Client, step: &str, options: &[&str]) {
    let arguments = [&["init"], options].concat();
    let environment = [("OUTBOX_FAILPOINT", step)];
    let killed = scenario.command(&arguments, &environment).await;
    assert_eq!(
        killed.code, None,
        "{step} should have killed it: {}",
        killed.stderr
    );
    // The server notices a moment later that a client is gone; until then its locks hold.
    let free = "select not exists (select from pg_locks as l join pg_stat_activity as a using (pid) \
                where l.locktype = 'advisory' and a.datname = current_database()) \
                and not exists (select from pg_replication_slots \
                where active and database = current_database())";
    wait::until("the killed init's locks gone", DEADLINE, || async {
        client.query_one(free, &[]).await.unwrap().get(0)
    })
    .await
    .unwrap();
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
async fn older_rows_are_refused_by_their_number_and_nothing_keeps_log() {
    let (scenario, client) = with_outbox().await;
    scenario.enqueue(&client, 0..3).await;
    let ran = scenario.command(&["init"], &[]).await;
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    let expected = "3 rows of outbox.message are older than the slot and would never be published: \
                    run init with --backlog publish to publish all of what is older, also what an earlier \
                    relay has published; or --backlog skip to leave it";
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
        said.contains("published through the log, since older than the slot: 5 rows"),
        "{said}"
    );
    scenario.enqueue(&client, 5..7).await;
    all_arrive(&scenario, &client, (0..7).collect()).await;
}

#[tokio::test]
async fn older_rows_are_skipped_by_their_number() {
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
async fn older_rows_are_published_once_with_their_ids() {
    let (scenario, client) = with_outbox().await;
    scenario.enqueue(&client, 0..2500).await;
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

/// Kills `init` right after each of these steps, enqueues more, and sets up again.
async fn killed_after(steps: &[&str]) {
    for &step in steps {
        let (scenario, client) = with_outbox().await;
        let older = if step == "init.backlog-moved" {
            TWO_MOVES
        } else {
            5
        };
        scenario.enqueue(&client, 0..older).await;
        kill_after(&scenario, &client, step, &["--backlog", "publish"]).await;
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
async fn init_may_be_killed_before_the_slot_exists() {
    killed_after(&STEPS[..3]).await;
}

#[tokio::test]
async fn init_may_be_killed_between_the_slot_and_the_backlog() {
    killed_after(&STEPS[3..6]).await;
}

#[tokio::test]
async fn init_may_be_killed_around_the_first_checkpoint() {
    killed_after(&STEPS[6..]).await;
}

#[tokio::test]
async fn killed_at_one_step_after_another_it_still_publishes_each_row_once() {
    let (scenario, client) = with_outbox().await;
    let mut next = TWO_MOVES;
    scenario.enqueue(&client, 0..next).await;
    for step in STEPS {
        kill_after(&scenario, &client, step, &["--backlog", "publish"]).await;
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
        kill_after(&scenario, &client, step, &[]).await;
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
async fn the_lock_of_an_init_that_has_just_ended_is_waited_for() {
    let (scenario, other) = with_outbox().await;
    let lock = |function: &str| {
        let relay = scenario
            .slot()
            .replacen("outbox_", "outbox relay outbox.", 1);
        format!("select {function}(hashtextextended('{relay}', 0))")
    };
    let (take, give_back) = (lock("pg_advisory_lock"), lock("pg_advisory_unlock"));
    other.batch_execute(&take).await.unwrap();
    let watching = scenario.client().await;
    let release = async {
        let waits = "select exists (select from pg_locks
                     where locktype = 'advisory' and not granted
                       and database = (select oid from pg_database
                                       where datname = current_database()))";
        wait::until("init waits", DEADLINE, async || {
            watching.query_one(waits, &[]).await.unwrap().get(0)
        })
        .await
        .unwrap();
        other.batch_execute(&give_back).await.unwrap();
    };
    let (ran, ()) = tokio::join!(scenario.command(&["init"], &[]), release);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[tokio::test]
async fn several_inits_at_once_end_in_one_relay() {
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
async fn init_again_changes_nothing_for_a_running_relay() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    scenario.enqueue(&client, 0..50).await;
    // All but what moves with the log, of which other tests write, too.
    let state = async || -> String {
        let sql = "select (to_jsonb(r) || to_jsonb(s) - 'confirmed_flush_lsn' - 'restart_lsn' \
                   - 'catalog_xmin' - 'inactive_since' - 'wal_status' - 'safe_wal_size')::text from outbox.relay r \
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
async fn a_removed_relay_may_begin_anew() {
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

#[tokio::test]
async fn printing_changes_nothing() {
    let scenario = Scenario::shared().await;
    let ran = scenario.command(&["init", "--print"], &[]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("create publication"), "{}", ran.stdout);
    let client = scenario.client().await;
    let sql = "select to_regclass('outbox.message') is null";
    assert!(client.query_one(sql, &[]).await.unwrap().get::<_, bool>(0));
}

#[tokio::test]
async fn a_slot_of_another_database_is_left_alone() {
    let (scenario, client) = (Scenario::shared().await, Scenario::shared().await);
    let elsewhere = client.client().await;
    let make = "select pg_create_logical_replication_slot($1, 'pgoutput')";
    elsewhere.execute(make, &[&scenario.slot()]).await.unwrap();
    for command in [&["init"][..], &["remove", "--yes"]] {
        let refused = scenario.command(command, &[]).await;
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        let text = "belongs to database";
        assert!(refused.stderr.contains(text), "{}", refused.stderr);
    }
    // Nobody is told to drop it.
    let checked = scenario.command(&["check"], &[]).await;
    let fix = "is not to be dropped: look at postgres.url and relay.name";
    assert!(checked.stdout.contains(fix), "{}", checked.stdout);
    let drop = "select pg_drop_replication_slot($1)";
    elsewhere.execute(drop, &[&scenario.slot()]).await.unwrap();
}

#[tokio::test]
async fn a_publication_that_was_made_by_hand_for_other_rows_is_refused() {
    let scenario = Scenario::shared().await;
    let client = scenario.client().await;
    outbox_core::schema::migrate(&client).await.unwrap();
    let slot = scenario.slot();
    let make = format!(
        "create publication {slot} for table outbox.message where (destination = 'a') \
         with (publish = 'insert', publish_via_partition_root = true)"
    );
    client.batch_execute(&make).await.unwrap();
    let refused = scenario.command(&["init"], &[]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    let text = "lets other rows through";
    assert!(refused.stderr.contains(text), "{}", refused.stderr);
    client
        .batch_execute(&format!("drop publication {slot}"))
        .await
        .unwrap();
    scenario.init(&[]).await;
}
