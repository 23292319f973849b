//! Databases that were set back: the files as they were some time ago, under the same name.

use testbed::PostgresServer;
use tokio_postgres::Client;

use crate::refused::expect;
use crate::scenario::observation::assert_calm;
use crate::scenario::{DEADLINE, Scenario};
use crate::target::Target;

/// A relay that has published ten messages, then ten more that the server, put back to the moment
/// before, does not have.
async fn set_back(postgres: &PostgresServer, target: Target) -> (Scenario, Client) {
    let scenario = Scenario::to(postgres.address(), target).await;
    scenario.init(&[]).await;
    let relay = scenario.start_active().await;
    let client = scenario.client().await;
    scenario.enqueue(&client, 0..10).await;
    scenario.drained(&client).await;
    let snapshot = postgres.snapshot().await.unwrap();
    let client = scenario.client().await;
    for batch in [10..15, 15..20] {
        scenario.enqueue(&client, batch).await;
        scenario.drained(&client).await;
    }
    relay.kill().await.unwrap();
    postgres.put_back(&snapshot).await.unwrap();
    let client = scenario.client().await;
    (scenario, client)
}

async fn kafka() -> Target {
    Target::kafka(testbed::shared_kafka().await.unwrap()).await
}

#[tokio::test]
async fn a_server_whose_log_ends_before_the_checkpoint_ends_with_exit_6() {
    let postgres = PostgresServer::start().await.unwrap();
    let (scenario, client) = set_back(&postgres, kafka().await).await;
    let checked = scenario.check(3).await;
    let says = "beyond the end of the server's log: the server was set back";
    assert!(checked.contains(says), "{checked}");
    let texts = ["the server's log ends at ", "it was set back"];
    scenario.refuses_to_go_on(&client, &[], 6, &texts).await;
    // What it was held for stays, though the log grows past the checkpoint.
    scenario.enqueue(&client, 100..150).await;
    let texts = ["held since an earlier run", "it was set back"];
    scenario.refuses_to_go_on(&client, &[], 6, &texts).await;
    assert_eq!(scenario.numbers().await, (0..20).collect::<Vec<_>>());
}

/// As long a log as before, the same cluster and timeline: only what stands in it is another.
#[tokio::test]
async fn a_server_that_has_written_another_history_since_ends_with_exit_6() {
    let postgres = PostgresServer::start().await.unwrap();
    let (scenario, client) = set_back(&postgres, kafka().await).await;
    scenario.enqueue(&client, 100..200).await;
    // However much the server wrote of its own before, it writes further now.
    client
        .batch_execute("select pg_switch_wal()")
        .await
        .unwrap();
    scenario.enqueue(&client, 200..201).await;
    let end = scenario.checkpoint().await.unwrap().frontier.lsn;
    let passed = "select pg_current_wal_flush_lsn() > $1::text::pg_lsn";
    let passed = client.query_one(passed, &[&end.to_string()]).await.unwrap();
    assert!(passed.get::<_, bool>(0), "the log is past the checkpoint");
    let texts = ["the log differs from what was published"];
    scenario.refuses_to_go_on(&client, &[], 6, &texts).await;
    assert_eq!(scenario.numbers().await, (0..20).collect::<Vec<_>>());
}

