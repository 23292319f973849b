//! Servers that cannot feed a relay, and a relay that was never set up.

use testbed::PostgresServer;

use crate::refused::expect;
use crate::scenario::Scenario;

#[tokio::test]
async fn a_server_without_logical_information_in_its_log() {
    let postgres = PostgresServer::options()
        .setting("wal_level", "replica")
        .start()
        .await
        .unwrap();
    let kafka = testbed::shared_kafka().await.unwrap();
    let scenario = Scenario::new(postgres.address(), kafka).await;
    let ran = scenario.command(&["init"], &[]).await;
    let text = "wal_level is replica, the relay needs logical: run `alter system set wal_level = \
                logical` and restart PostgreSQL";
    expect(&ran, 1, &[text]);
    let checked = scenario.check(3).await;
    assert!(
        checked.contains("error    wal_level: replica, not logical"),
        "{}",
        checked
    );
}

#[tokio::test]
async fn no_free_slot() {
    let postgres = PostgresServer::options()
        .setting("max_replication_slots", "1")
        .start()
        .await
        .unwrap();
    let kafka = testbed::shared_kafka().await.unwrap();
    let scenario = Scenario::new(postgres.address(), kafka).await;
    let client = scenario.client().await;
    client
        .batch_execute("select pg_create_physical_replication_slot('other')")
        .await
        .unwrap();
    let ran = scenario.command(&["init"], &[]).await;
    expect(
        &ran,
        1,
        &["all replication slots are in use", "max_replication_slots"],
    );
    let checked = scenario.check(3).await;
    assert!(
        checked.contains("error    slot: all 1 replication slots are in use"),
        "{checked}"
    );
    client
        .batch_execute("select pg_drop_replication_slot('other')")
        .await
        .unwrap();
    scenario.init(&[]).await;
}

#[tokio::test]
async fn a_relay_that_was_never_set_up() {
    let scenario = Scenario::shared().await;
    expect(
        &scenario.run_to_end().await,
        4,
        &["not set up", "outbox-sidecar init"],
    );
}

/// It would look like a relay that has lost its slot.
#[tokio::test]
async fn a_name_that_is_mistyped() {
    let scenario = Scenario::initialised().await;
    let said = format!(
        "was never set up in this database; set up are: {}",
        scenario.relay
    );
    let status = ["--set", "relay.name=mistyped", "status"];
    let status = scenario.command(&status, &[]).await;
    assert!(status.stdout.contains(&said), "{}", status.stdout);
    let checked = ["--set", "relay.name=mistyped", "check"];
    let checked = scenario.command(&checked, &[]).await;
    let said = format!(
        "relay mistyped was never set up; set up are: {}",
        scenario.relay
    );
    assert!(checked.stdout.contains(&said), "{}", checked.stdout);
}
