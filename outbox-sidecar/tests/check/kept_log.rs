//! Slots that keep log which the server would have dropped.

use super::postgres::{RELOAD, good, server};
use super::{Planted, plant_and_find};

/// Enough log for a slot that nobody reads to keep more than the server would.
const LOG: &str = "select pg_logical_emit_message(false, 'x', repeat('x', 1000000)) \
                   from generate_series(1, 60)";
const SMALL: &str = "alter system set max_wal_size = '32MB'";
const LARGE: &str = "alter system reset max_wal_size";

const FAULTS: &[Planted] = &[
    Planted {
        plant: &[SMALL, RELOAD, LOG],
        line: ("warning", "log on disk"),
        says: ", which nobody reads, keeps ",
        mend: &[LARGE, RELOAD],
    },
    Planted {
        plant: &[
            "select pg_create_physical_replication_slot('orphan', true)",
            SMALL,
            RELOAD,
            LOG,
        ],
        line: ("warning", "log on disk"),
        says: "orphan, which nobody reads, keeps ",
        mend: &["select pg_drop_replication_slot('orphan')", LARGE, RELOAD],
    },
];

#[tokio::test]
async fn slots_that_keep_more_log_than_the_server_needs_are_found() {
    let postgres = server().await;
    let (scenario, role) = good(&postgres).await;
    let client = scenario.client().await;
    plant_and_find(&scenario, &client, &role, FAULTS).await;
}
