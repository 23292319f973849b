//! Metrics as Prometheus reads them.

use std::time::SystemTime;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use outbox_core::Timestamp;

use super::names;
use crate::report::Report;

/// Upper bounds of the time buckets, in seconds.
const SECONDS: [f64; 14] = [
    0.001, 0.002, 0.004, 0.008, 0.016, 0.03, 0.06, 0.12, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0,
];

/// Upper bounds of the buckets of messages a batch.
const MESSAGES: [f64; 8] = [1.0, 3.0, 10.0, 30.0, 100.0, 1000.0, 3000.0, 10000.0];

/// The server's words for how safe a slot's log is.
const WAL_STATUS: [&str; 4] = ["reserved", "extended", "unreserved", "lost"];

/// Starts collecting; once in a process.
pub(crate) fn start() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full(names::BATCH_MESSAGES.to_owned()), &MESSAGES)?
        .install_recorder()?;
    describe();
    Ok(handle)
}

fn describe() {
    describe_counter!(
        names::MESSAGES_PUBLISHED,
        Unit::Count,
        "messages made durable"
    );
    describe_counter!(
        names::BYTES_PUBLISHED,
        Unit::Bytes,
        "bytes of messages made durable"
    );
    describe_histogram!(
        names::PUBLISH_LATENCY,
        Unit::Seconds,
        "from the server's commit time to durable, by the relay's clock"
    );
    describe_histogram!(names::BATCH_MESSAGES, Unit::Count, "messages a batch");
    describe_histogram!(
        names::COMMIT,
        Unit::Seconds,
        "from handing over a batch to its outcome"
    );
    describe_gauge!(
        names::LAG_BYTES,
        Unit::Bytes,
        "log between what is durable and the end"
    );
    describe_gauge!(
        names::LAG,
        Unit::Seconds,
        "how long ago the oldest transaction committed that is not durable"
    );
    describe_gauge!(
        names::BUFFER_BYTES,
        Unit::Bytes,
        "messages that wait for the sink"
    );
    describe_counter!(names::RETRIES, Unit::Count, "failures that are tried again");
    describe_counter!(
        names::RECONNECTS,
        Unit::Count,
        "new connections after a failure"
    );
    describe_gauge!(
        names::CONNECTED,
        Unit::Count,
        "1 while the last contact with the side worked"
    );
    describe_gauge!(names::ACTIVE, Unit::Count, "1 while this relay publishes");
    describe_gauge!(
        names::SLOT_WAL_STATUS,
        Unit::Count,
        "1 at what the server says of the slot"
    );
    describe_gauge!(
        names::SLOT_SAFE_WAL_BYTES,
        Unit::Bytes,
        "log until the slot is in danger"
    );
    describe_gauge!(names::CHECKPOINT_LSN, Unit::Bytes, "the durable frontier");
    describe_counter!(names::FENCED, Unit::Count, "times another relay took over");
    describe_counter!(
        names::SUSPICIONS,
        Unit::Count,
        "batches whose outcome was asked for again, though Kafka's client reported one"
    );
    describe_gauge!(
        names::PARTITIONS_AHEAD,
        Unit::Count,
        "daily partitions after today's"
    );
    describe_gauge!(
        names::DEFAULT_PARTITION_ROWS,
        Unit::Count,
        "rows no daily partition took"
    );
}

/// Sets the gauges that follow from the relay's report.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a double")]
pub(crate) fn set_gauges(report: &Report) {
    let now = Timestamp::from(SystemTime::now());
    let is_active = matches!(report.status.phase, "active" | "recovering" | "draining");
    gauge!(names::ACTIVE).set(f64::from(u8::from(is_active)));
    gauge!(names::LAG).set(report.lag_seconds(now));
    gauge!(names::BUFFER_BYTES).set(report.status.buffer_bytes as f64);
    if let Some(lag_bytes) = report.lag_bytes() {
        gauge!(names::LAG_BYTES).set(lag_bytes as f64);
    }
    if let Some(frontier) = report.status.frontier {
        gauge!(names::CHECKPOINT_LSN).set(frontier.lsn.as_u64() as f64);
    }
    for (side, name) in [
        (&report.source, names::SIDE_SOURCE),
        (&report.sink, names::SIDE_SINK),
    ] {
        gauge!(names::CONNECTED, names::LABEL_SIDE => name)
            .set(f64::from(u8::from(side.connected)));
    }
    let gauges = &report.gauges;
    if let Some(current) = &gauges.slot_wal_status {
        for status in WAL_STATUS {
            gauge!(names::SLOT_WAL_STATUS, names::LABEL_STATUS => status)
                .set(f64::from(u8::from(current == status)));
        }
    }
    if let Some(bytes) = gauges.slot_safe_wal_bytes {
        gauge!(names::SLOT_SAFE_WAL_BYTES).set(bytes as f64);
    }
    if let Some(ahead) = gauges.partitions_ahead {
        gauge!(names::PARTITIONS_AHEAD).set(f64::from(ahead));
    }
    if let Some(rows) = gauges.default_partition_rows {
        gauge!(names::DEFAULT_PARTITION_ROWS).set(rows as f64);
    }
}
