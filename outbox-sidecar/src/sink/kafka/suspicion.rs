//! Traces of requests that librdkafka repeated inside, without a word to its caller.
//!
//! A repeated EndTxn carries the same producer id and epoch, so a first, delayed copy can end the
//! *next* transaction: half of it would become visible. Wherever that may have happened, the
//! producer is thrown away before another transaction begins (its successor's epoch refuses the
//! ghost) and the checkpoint says what is durable. A false suspicion costs one new producer.

use crate::telemetry::names;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Why an ended transaction is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Suspicion {
    /// The reason as a metric's label.
    pub(super) label: &'static str,
    /// What was seen.
    pub(super) text: String,
}

impl Suspicion {
    /// Says that this suspicion is acted upon.
    pub(super) fn count(&self) {
        metrics::counter!(names::SUSPICIONS, names::LABEL_REASON => self.label).increment(1);
    }

    /// What librdkafka still has to say may be a trace.
    pub(super) fn events_not_served() -> Self {
        Self {
            label: SLOW_CALL,
            text: "librdkafka's events were not served in time".to_owned(),
        }
    }

    /// Whether the broker was merely slow: then a longer patience helps.
    pub(super) fn is_slowness(&self) -> bool {
        self.label == SLOW_CALL
    }
}

const REQUEST_TIMEOUT: &str = "request-timeout";
const CONNECTION_FAILURE: &str = "connection-failure";
const HIDDEN_RETRY: &str = "hidden-retry";
const SLOW_CALL: &str = "slow-call";
/// What librdkafka's word of a failed transaction ends in where it takes a new epoch.
const NEW_EPOCH: &str = ", requires epoch bump)";

/// What a producer's log lines and statistics have said so far.
#[derive(Debug, Default)]
pub(super) struct Traces {
    request_timeouts: AtomicU64,
    connection_failures: AtomicU64,
    hidden_retries: AtomicU64,
    new_epochs: AtomicU64,
    statistics: Mutex<Option<Statistics>>,
}

/// Sums over all brokers since the producer began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Statistics {
    request_timeouts: u64,
    retries: u64,
    disconnects: u64,
}

/// The traces at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    request_timeouts: u64,
    connection_failures: u64,
    hidden_retries: u64,
    new_epochs: u64,
}

impl Traces {
    /// A log line: librdkafka names its kind by a facility.
    pub(super) fn log_line(&self, facility: &str, message: &str) {
        match facility {
            "TXNERR" if message.contains(NEW_EPOCH) => {
                self.new_epochs.fetch_add(1, Ordering::SeqCst)
            }
            "REQTMOUT" => self.request_timeouts.fetch_add(1, Ordering::SeqCst),
            "FAIL" => self.connection_failures.fetch_add(1, Ordering::SeqCst),
            _ => 0,
        };
    }

    /// The statistics, as the JSON that librdkafka emits.
    ///
    /// The first emission only says where counting starts: connecting costs retries of its own.
    pub(super) fn statistics(&self, json: &[u8]) {
        let Ok(json) = std::str::from_utf8(json) else {
            return;
        };
        let now = Statistics {
            request_timeouts: sum(json, "\"req_timeouts\":"),
            retries: sum(json, "\"txretries\":"),
            disconnects: sum(json, "\"disconnects\":"),
        };
        let Ok(mut last) = self.statistics.lock() else {
            return;
        };
        if let Some(before) = last.replace(now) {
            let grown = |now: u64, before: u64| now.saturating_sub(before);
            let retries = grown(now.request_timeouts, before.request_timeouts)
                + grown(now.retries, before.retries);
            let failures = grown(now.disconnects, before.disconnects);
            self.hidden_retries.fetch_add(retries, Ordering::SeqCst);
            self.connection_failures
                .fetch_add(failures, Ordering::SeqCst);
        }
    }

    /// Where a transaction's watch begins. Lost connections between transactions are idle ones
    /// and harmless; a repeated request may be told of late, so those count from `watched`, the
    /// end of the transaction before.
    pub(super) fn begin(&self, watched: Mark) -> Mark {
        Mark {
            connection_failures: self.connection_failures.load(Ordering::SeqCst),
            new_epochs: self.new_epochs.load(Ordering::SeqCst),
            ..watched
        }
    }

