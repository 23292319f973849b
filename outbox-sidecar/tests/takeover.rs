//! Several relays of one name: one is active.

use crate::scenario::Scenario;
use testbed::{ReservedPort, wait};

use crate::scenario::DEADLINE;

/// A second process of the same relay, with an HTTP port of its own.
async fn twin(scenario: &Scenario) -> (testbed::Program, u16, ReservedPort) {
    let port = ReservedPort::find().unwrap();
    let command = testbed::Spawn::new(env!("CARGO_BIN_EXE_outbox-sidecar"))
        .arg("run")
        .arg("-c")
        .arg(scenario.file().to_str().unwrap())
        .arg("--set")
        .arg(format!("http.listen=127.0.0.1:{}", port.number()));
    let program = testbed::Program::start("twin", command).unwrap();
    program
        .logged("the twin to stand by", DEADLINE, |line| {
            line["message"] == "standing by"
        })
        .await
        .unwrap();
    (program, port.number(), port)
}

#[tokio::test]
async fn a_standby_takes_over_from_a_killed_relay() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let active = scenario.start_active().await;
    scenario.enqueue(&client, 0..100).await;
    let (standby, ..) = twin(&scenario).await;
    scenario.enqueue(&client, 100..200).await;
    active.kill().await.unwrap();
    standby
        .logged("the standby to take over", DEADLINE, |line| {
            line["message"] == "active"
        })
        .await
        .unwrap();
    scenario.enqueue(&client, 200..300).await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..300).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_frozen_relay_that_wakes_writes_nothing_and_stands_by() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let frozen = scenario.start_active().await;
    let (standby, ..) = twin(&scenario).await;
    scenario.enqueue(&client, 0..100).await;
    frozen.freeze().unwrap();
    scenario.enqueue(&client, 100..200).await;
    standby
        .logged("the standby to take over", DEADLINE, |line| {
            line["message"] == "active"
        })
        .await
        .unwrap();
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
