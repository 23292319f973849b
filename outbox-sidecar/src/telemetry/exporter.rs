//! Metrics as Prometheus reads them.

use std::time::SystemTime;

use metrics::{SetRecorderError, Unit, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusBuilder;
use outbox_core::Timestamp;
use outbox_core::relay::ParkReason;
use outbox_core::sink::RefusalReason;

use super::histogram::FixedHistogram;
use super::names;
use super::recorder::{FixedRecorder, MetricsHandle};
use super::slot;
use crate::report::Report;

/// Upper bounds of the time buckets, in seconds.
const SECONDS: [f64; 14] = [
    0.001, 0.002, 0.004, 0.008, 0.016, 0.03, 0.06, 0.12, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0,
];

/// Upper bounds of the buckets of messages a batch.
const MESSAGES: [f64; 8] = [1.0, 3.0, 10.0, 30.0, 100.0, 1000.0, 3000.0, 10000.0];

/// Why messages are set aside.
const PARK_REASONS: [&str; 8] = [
    ParkReason::KeyBlocked.as_str(),
    ParkReason::Refused(RefusalReason::TooLarge).as_str(),
    ParkReason::Refused(RefusalReason::DestinationMissing).as_str(),
    ParkReason::Refused(RefusalReason::DestinationInvalid).as_str(),
    ParkReason::Refused(RefusalReason::NotAuthorised).as_str(),
    ParkReason::Refused(RefusalReason::HeadersInvalid).as_str(),
    ParkReason::Refused(RefusalReason::Rejected).as_str(),
    ParkReason::Refused(RefusalReason::Crashes).as_str(),
];

/// Starts collecting; once in a process.
pub(crate) fn start() -> Result<MetricsHandle, SetRecorderError<FixedRecorder>> {
    let recorder = recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)?;
    describe();
    begin_at_zero();
    Ok(handle)
}

/// Shows counters before their first event: a rate needs a zero to begin from.
fn begin_at_zero() {
    counter!(names::BYTES_PUBLISHED).increment(0);
    counter!(names::FENCED).increment(0);
    for side in [names::SIDE_SOURCE, names::SIDE_SINK] {
        counter!(names::RECONNECTS, names::LABEL_SIDE => side).increment(0);
    }
}

/// A recorder of everything that this program counts.
pub(crate) fn recorder() -> FixedRecorder {
    FixedRecorder::new(
        PrometheusBuilder::new().build_recorder(),
        [
            FixedHistogram::new(
                names::PUBLISH_LATENCY,
                "from the server's commit time to durable, by the relay's clock",
                &SECONDS,
            ),
            FixedHistogram::new(names::BATCH_MESSAGES, "messages a batch", &MESSAGES),
            FixedHistogram::new(
                names::COMMIT,
                "from handing over a batch to its outcome",
                &SECONDS,
            ),
        ],
    )
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
    slot::describe();
    describe_gauge!(names::CHECKPOINT_LSN, Unit::Bytes, "the durable frontier");
    describe_counter!(
        names::MESSAGES_PARKED,
        Unit::Count,
        "messages set aside in outbox.parked"
    );
    describe_gauge!(
        names::PARKED,
        Unit::Count,
        "messages that are set aside and wait, by why"
    );
    describe_gauge!(
        names::PARKED_OLDEST,
        Unit::Seconds,
        "since when the first of them waits; 0 when none does"
    );
    describe_gauge!(
        names::REQUESTS_OPEN,
        Unit::Count,
        "requests that are not carried out yet"
    );
    describe_gauge!(
        names::BLOCKED_KEYS,
        Unit::Count,
        "keys whose messages wait behind one that was set aside"
    );
    describe_gauge!(
        names::DESTINATIONS_GONE,
        Unit::Count,
        "destinations that refuse every message"
    );
    describe_gauge!(
        names::UNCLEAN_ENDS,
        Unit::Count,
        "processes in a row that ended without a word; 0 once one got past that"
    );
    describe_counter!(
        names::REPLAYS,
        Unit::Count,
        "messages of requests that were carried out, by what became of them"
    );
    describe_counter!(
        names::REDELIVERIES,
        Unit::Count,
        "messages of redeliveries that were carried out, by what became of them"
    );
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
    let is_active = report.status.phase.is_holder();
    gauge!(names::ACTIVE).set(f64::from(u8::from(is_active)));
    gauge!(names::BUFFER_BYTES).set(report.status.buffer_bytes as f64);
    gauge!(names::BLOCKED_KEYS).set(report.status.blocked_keys as f64);
    gauge!(names::DESTINATIONS_GONE).set(report.status.destinations_gone as f64);
    gauge!(names::UNCLEAN_ENDS).set(f64::from(report.status.unclean_ends));
    // A relay that is no longer active knows none of these: its last values would stand for ever.
    gauge!(names::LAG).set(report.lag_seconds(now).unwrap_or(f64::NAN));
    gauge!(names::LAG_BYTES).set(report.lag_bytes().map_or(f64::NAN, |bytes| bytes as f64));
    let frontier = report.status.frontier.map(|frontier| frontier.lsn.as_u64());
    gauge!(names::CHECKPOINT_LSN).set(frontier.map_or(f64::NAN, |lsn| lsn as f64));
    for (side, name) in [
        (&report.source, names::SIDE_SOURCE),
        (&report.sink, names::SIDE_SINK),
    ] {
        gauge!(names::CONNECTED, names::LABEL_SIDE => name)
            .set(f64::from(u8::from(side.connected)));
    }
    let gauges = &report.gauges;
    if gauges.read_at.is_some() {
        slot::set(gauges.slot.as_ref());
    }
    if let Some(waiting) = &gauges.waiting {
        for reason in PARK_REASONS {
            let count = waiting.messages.get(reason).copied().unwrap_or(0);
            gauge!(names::PARKED, names::LABEL_REASON => reason).set(count as f64);
        }
        gauge!(names::PARKED_OLDEST).set(waiting.oldest_age_seconds.unwrap_or(0.0));
        gauge!(names::REQUESTS_OPEN).set(waiting.requests as f64);
    }
    if let Some(ahead) = gauges.partitions_ahead {
        gauge!(names::PARTITIONS_AHEAD).set(f64::from(ahead));
    }
    if let Some(rows) = gauges.default_partition_rows {
        gauge!(names::DEFAULT_PARTITION_ROWS).set(rows as f64);
    }
}