/// The slot was drained before the snapshot, and nothing was published since: the checkpoint has
/// moved over foreign log, and what was written there instead is ours.
#[tokio::test]
async fn a_message_where_the_checkpoint_knows_of_none_ends_with_exit_6() {
    let postgres = PostgresServer::start().await.unwrap();
    let kafka = testbed::shared_kafka().await.unwrap();
    let scenario = Scenario::new(postgres.address(), kafka).await;
    scenario.init(&[]).await;
    let relay = scenario.start_active().await;
    let client = scenario.client().await;
    scenario.enqueue(&client, 0..10).await;
    scenario.drained(&client).await;
    let snapshot = postgres.snapshot().await.unwrap();
    let client = scenario.client().await;
    let foreign = "create table foreign_table as select generate_series(1, 50000) as n";
    client.batch_execute(foreign).await.unwrap();
    scenario.drained(&client).await;
    relay.kill().await.unwrap();
    postgres.put_back(&snapshot).await.unwrap();
    let client = scenario.client().await;
    scenario.enqueue(&client, 100..110).await;
    client.batch_execute(foreign).await.unwrap();
    client
        .batch_execute(foreign.replace("foreign_table", "another").as_str())
        .await
        .unwrap();
    let texts = ["the log differs", "where the checkpoint", "knows of none"];
    scenario.refuses_to_go_on(&client, &[], 6, &texts).await;
    assert_eq!(scenario.numbers().await, (0..10).collect::<Vec<_>>());
}

/// The relay's own tables were loaded from an older dump.
#[tokio::test]
async fn a_database_that_forgot_what_was_set_aside_ends_with_exit_6() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let dump = "create table relay_before as select * from outbox.relay; \
                create table parked_before as select * from outbox.parked";
    client.batch_execute(dump).await.unwrap();
    let relay = scenario.start_with(&["limits.message_bytes_max=1000B"]);
    scenario.phase("active").await;
    scenario.enqueue(&client, 0..10).await;
    let large = "insert into outbox.message (destination, key, type, payload) \
                 values ($1, 'k', 'T', convert_to(repeat('x', 2000), 'UTF8'))";
    let topic = scenario.target.destination();
    client.execute(large, &[&topic]).await.unwrap();
    scenario.drained(&client).await;
    relay.terminate().unwrap();
    assert_eq!(relay.exited(DEADLINE).await.unwrap().code(), Some(0));
    let parked = client
        .query_one("select count(*) from outbox.parked", &[])
        .await;
    assert_eq!(parked.unwrap().get::<_, i64>(0), 1);

    // As `pg_restore --disable-triggers` does.
    let load = "begin; set local session_replication_role = replica; delete from outbox.parked; \
                insert into outbox.parked select * from parked_before; \
                update outbox.relay as now set stuck_writes = before.stuck_writes \
                from relay_before as before where before.name = now.name; commit";
    client.batch_execute(load).await.unwrap();
    scenario.enqueue(&client, 10..20).await;
    let texts = ["into outbox.parked", "it was set back"];
    scenario.refuses_to_go_on(&client, &[], 6, &texts).await;
    assert_eq!(scenario.numbers().await, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_database_that_was_set_back_publishes_nothing_into_a_stream() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let postgres = PostgresServer::start().await.unwrap();
    let (scenario, client) = set_back(&postgres, Target::stream(rabbit).await).await;
    // As long a log as before: its end shows nothing any more.
    scenario.enqueue(&client, 100..150).await;
    for _ in 0..2 {
        let ran = scenario.run_to_end().await;
        expect(&ran, 6, &["set back", "outbox-checkpoints"]);
    }
    assert_eq!(scenario.numbers().await, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_server_that_commits_asynchronously_forgets_no_checkpoint() {
    let rabbit = testbed::shared_rabbitmq().await.unwrap();
    let postgres = PostgresServer::options()
        .setting("synchronous_commit", "off")
        .setting("wal_writer_delay", "5s")
        .start()
        .await
        .unwrap();
    let scenario = Scenario::to(postgres.address(), Target::stream(rabbit).await).await;
    scenario.init(&[]).await;
    let relay = scenario.start_active().await;
    for batch in [0..10, 10..20] {
        let client = scenario.client().await;
        scenario.enqueue(&client, batch).await;
        scenario.drained(&client).await;
        postgres.kill().await.unwrap();
        postgres.restart().await.unwrap();
    }
    let client = scenario.client().await;
    scenario.enqueue(&client, 20..30).await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..30).collect::<Vec<_>>());
    assert_calm(&relay);
}