    /// The traces as they stand.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            request_timeouts: self.request_timeouts.load(Ordering::SeqCst),
            connection_failures: self.connection_failures.load(Ordering::SeqCst),
            hidden_retries: self.hidden_retries.load(Ordering::SeqCst),
            new_epochs: self.new_epochs.load(Ordering::SeqCst),
        }
    }

    /// Whether a transaction that began at `since` can only be rolled back with a new epoch: the
    /// roll-back then ends once the epoch is there, which takes half a second and refuses whatever
    /// was delayed of it.
    pub(super) fn needs_new_epoch(&self, since: Mark) -> bool {
        self.mark().new_epochs != since.new_epochs
    }

    /// What speaks against believing the transaction that began at `since` and whose end (commit
    /// or abort) took `ending`, when a sound one takes less than `slow`.
    pub(super) fn suspicion(
        &self,
        since: Mark,
        ending: Duration,
        slow: Duration,
    ) -> Option<Suspicion> {
        let now = self.mark();
        let found = |label, text: String| Some(Suspicion { label, text });
        if now.request_timeouts != since.request_timeouts {
            found(
                REQUEST_TIMEOUT,
                "a request timed out and was repeated".to_owned(),
            )
        } else if now.hidden_retries != since.hidden_retries {
            found(
                HIDDEN_RETRY,
                "the statistics show repeated requests".to_owned(),
            )
        } else if now.connection_failures != since.connection_failures {
            found(
                CONNECTION_FAILURE,
                "a connection was lost meanwhile".to_owned(),
            )
        } else if ending >= slow {
            let text = format!(
                "ending the transaction took {} ms: within {} ms no request can have been repeated",
                ending.as_millis(),
                slow.as_millis()
            );
            found(SLOW_CALL, text)
        } else {
            None
        }
    }
}

/// Adds up the number after each `key`: a full parse of the statistics would cost far more than
/// they are worth.
fn sum(json: &str, key: &str) -> u64 {
    let number = |rest: &str| {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        rest.get(..digits)
            .and_then(|text| text.parse::<u64>().ok())
            .unwrap_or(0)
    };
    json.split(key).skip(1).map(number).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(1);
    const SLOW: Duration = Duration::from_millis(50);

    fn label(traces: &Traces, since: Mark, ending: Duration) -> Option<&'static str> {
        traces
            .suspicion(since, ending, SLOW)
            .map(|found| found.label)
    }

    #[test]
    fn each_trace_makes_the_transaction_suspect() {
        let traces = Traces::default();
        let mark = traces.begin(Mark::default());
        assert_eq!(label(&traces, mark, QUICK), None);
        assert_eq!(label(&traces, mark, SLOW), Some(SLOW_CALL));
        traces.log_line("FAIL", "");
        assert_eq!(label(&traces, mark, QUICK), Some(CONNECTION_FAILURE));
        traces.log_line("REQTMOUT", "");
        assert_eq!(label(&traces, mark, QUICK), Some(REQUEST_TIMEOUT));
        assert_eq!(label(&traces, traces.mark(), QUICK), None);
        traces.log_line("CONNECTED", "");
        assert_eq!(label(&traces, traces.mark(), QUICK), None);
    }

    #[test]
    fn a_transaction_that_takes_a_new_epoch_is_told_from_others() {
        let traces = Traces::default();
        let since = traces.begin(Mark::default());
        let line = |detail: &str| {
            format!("[thrd:a]: Current transaction failed in state InTransaction: b ({detail})")
        };
        traces.log_line("TXNERR", &line("MSG_SIZE_TOO_LARGE"));
        assert!(!traces.needs_new_epoch(since));
        traces.log_line(
            "TXNERR",
            &line("OUT_OF_ORDER_SEQUENCE_NUMBER, requires epoch bump"),
        );
        assert!(traces.needs_new_epoch(since));
        assert!(!traces.needs_new_epoch(traces.mark()));
    }

    #[test]
    fn an_idle_connection_may_be_lost_but_a_late_word_of_a_retry_counts() {
        let traces = Traces::default();
        let ended = traces.mark();
        traces.log_line("FAIL", "");
        assert_eq!(label(&traces, traces.begin(ended), QUICK), None);
        traces.log_line("REQTMOUT", "");
        assert_eq!(
            label(&traces, traces.begin(ended), QUICK),
            Some(REQUEST_TIMEOUT)
        );
    }

    #[test]
    fn statistics_count_from_their_first_emission() {
        let statistics = |timeouts: u64, retries: u64, disconnects: u64| {
            format!(
                r#"{{"brokers":{{"a":{{"txretries":{retries},"req_timeouts":0,"disconnects":1, }},
                "b":{{"txretries":1,"req_timeouts":{timeouts},"disconnects":{disconnects}}}}}}}"#
            )
        };
        let traces = Traces::default();
        traces.statistics(statistics(3, 4, 5).as_bytes());
        assert_eq!(traces.mark(), Mark::default());
        traces.statistics(statistics(3, 4, 5).as_bytes());
        assert_eq!(label(&traces, Mark::default(), QUICK), None);
        traces.statistics(statistics(3, 6, 5).as_bytes());
        assert_eq!(label(&traces, Mark::default(), QUICK), Some(HIDDEN_RETRY));
        let mark = traces.mark();
        traces.statistics(statistics(3, 6, 7).as_bytes());
        assert_eq!(label(&traces, mark, QUICK), Some(CONNECTION_FAILURE));
    }
}
