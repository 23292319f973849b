//! Several relays of one name: one is active.

use std::time::Duration;

use testbed::history::{WriterPlan, Writers, check};
use testbed::wait;

use crate::scenario::observation::{assert_calm, lines};
use crate::scenario::{DEADLINE, Scenario, seed};
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
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let scenario = Scenario::initialised().await;
    let one = scenario.start_active().await;
    let other = Twin::standing_by(&scenario).await;
    let mut plan = WriterPlan::new(seed, &scenario.topic().name);
    plan.messages = 12_000;
    plan.pause_max = Duration::from_millis(800);
    let writers = Writers::start(&scenario.database_url, &plan);
    for round in 0..4 {
        // No wait for anything: the random moment at which the fault comes.
        tokio::time::sleep(Duration::from_millis(random.u64(0..1000))).await;
        if round % 2 == 0 {
            one.freeze().unwrap();
            other.phase("active").await;
            one.thaw().unwrap();
            scenario.phase("standby").await;
        } else {
            other.program.freeze().unwrap();
            scenario.phase("active").await;
            other.program.thaw().unwrap();
            other.phase("standby").await;
        }
    }
    let history = writers.finish().await.unwrap();
    scenario.drained(&scenario.client().await).await;
    let report = check(&history, &scenario.records().await);
    assert!(report.is_exactly_once(), "seed {seed}:\n{report}");
    for relay in [&one, &other.program] {
        assert_calm(relay);
        assert!(lines(relay, "active").len() >= 2, "each was active twice");
    }
}
