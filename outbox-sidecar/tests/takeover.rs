//! Several relays of one name: one is active.

use testbed::wait;

use crate::scenario::{DEADLINE, Scenario};
use crate::trials::zombies::{busy_holder, zombies};
use crate::twin::Twin;

#[tokio::test]
async fn a_standby_takes_over_from_a_killed_relay() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let active = scenario.start_active().await;
    scenario.enqueue(&client, 0..100).await;
    let standby = Twin::standing_by(&scenario).await;
    assert_eq!(standby.answer("/ready").await, 200, "a member");
    assert_eq!(standby.answer("/started").await, 200);
    scenario.enqueue(&client, 100..200).await;
    active.kill().await.unwrap();
    standby.phase("active").await;
    scenario.enqueue(&client, 200..300).await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..300).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_frozen_relay_that_wakes_writes_nothing_and_stands_by() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let frozen = scenario.start_active().await;
    let standby = Twin::standing_by(&scenario).await;
    scenario.enqueue(&client, 0..100).await;
    frozen.freeze().unwrap();
    scenario.enqueue(&client, 100..200).await;
    standby.phase("active").await;
    scenario.enqueue(&client, 200..300).await;
    scenario.drained(&client).await;
    frozen.thaw().unwrap();
    wait::until("the woken relay to stand by", DEADLINE, || async {
        scenario
            .status()
            .await
            .is_some_and(|status| status["phase"] == "standby")
    })
    .await
    .unwrap();
    scenario.enqueue(&client, 300..400).await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..400).collect::<Vec<_>>());
}

#[tokio::test]
async fn relays_that_freeze_in_turn_under_load_publish_each_message_once() {
    zombies(2).await;
}

#[tokio::test]
async fn a_holder_in_the_middle_of_a_large_transaction_is_left_alone() {
    busy_holder(100_000).await;
}
