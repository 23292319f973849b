//! Killed at any moment, anything: each message is seen once.

use std::time::Duration;

use testbed::history::{WriterPlan, Writers, check};
use testbed::{PostgresServer, Shutdown, wait};
use tokio_postgres::Client;

use crate::broker::Kind;
use crate::scenario::observation::assert_calm;
use crate::scenario::{DEADLINE, Scenario, seed};

/// How often each part is killed while the writers are at work.
pub(crate) struct Kills {
    pub(crate) relay: usize,
    pub(crate) broker: usize,
    pub(crate) postgres: usize,
}

#[derive(Clone, Copy)]
enum Victim {
    Relay,
    Broker,
    Postgres,
}

/// Lets writers work while relay, broker and database are killed at random, then compares what
/// was committed with what a consumer (in Kafka, of committed records) sees.
pub(crate) async fn crash_mix(kind: Kind, messages: usize, kills: Kills) {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let (postgres, broker) = tokio::join!(PostgresServer::start(), kind.start());
    let postgres = postgres.unwrap();
    let scenario = Scenario::to(postgres.address(), broker.target(kind).await).await;
    scenario.init(&[]).await;
    let mut victims = vec![Victim::Relay; kills.relay];
    victims.extend(vec![Victim::Broker; kills.broker]);
    victims.extend(vec![Victim::Postgres; kills.postgres]);
    random.shuffle(&mut victims);

    let relay = scenario.start();
    let mut plan = WriterPlan::new(seed, scenario.target.destination());
    plan.messages = messages;
    plan.pause_max = pause_max(messages, victims.len());
    let writers = Writers::start(&scenario.database_url, &plan);
    for (number, victim) in victims.iter().enumerate() {
        // Spread over the work, and then a random moment.
        let due = messages * number / (victims.len() + 1);
        wait::until("the writers to go on", DEADLINE, || async {
            writers.committed() >= due
        })
        .await
        .unwrap();
        tokio::time::sleep(Duration::from_millis(random.u64(0..2000))).await;
        match victim {
            Victim::Relay => {
                relay.kill().await.unwrap();
                if random.usize(0..4) == 0 {
                    scenario
                        .slot_is_behind_checkpoint(&scenario.client().await)
                        .await;
                }
                relay.restart().unwrap();
            }
            Victim::Broker => {
                broker.kill().await;
                // The relay dies while the broker is away, or while it comes back, too.
                let moment = random.bool().then(|| random.u64(0..10_000));
                let meddle = async {
                    if let Some(moment) = moment {
                        tokio::time::sleep(Duration::from_millis(moment)).await;
                        relay.kill().await.unwrap();
                        relay.restart().unwrap();
                    }
                };
                tokio::join!(broker.restart(), meddle);
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
    assert_eq!(set_aside(&client).await, [], "seed {seed}");
    let records = scenario.records().await;
    scenario.target.assert_commit_order(&records);
    let report = check(&history, &records);
    println!("{report}");
    let kept = scenario.target.keeps_its_promise(&report);
    assert!(kept, "{kind:?}, seed {seed}:\n{report}");
    assert!(history.committed.len() >= messages, "{report}");
    relay.terminate().unwrap();
    assert_eq!(relay.exited(DEADLINE).await.unwrap().code(), Some(0));
    scenario.slot_is_behind_checkpoint(&client).await;
    assert_calm(&relay);
}

/// What was set aside, by reason and key, and how much of it: kills are no reason for anything.
async fn set_aside(client: &Client) -> Vec<(String, Option<String>, i64)> {
    let sql = "select reason, key, count(*) from outbox.parked group by 1, 2 order by 1, 2";
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect()
}

/// How long the writers pause between their transactions, so that they are at work for about as
/// long as the kills take.
fn pause_max(messages: usize, kills: usize) -> Duration {
    const MESSAGES_PER_TRANSACTION: usize = 28;
    const WRITERS: usize = 8;
    let transactions = (messages / MESSAGES_PER_TRANSACTION / WRITERS).max(1);
    let pauses = Duration::from_millis(1500) * u32::try_from(kills).unwrap();
    // The mean pause is half of the longest.
    2 * pauses / u32::try_from(transactions).unwrap()
}
