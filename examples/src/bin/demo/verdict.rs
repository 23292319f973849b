//! What was committed, what was consumed, and the table that compares the two.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;
use testbed::history::{Follower, History, Report, Written, check};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::load::Answers;
use crate::servers::Servers;

/// The end of the demo.
#[derive(Debug)]
pub(crate) struct Verdict {
    report: Report,
    latencies: Vec<Duration>,
    /// From the first commit to the last message's arrival.
    length: Duration,
    killed: u32,
    as_promised: bool,
    about_duplicates: &'static str,
    consumer: &'static str,
}

impl Verdict {
    /// Compares `outbox.message` with what was consumed, from its beginning to its end.
    pub(crate) async fn reach(
        servers: &Servers,
        follower: &Follower,
        answers: &Answers,
        killed: u32,
    ) -> anyhow::Result<Self> {
        let history = History {
            committed: committed(&servers.admin().await?).await?,
            rolled_back: answers.rolled_back.iter().copied().collect(),
        };
        // Both sides of the service agree, or the demo itself is at fault.
        let answered = answers.committed.iter().map(|(id, _)| id);
        if let Some(id) = answered
            .clone()
            .find(|id| !history.committed.contains_key(id))
        {
            bail!("the service said that message {id} was committed, but outbox.message lacks it");
        }
        if let Some(id) = answers
            .rolled_back
            .iter()
            .find(|id| history.committed.contains_key(*id))
        {
            bail!("the service said that message {id} was rolled back, but outbox.message has it");
        }
        let records = servers.outlet.records(follower).await?;
        let report = check(&history, &records);

        let mut arrived: HashMap<Uuid, Instant> = HashMap::new();
        let mut last = None;
        for record in follower.records() {
            last = last.max(Some(record.received));
            if let Some(id) = record.id {
                arrived.entry(id).or_insert(record.received);
            }
        }
        let mut latencies: Vec<Duration> = answers
            .committed
            .iter()
            .filter_map(|(id, answered)| {
                Some(arrived.get(id)?.saturating_duration_since(*answered))
            })
            .collect();
        latencies.sort_unstable();
        let first = answers
            .committed
            .iter()
            .map(|(_, answered)| *answered)
            .min();
        let length = first
            .zip(last)
            .map(|(first, last)| last.saturating_duration_since(first));
        Ok(Self {
            as_promised: servers.outlet.keeps_its_promise(&report),
            about_duplicates: servers.outlet.about_duplicates(),
            consumer: servers.outlet.consumer(),
            report,
            latencies,
            length: length.unwrap_or_default(),
            killed,
        })
    }

    /// Whether everything came out as promised.
    pub(crate) fn is_as_promised(&self) -> bool {
        self.as_promised
    }

    /// The table, and what was wrong with examples.
    pub(crate) fn table(&self) -> String {
        let report = &self.report;
        let counts = [
            ("committed", report.committed, "rows of outbox.message"),
            (
                "rolled back",
                report.rolled_back,
                "enqueued in transactions that were refused",
            ),
            ("published", report.published, self.consumer),
            ("lost", report.lost.count, ""),
            ("duplicated", report.duplicated.count, self.about_duplicates),
            (
                "out of order",
                report.out_of_order.count,
                "within a customer, by the version in the event",
            ),
            ("rolled back seen", report.rolled_back_seen.count, ""),
            (
                "otherwise wrong",
                report.unknown.count + report.altered.count + report.split_keys.count,
                "unknown, altered, or a key in two partitions",
            ),
            ("kills", self.killed as usize, "of the relay, by SIGKILL"),
        ];
        let mut table = String::new();
        for (name, count, note) in counts {
            line(&mut table, name, &grouped(count), note);
        }
        let milliseconds = |share| match percentile(&self.latencies, share) {
            Some(latency) => format!("{:.1} ms", latency.as_secs_f64() * 1000.0),
            None => "none".to_owned(),
        };
        let how = "from the service's answer, sent right after COMMIT, to the consumer";
        line(&mut table, "latency p50", &milliseconds(0.50), how);
        line(
            &mut table,
            "latency p99",
            &milliseconds(0.99),
            "kills included",
        );
        let seconds = self.length.as_secs_f64();
        let rate = report.published as f64 / seconds.max(f64::MIN_POSITIVE);
        let note = format!("first commit to last arrival, {seconds:.1} s");
        line(&mut table, "throughput", &format!("{rate:.0}/s"), &note);
        if !self.as_promised {
            // With examples of each fault.
            let _ = write!(table, "\n{report}\n");
        }
        table
    }
}

fn line(table: &mut String, name: &str, value: &str, note: &str) {
    let line = format!("{name:<18}{value:>12}  {note}");
    table.push_str(line.trim_end());
    table.push('\n');
}

/// The truth: what the transactions left in the table.
async fn committed(admin: &Client) -> anyhow::Result<HashMap<Uuid, Written>> {
    let sql = "select id, destination, key, payload from outbox.message";
    let rows = admin.query(sql, &[]).await?;
    let mut committed = HashMap::with_capacity(rows.len());
    for row in rows {
        let payload: Vec<u8> = row.try_get(3)?;
        let event: Value = serde_json::from_slice(&payload).context("a payload is no JSON")?;
        let version = event.get("version").and_then(Value::as_u64);
        let written = Written {
            destination: row.try_get(1)?,
            key: row.try_get(2)?,
            key_sequence: version.context("an event has no version")?,
            payload: Some(payload),
        };
        committed.insert(row.try_get(0)?, written);
    }
    Ok(committed)
}

/// The smallest value that at least `share` of the sorted ones do not exceed.
fn percentile(sorted: &[Duration], share: f64) -> Option<Duration> {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&sorted, 0.5), Some(Duration::from_millis(100)));
        assert_eq!(percentile(&sorted, 0.99), Some(Duration::from_millis(198)));
        assert_eq!(
            percentile(&sorted[..1], 0.99),
            Some(Duration::from_millis(1))
        );
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let grouped = [0, 999, 1000, 20_012, 1_234_567].map(grouped);
        assert_eq!(grouped, ["0", "999", "1,000", "20,012", "1,234,567"]);
    }
}
