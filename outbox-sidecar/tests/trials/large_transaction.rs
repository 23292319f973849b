//! A transaction larger than any batch, and kills in its middle.

use std::collections::HashMap;
use std::time::Instant;

use testbed::wait;

use crate::scenario::memory::allocated_kibibytes_max;
use crate::scenario::{DEADLINE, Scenario, seed};

/// The length of every payload: all of them together are far more than the relay may hold.
const PAYLOAD_BYTES: usize = 300;
/// What the relay may hold in memory, whatever the size of a transaction.
const MEMORY_KIBIBYTES_MAX: u64 = 64 * 1024;

/// Commits so many rows in one transaction and kills the relay whenever another share of them has
/// been published.
pub(crate) async fn one_transaction_with_kills(rows: usize, kills: usize) {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    let insert = format!(
        "insert into outbox.message (destination, key, type, payload) \
         select '{}', 'k' || n % 7, 'T', convert_to(rpad(n::text, {PAYLOAD_BYTES}), 'UTF8') \
         from generate_series(0, {rows} - 1) n",
        scenario.topic().name
    );
    client.batch_execute(&insert).await.unwrap();
    let committed = Instant::now();
    let mut peak = 0;
    for kill in 1..=kills {
        // Cuts are seen by consumers as they are made durable: the frontier's index tells.
        let due = u32::try_from(rows * kill / (kills + 1)).unwrap();
        wait::until(&format!("{due} rows published"), DEADLINE, || async {
            let found = scenario.checkpoint().await;
            found.is_some_and(|found| found.last.is_some_and(|last| last.index >= due))
        })
        .await
        .unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(random.u64(0..200))).await;
        peak = peak.max(allocated_kibibytes_max(relay.pid().unwrap()));
        relay.kill().await.unwrap();
        scenario.slot_is_behind_checkpoint(&client).await;
        relay.restart().unwrap();
    }
    scenario.drained(&client).await;
    peak = peak.max(allocated_kibibytes_max(relay.pid().unwrap()));
    println!(
        "{rows} rows, {kills} kills: {:?}, {peak} KiB",
        committed.elapsed()
    );
    assert!(peak > 0 && peak <= MEMORY_KIBIBYTES_MAX, "{peak} KiB");
    let records = scenario.records().await;
    let mut last_of_key = HashMap::new();
    for record in &records {
        let payload = String::from_utf8_lossy(record.payload.as_deref().unwrap());
        let number: usize = payload.trim_end().parse().unwrap();
        let before = last_of_key.insert(record.key.clone(), number);
        let expected = before.map_or(number % 7, |before| before + 7);
        assert_eq!(number, expected, "{record}, seed {seed}");
    }
    assert_eq!(records.len(), rows, "seed {seed}");
}
