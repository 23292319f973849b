//! The long tier: the same promises, for longer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]
// Shared with the ordinary tier, which uses all of it.
#![allow(dead_code)]

mod crash;
mod idle;
mod scenario;

use testbed::wait;

use crate::crash::{Kills, crash_mix};
use crate::idle::busy_neighbour;
use crate::scenario::{DEADLINE, Scenario};

#[tokio::test]
async fn each_message_is_seen_once_whatever_is_killed_for_long() {
    let kills = Kills {
        relay: 100,
        kafka: 5,
        postgres: 5,
    };
    crash_mix(200_000, kills).await;
}

#[tokio::test]
async fn the_slot_follows_a_gigabyte_of_foreign_log() {
    busy_neighbour(1024).await;
}

#[tokio::test]
async fn a_transaction_of_a_million_rows_is_resumed_in_its_middle() {
    const ROWS: usize = 1_000_000;
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let relay = scenario.start();
    let sql = format!(
        "insert into outbox.message (destination, key, type, payload) \
         select '{}', 'k' || n % 100, 'T', convert_to(n::text, 'UTF8') \
         from generate_series(1, {ROWS}) n",
        scenario.topic
    );
    client.batch_execute(&sql).await.unwrap();
    for part in 1..4_u64 {
        let wanted = part * 200_000;
        wait::until(
            "more of the transaction to be published",
            DEADLINE,
            || async {
                scenario.status().await.is_some_and(|status| {
                    let frontier = status["frontier"].as_str().unwrap_or_default().to_owned();
                    let index = frontier
                        .rsplit(':')
                        .next()
                        .and_then(|index| index.parse().ok());
                    index.unwrap_or(0_u64) >= wanted
                })
            },
        )
        .await
        .unwrap();
        relay.kill().await.unwrap();
        relay.restart().unwrap();
    }
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (1..=ROWS).collect::<Vec<_>>());
}
