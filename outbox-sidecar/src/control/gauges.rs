use std::time::{Duration, Instant};

use outbox_core::Lsn;
use tokio::sync::watch;

use super::Waiting;
use crate::source::slot::Slot;

/// What SQL shows about the relay's surroundings, for metrics and `/status`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauges {
    /// When it was read; `None` before the first time.
    pub(crate) read_at: Option<Instant>,
    /// The end of the server's log.
    pub(crate) wal_end: Option<Lsn>,
    /// The slot, while it exists.
    pub(crate) slot: Option<Slot>,
    /// What is set aside and waits.
    pub(crate) waiting: Option<Waiting>,
    /// Daily partitions that exist after today's.
    pub(crate) partitions_ahead: Option<i32>,
    /// Rows that no daily partition took.
    pub(crate) default_partition_rows: Option<i64>,
}

/// How often they are read.
pub(crate) const GAUGES_INTERVAL: Duration = Duration::from_secs(5);

/// How often is counted what is set aside.
pub(crate) const WAITING_INTERVAL: Duration = Duration::from_secs(15);

/// How often partitions are made ahead.
pub(crate) const PARTITIONS_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// Where the newest gauges are found.
pub(crate) type GaugesReader = watch::Receiver<Gauges>;
