//! Killed at any moment, anything: each message is seen once.

use std::time::Duration;

use testbed::KafkaServer;

use crate::broker::Kind;
use crate::scenario::Scenario;
use crate::trials::crash_mix::{Kills, crash_mix};

#[tokio::test]
async fn each_message_is_seen_once_whatever_is_killed() {
    crash_mix(
        Kind::KafkaExactlyOnce,
        20_000,
        Kills {
            relay: 20,
            broker: 2,
            postgres: 2,
        },
    )
    .await;
}

#[tokio::test]
async fn a_frozen_broker_that_is_killed_with_the_relay_loses_nothing() {
    let kafka = KafkaServer::start().await.unwrap();
    let postgres = testbed::shared_postgres().await.unwrap();
    let scenario = Scenario::new(postgres, kafka.address()).await;
    scenario.init(&[]).await;
    let relay = scenario.start_active().await;
    let client = scenario.client().await;
    scenario.enqueue(&client, 0..10).await;
    scenario.drained(&client).await;

    kafka.freeze().unwrap();
    scenario.enqueue(&client, 10..1010).await;
    // No wait for anything: how long the fault lasts. Long enough for the relay to hand over all it
    // can, and for its first time-outs.
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(
        scenario.get("/live").await.unwrap().0,
        200,
        "it waits, and is well"
    );
    relay.kill().await.unwrap();
    kafka.kill().await.unwrap();
    kafka.restart().await.unwrap();
    scenario.slot_is_behind_checkpoint(&client).await;
    relay.restart().unwrap();
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..1010).collect::<Vec<_>>());
}
