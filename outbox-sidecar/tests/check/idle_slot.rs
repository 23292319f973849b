//! A slot that ends because nobody has read it for too long: from PostgreSQL 18 on.

use testbed::PostgresServer;
use testbed::provision::PostgresVersion;

use super::postgres::RELOAD;
use super::{findings, finds, is};
use crate::refused::expect;
use crate::scenario::{DEADLINE, Scenario};

#[tokio::test]
async fn a_slot_that_nobody_has_read_for_too_long_is_found_before_and_after_its_end() {
    let postgres = PostgresServer::options()
        .version(PostgresVersion::V18)
        .start()
        .await
        .unwrap();
    let kafka = testbed::shared_kafka().await.unwrap();
    let scenario = Scenario::new(postgres.address(), kafka).await;
    scenario.init(&[]).await;
    let client = scenario.client().await;
    let timeout = "alter system set idle_replication_slot_timeout = '4s'";
    for statement in [timeout, RELOAD] {
        client.batch_execute(statement).await.unwrap();
    }

    // Whoever reads it keeps it.
    let relay = scenario.start_active().await;
    let read = scenario.status_where("the slot's gauges", |status| {
        status["slot_inactive_max_seconds"] == 4 && status["slot_inactive_seconds"] == 0
    });
    read.await;
    assert_eq!(
        scenario.metric("outbox_slot_inactive_seconds").await,
        Some(0.0)
    );
    assert_eq!(
        scenario.metric("outbox_slot_inactive_max_seconds").await,
        Some(4.0)
    );
    let reason = "outbox_slot_invalidated{reason=\"idle_timeout\"}";
    assert_eq!(scenario.metric(reason).await, Some(0.0));
    relay.terminate().unwrap();
    assert_eq!(relay.exited(DEADLINE).await.unwrap().code(), Some(0));

    let line = ("warning", "slot");
    let says = "after 4 s the server gives it up";
    testbed::wait::until("a slot near its end", DEADLINE, async || {
        let (found, _) = findings(&scenario, &[]).await;
        found.iter().any(|finding| is(finding, line, says))
    })
    .await
    .unwrap();

    let lost = "select invalidation_reason = 'idle_timeout' from pg_replication_slots \
                where slot_name = $1";
    testbed::wait::until("the slot given up", DEADLINE, async || {
        client.batch_execute("checkpoint").await.unwrap();
        let row = client.query_one(lost, &[&scenario.slot()]).await.unwrap();
        row.get::<_, Option<bool>>(0) == Some(true)
    })
    .await
    .unwrap();
    finds(
        &scenario,
        &[],
        ("error", "slot"),
        "invalidated: idle_timeout",
    )
    .await;
    expect(
        &scenario.run_to_end().await,
        4,
        &["the replication slot is lost", "idle_timeout"],
    );
}
