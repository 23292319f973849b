//! Every metric and label, in one place.

pub(crate) const MESSAGES_PUBLISHED: &str = "outbox_messages_published_total";
pub(crate) const BYTES_PUBLISHED: &str = "outbox_bytes_published_total";
pub(crate) const PUBLISH_LATENCY: &str = "outbox_publish_latency_seconds";
pub(crate) const BATCH_MESSAGES: &str = "outbox_batch_messages";
pub(crate) const COMMIT: &str = "outbox_commit_seconds";
pub(crate) const LAG_BYTES: &str = "outbox_lag_bytes";
pub(crate) const LAG: &str = "outbox_lag_seconds";
pub(crate) const BUFFER_BYTES: &str = "outbox_buffer_bytes";
pub(crate) const RETRIES: &str = "outbox_retries_total";
pub(crate) const RECONNECTS: &str = "outbox_reconnects_total";
pub(crate) const CONNECTED: &str = "outbox_connected";
pub(crate) const SINK_BLOCKED: &str = "outbox_sink_blocked";
pub(crate) const ACTIVE: &str = "outbox_active";
pub(crate) const SLOT_WAL_STATUS: &str = "outbox_slot_wal_status";
pub(crate) const SLOT_SAFE_WAL_BYTES: &str = "outbox_slot_safe_wal_bytes";
pub(crate) const SLOT_INACTIVE: &str = "outbox_slot_inactive_seconds";
pub(crate) const SLOT_INACTIVE_MAX: &str = "outbox_slot_inactive_max_seconds";
pub(crate) const SLOT_INVALIDATED: &str = "outbox_slot_invalidated";
pub(crate) const CHECKPOINT_LSN: &str = "outbox_checkpoint_lsn";
pub(crate) const MESSAGES_PARKED: &str = "outbox_messages_parked_total";
pub(crate) const PARKED: &str = "outbox_parked_messages";
pub(crate) const PARKED_OLDEST: &str = "outbox_parked_oldest_seconds";
pub(crate) const REQUESTS_OPEN: &str = "outbox_requests_open";
pub(crate) const BLOCKED_KEYS: &str = "outbox_blocked_keys";
pub(crate) const DESTINATIONS_GONE: &str = "outbox_destinations_gone";
pub(crate) const UNCLEAN_ENDS: &str = "outbox_unclean_ends";
pub(crate) const REPLAYS: &str = "outbox_replays_total";
pub(crate) const REDELIVERIES: &str = "outbox_redeliveries_total";
pub(crate) const FENCED: &str = "outbox_fenced_total";
pub(crate) const SUSPICIONS: &str = "outbox_suspicions_total";
pub(crate) const PARTITIONS_AHEAD: &str = "outbox_partitions_ahead";
pub(crate) const DEFAULT_PARTITION_ROWS: &str = "outbox_default_partition_rows";

pub(crate) const LABEL_DESTINATION: &str = "destination";
pub(crate) const LABEL_SIDE: &str = "side";
pub(crate) const LABEL_REASON: &str = "reason";
pub(crate) const LABEL_STATUS: &str = "status";
pub(crate) const LABEL_OUTCOME: &str = "outcome";

/// The values of the label `side`.
pub(crate) const SIDE_SOURCE: &str = "source";
pub(crate) const SIDE_SINK: &str = "sink";

/// The values of the label `outcome`.
pub(crate) const OUTCOME_PUBLISHED: &str = "published";
pub(crate) const OUTCOME_SKIPPED: &str = "skipped";
pub(crate) const OUTCOME_RETURNED: &str = "returned";
pub(crate) const OUTCOME_LEFT_OUT: &str = "left-out";
