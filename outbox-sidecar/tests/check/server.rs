//! Servers that are the wrong ones, or have no room.

use testbed::PostgresServer;
use testbed::provision::PostgresVersion;

use super::postgres::{good, server};
use super::{Planted, finds, plant_and_find};
use crate::refused::expect;
use crate::scenario::Scenario;

#[tokio::test]
async fn a_server_that_is_too_old_is_named() {
    let postgres = PostgresServer::options()
        .version(PostgresVersion::V14)
        .start()
        .await
        .unwrap();
    let kafka = testbed::shared_kafka().await.unwrap();
    let scenario = Scenario::new(postgres.address(), kafka).await;
    finds(&scenario, &[], ("error", "server"), "PostgreSQL 14").await;
    let ran = scenario.command(&["init"], &[]).await;
    expect(
        &ran,
        1,
        &["PostgreSQL 14 is too old: the relay needs 15 or later"],
    );
}

/// The server tells another time from now on.
const CLOCK: &[Planted] = &[Planted {
    plant: &[
        "set allow_system_table_mods = on",
        "alter function pg_catalog.clock_timestamp() rename to true_clock_timestamp",
        "create function pg_catalog.clock_timestamp() returns timestamptz language sql \
         as $$ select pg_catalog.true_clock_timestamp() + interval '5 s' $$",
    ],
    line: ("warning", "clock"),
    says: "the server's differs from ours by ",
    mend: &[
        "drop function pg_catalog.clock_timestamp()",
        "alter function pg_catalog.true_clock_timestamp() rename to clock_timestamp",
    ],
}];

#[tokio::test]
async fn a_clock_that_is_off_is_found() {
    let postgres = server().await;
    let (scenario, role) = good(&postgres).await;
    let client = scenario.client().await;
    plant_and_find(&scenario, &client, &role, CLOCK).await;
}

#[tokio::test]
async fn a_server_whose_walsenders_are_all_in_use_is_found() {
    let postgres = PostgresServer::options()
        .setting("max_wal_senders", "1")
        .start()
        .await
        .unwrap();
    let kafka = testbed::shared_kafka().await.unwrap();
    let scenario = Scenario::new(postgres.address(), kafka).await;
    scenario.init(&[]).await;
    let _relay = scenario.start_active().await;
    let line = ("error", "replication connection");
    finds(&scenario, &[], line, "max_wal_senders").await;
}

#[tokio::test]
async fn messages_that_wait_for_a_decision_are_counted() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let _relay = scenario.start_with(&["limits.message_bytes_max=1000B"]);
    scenario.phase("active").await;
    let large = "insert into outbox.message (destination, key, type, payload) \
                 values ($1, 'k', 'T', convert_to(repeat('x', 2000), 'UTF8'))";
    let topic = scenario.target.destination();
    client.execute(large, &[&topic]).await.unwrap();
    scenario.drained(&client).await;
    let line = ("warning", "set aside");
    finds(
        &scenario,
        &[],
        line,
        "waiting: 1 message; not done: 0 requests",
    )
    .await;
}
