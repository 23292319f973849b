//! What every sink must stand, through the relay: a new one is done when it passes.

use testbed::{PostgresServer, Shutdown};

use crate::broker::{Broker, Kind};
use crate::scenario::observation::assert_calm;
use crate::scenario::{DEADLINE, Scenario};
use crate::trials::crash_mix::{Kills, crash_mix};
use crate::twin::Twin;

/// One module of tests for each kind.
macro_rules! conforms {
    ($name:ident, $kind:expr) => {
        mod $name {
            use super::*;

            #[tokio::test]
            async fn whatever_is_killed_nothing_is_lost_and_each_key_is_in_order() {
                whatever_is_killed($kind).await;
            }

            #[tokio::test]
            async fn a_broker_that_is_away_or_frozen_is_waited_for() {
                away_and_frozen($kind).await;
            }

            #[tokio::test]
            async fn of_two_relays_one_publishes_and_the_other_takes_over() {
                two_relays($kind).await;
            }

            #[tokio::test]
            async fn a_fast_shutdown_of_the_database_passes() {
                fast_shutdown($kind).await;
            }
        }
    };
}

conforms!(kafka_exactly_once, Kind::KafkaExactlyOnce);
conforms!(kafka_at_least_once, Kind::KafkaAtLeastOnce);
conforms!(classic_queue, Kind::ClassicQueue);
conforms!(quorum_queue, Kind::QuorumQueue);
conforms!(stream, Kind::Stream);

/// So that a test does not wait for half a minute once a server is back.
const IMPATIENT: [&str; 1] = ["retry.delay_ms_max=1000"];

async fn whatever_is_killed(kind: Kind) {
    let kills = Kills {
        relay: 5,
        broker: 1,
        postgres: 1,
    };
    crash_mix(kind, 4_000, kills).await;
}

/// A relay on a broker of its own.
async fn scenario_on(broker: &Broker, kind: Kind) -> Scenario {
    let postgres = testbed::shared_postgres().await.unwrap();
    let scenario = Scenario::to(postgres, broker.target(kind).await).await;
    scenario.init(&[]).await;
    scenario
}

async fn sink_in_trouble(scenario: &Scenario) {
    scenario
        .status_where("the sink in trouble", |status| {
            status["sink"]["connected"] == false && status["sink"]["error"].is_string()
        })
        .await;
}

async fn away_and_frozen(kind: Kind) {
    let broker = kind.start().await;
    let scenario = scenario_on(&broker, kind).await;
    let client = scenario.client().await;
    let relay = scenario.start_with(&IMPATIENT);
    scenario.enqueue(&client, 0..50).await;
    scenario.drained(&client).await;

    broker.kill().await;
    scenario.enqueue(&client, 50..150).await;
    sink_in_trouble(&scenario).await;
    let (code, why) = scenario.get("/ready").await.unwrap();
    assert_eq!(code, 200, "it takes part and waits");
    assert!(why.contains("sink: "), "{why}");
    broker.restart().await;
    scenario.drained(&client).await;

    broker.freeze();
    scenario.enqueue(&client, 150..250).await;
    sink_in_trouble(&scenario).await;
    broker.thaw();
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..250).collect::<Vec<_>>());
    assert_calm(&relay);
}

async fn two_relays(kind: Kind) {
    let broker = kind.start().await;
    let scenario = scenario_on(&broker, kind).await;
    let client = scenario.client().await;
    let one = scenario.start_active().await;
    let other = Twin::standing_by(&scenario).await;
    scenario.enqueue(&client, 0..100).await;
    one.kill().await.unwrap();
    scenario.enqueue(&client, 100..200).await;
    other.phase("active").await;
    scenario.drained(&client).await;

    one.restart().unwrap();
    scenario.phase("standby").await;
    other.program.freeze().unwrap();
    scenario.enqueue(&client, 200..300).await;
    scenario.phase("active").await;
    scenario.drained(&client).await;
    let seen = scenario.records().await.len();
    other.program.thaw().unwrap();
    other.phase("standby").await;
    if !matches!(kind, Kind::KafkaAtLeastOnce) {
        // There it may repeat what the database had sent it before.
        assert_eq!(scenario.records().await.len(), seen, "the one that woke");
    }
    scenario.enqueue(&client, 300..400).await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..400).collect::<Vec<_>>());
    assert_calm(&other.program);
}

async fn fast_shutdown(kind: Kind) {
    let (postgres, broker) = tokio::join!(PostgresServer::start(), kind.start());
    let postgres = postgres.unwrap();
    let scenario = Scenario::to(postgres.address(), broker.target(kind).await).await;
    scenario.init(&[]).await;
    let _relay = scenario.start_active().await;
    let client = scenario.client().await;
    scenario.enqueue(&client, 0..10).await;
    scenario.drained(&client).await;
    drop(client);
    postgres.request_stop(Shutdown::Fast).unwrap();
    postgres.stopped(DEADLINE / 4).await.unwrap();
    postgres.restart().await.unwrap();
    let client = scenario.client().await;
    scenario.enqueue(&client, 10..20).await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..20).collect::<Vec<_>>());
}
