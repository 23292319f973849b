//! The relay never holds up a server that stops, nor a process that is asked to.

use std::time::Duration;

use testbed::{KafkaServer, PostgresServer, Shutdown};

use crate::scenario::observation::assert_calm;
use crate::scenario::{DEADLINE, Scenario};

/// The longest a fast shutdown may take.
const SHUTDOWN_MAX: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_fast_shutdown_passes_an_idle_relay() {
    let postgres = PostgresServer::start().await.unwrap();
    let kafka = testbed::shared_kafka().await.unwrap();
    let scenario = Scenario::new(postgres.address(), kafka).await;
    scenario.init(&[]).await;
    let _relay = scenario.start_active().await;
    let client = scenario.client().await;
    scenario.enqueue(&client, 0..10).await;
    scenario.drained(&client).await;
    drop(client);
    postgres.request_stop(Shutdown::Fast).unwrap();
    postgres.stopped(SHUTDOWN_MAX).await.unwrap();
    postgres.restart().await.unwrap();
    let client = scenario.client().await;
    scenario.enqueue(&client, 10..20).await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..20).collect::<Vec<_>>());
}

/// With the broker frozen, and more rows than the relay's memory may hold.
async fn shutdown_with_a_frozen_broker(rows: usize, payload_bytes: usize) {
    let (postgres, kafka) =
        tokio::try_join!(PostgresServer::start(), KafkaServer::start()).unwrap();
    let scenario = Scenario::new(postgres.address(), kafka.address()).await;
    scenario.init(&[]).await;
    let _relay = scenario.start_active().await;
    let client = scenario.client().await;
    kafka.freeze().unwrap();
    let insert = format!(
        "insert into outbox.message (destination, key, type, payload) \
         select '{}', 'k' || n, 'T', convert_to(repeat('x', {payload_bytes}), 'UTF8') \
         from generate_series(1, {rows}) n",
        scenario.topic().name
    );
    client.batch_execute(&insert).await.unwrap();
    drop(client);
    postgres.request_stop(Shutdown::Fast).unwrap();
    postgres.stopped(SHUTDOWN_MAX).await.unwrap();
    kafka.thaw().unwrap();
    postgres.restart().await.unwrap();
    let client = scenario.client().await;
    scenario.drained(&client).await;
    let mut ids: Vec<_> = scenario
        .records()
        .await
        .iter()
        .map(|record| record.id)
        .collect();
    assert_eq!(ids.len(), rows);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), rows);
}

#[tokio::test]
async fn a_fast_shutdown_passes_a_relay_whose_broker_is_frozen() {
    shutdown_with_a_frozen_broker(10, 100).await;
}

#[tokio::test]
async fn a_fast_shutdown_passes_a_relay_whose_memory_is_full() {
    shutdown_with_a_frozen_broker(100_000, 600).await;
}

#[tokio::test]
async fn a_relay_that_is_asked_to_stop_confirms_what_it_has_published() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    scenario.enqueue(&client, 0..200).await;
    relay.terminate().unwrap();
    assert_eq!(relay.exited(DEADLINE).await.unwrap().code(), Some(0));
    scenario.slot_is_behind_checkpoint(&client).await;
    let durable = scenario.checkpoint().await.unwrap().frontier.lsn;
    assert_eq!(
        scenario.confirmed(&client).await,
        durable,
        "all that is published is confirmed"
    );
    assert_calm(&relay);
    relay.restart().unwrap();
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_relay_that_is_asked_to_stop_does_not_wait_for_a_frozen_broker() {
    let kafka = KafkaServer::start().await.unwrap();
    let postgres = testbed::shared_postgres().await.unwrap();
    let scenario = Scenario::new(postgres, kafka.address()).await;
    scenario.init(&[]).await;
    let client = scenario.client().await;
    let relay = scenario.start_with(&["limits.drain_s_max=3"]);
    scenario.phase("active").await;
    scenario.enqueue(&client, 0..50).await;
    kafka.freeze().unwrap();
    scenario.enqueue(&client, 50..100).await;
    relay.terminate().unwrap();
    assert_eq!(relay.exited(SHUTDOWN_MAX).await.unwrap().code(), Some(0));
    kafka.thaw().unwrap();
    scenario.slot_is_behind_checkpoint(&client).await;
    relay.restart().unwrap();
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..100).collect::<Vec<_>>());
}