#[cfg(test)]
mod tests {
    use metrics::histogram;
    use outbox_core::relay::{Phase, Status};
    use outbox_core::{Frontier, Lsn};

    use super::*;

    fn status(phase: Phase, frontier: Option<Frontier>) -> Status {
        Status {
            phase,
            frontier,
            confirmed: None,
            sequence: None,
            seen: Some(Lsn::new(120)),
            cluster: None,
            buffer_bytes: 7,
            in_flight: 0,
            oldest_commit_time: None,
            blocked_keys: 0,
            destinations_gone: 0,
            unclean_ends: 0,
            careful_messages: 0,
        }
    }

    fn has(text: &str, line: &str) {
        assert!(
            text.lines().any(|written| written == line),
            "{line} is not in:\n{text}"
        );
    }

    #[test]
    fn the_page_holds_gauges_counters_and_histograms() {
        let recorder = recorder();
        let text = metrics::with_local_recorder(&recorder, || {
            describe();
            begin_at_zero();
            let frontier = Some(Frontier::at(Lsn::new(100)));
            set_gauges(&Report::starting("policy", status(Phase::Active, frontier)));
            histogram!(names::BATCH_MESSAGES).record(3.0);
            histogram!(names::PUBLISH_LATENCY).record_many(0.003, 1000);
            recorder.handle().render()
        });
        has(&text, "outbox_active 1");
        has(&text, "outbox_lag_bytes 20");
        has(&text, "outbox_checkpoint_lsn 100");
        has(&text, "outbox_buffer_bytes 7");
        has(&text, "outbox_connected{side=\"sink\"} 0");
        has(&text, "outbox_fenced_total 0");
        has(&text, "outbox_reconnects_total{side=\"source\"} 0");
        has(&text, "outbox_batch_messages_bucket{le=\"3\"} 1");
        has(
            &text,
            "outbox_publish_latency_seconds_bucket{le=\"0.002\"} 0",
        );
        has(
            &text,
            "outbox_publish_latency_seconds_bucket{le=\"0.004\"} 1000",
        );
        has(&text, "outbox_publish_latency_seconds_count 1000");
        has(&text, "# TYPE outbox_commit_seconds histogram");
    }

    #[test]
    fn a_relay_that_was_active_does_not_go_on_showing_its_last_lag() {
        let recorder = recorder();
        let text = metrics::with_local_recorder(&recorder, || {
            let frontier = Some(Frontier::at(Lsn::new(100)));
            set_gauges(&Report::starting("policy", status(Phase::Active, frontier)));
            set_gauges(&Report::starting("policy", status(Phase::Standby, None)));
            recorder.handle().render()
        });
        has(&text, "outbox_active 0");
        has(&text, "outbox_lag_bytes NaN");
        has(&text, "outbox_lag_seconds NaN");
        has(&text, "outbox_checkpoint_lsn NaN");
    }
}
