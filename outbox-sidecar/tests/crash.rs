//! Killed at any moment, anything: each message is seen once.

use std::time::Duration;

use testbed::history::{WriterPlan, Writers, check};
use testbed::{KafkaServer, PostgresServer, Shutdown, wait};

use crate::scenario::{DEADLINE, Scenario, seed};

/// How often each part is killed while the writers are at work.
pub(crate) struct Kills {
    pub(crate) relay: usize,
    pub(crate) kafka: usize,
    pub(crate) postgres: usize,
}

#[derive(Clone, Copy)]
enum Victim {
    Relay,
    Kafka,
    Postgres,
}

/// Lets writers work while relay, broker and database are killed at random, then compares what
/// was committed with what a read_committed consumer sees.
pub(crate) async fn crash_mix(messages: usize, kills: Kills) {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let (postgres, kafka) =
        tokio::try_join!(PostgresServer::start(), KafkaServer::start()).unwrap();
    let scenario = Scenario::new(postgres.address(), kafka.address()).await;
    scenario.init(&[]).await;
    let mut victims = vec![Victim::Relay; kills.relay];
    victims.extend(vec![Victim::Kafka; kills.kafka]);
    victims.extend(vec![Victim::Postgres; kills.postgres]);
    random.shuffle(&mut victims);

    let relay = scenario.start();
    let mut plan = WriterPlan::new(seed, &scenario.topic);
    plan.messages = messages;
    plan.pause_max = Duration::from_millis(150);
    let writers = Writers::start(&scenario.database_url, &plan);
    for (number, victim) in victims.iter().enumerate() {
        // Spread over the work, and then a random moment.
        let due = messages * number / (victims.len() + 1);
        wait::until("the writers to go on", DEADLINE, || async {
            writers.committed() >= due
        })
        .await
        .unwrap();
        tokio::time::sleep(Duration::from_millis(random.u64(0..400))).await;
        match victim {
            Victim::Relay => {
                relay.kill().await.unwrap();
                relay.restart().unwrap();
            }
            Victim::Kafka => {
                kafka.kill().await.unwrap();
                kafka.restart().await.unwrap();
            }
            Victim::Postgres => {
                postgres.stop(Shutdown::Immediate).await.unwrap();
                postgres.restart().await.unwrap();
            }
        }
    }
    let history = writers.finish().await.unwrap();
    let client = scenario.client().await;
    scenario.drained(&client).await;
    let report = check(&history, &scenario.records().await);
    println!("{report}");
    assert!(report.is_exactly_once(), "seed {seed}:\n{report}");
    assert!(history.committed.len() >= messages, "{report}");
    relay.terminate().unwrap();
    assert_eq!(relay.exited(DEADLINE).await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn each_message_is_seen_once_whatever_is_killed() {
    crash_mix(
        20_000,
        Kills {
            relay: 20,
            kafka: 2,
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
    // Long enough for the relay to hand over all it can, and for its first time-outs.
    tokio::time::sleep(Duration::from_secs(20)).await;
    relay.kill().await.unwrap();
    kafka.kill().await.unwrap();
    kafka.restart().await.unwrap();
    relay.restart().unwrap();
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..1010).collect::<Vec<_>>());
}
