//! As many keys as messages.

use std::time::Instant;

use serde_json::json;

use super::audit::{published, verify};
use crate::scenario::Scenario;
use crate::scenario::memory::allocated_kibibytes_max;

/// What the relay may hold in memory, however many keys it has met: that of a large transaction.
const MEMORY_KIBIBYTES_MAX: u64 = 64 * 1024;
/// Rows of one transaction.
const ROWS_AT_ONCE: usize = 10_000;

/// Publishes so many messages, each of a key of its own.
pub(crate) async fn many_keys(count: usize) {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    let began = Instant::now();
    let insert = "insert into outbox.message (destination, key, type, payload)
                  select $1, 'key of the message with the number ' || n, 'T', convert_to(n::text, 'UTF8')
                  from generate_series($2::int, $3::int) n";
    for first in (0..count).step_by(ROWS_AT_ONCE) {
        let last = count.min(first + ROWS_AT_ONCE) - 1;
        let (first, last) = (i32::try_from(first).unwrap(), i32::try_from(last).unwrap());
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&scenario.target.destination(), &first, &last];
        client.execute(insert, &values).await.unwrap();
    }
    published(&scenario, &client).await;
    let peak = allocated_kibibytes_max(relay.pid().unwrap());
    println!("{count} keys: {peak} KiB after {:?}", began.elapsed());
    assert!(peak > 0 && peak <= MEMORY_KIBIBYTES_MAX, "{peak} KiB");

    let report = verify(&scenario, 0).await;
    for (name, expected) in [
        ("ok", json!(true)),
        ("rows", json!(count)),
        ("messages", json!(count)),
    ] {
        assert_eq!(report[name], expected, "{name}: {report:#}");
    }
}
