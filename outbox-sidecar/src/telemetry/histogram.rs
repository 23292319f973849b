use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::HistogramFn;

/// A histogram with fixed buckets, counted where it is recorded.
///
/// The exporter's own histograms keep every sample until somebody scrapes, and record a thousand
/// messages of one transaction a thousand times: memory without a limit, and work a message.
#[derive(Debug)]
pub(super) struct FixedHistogram {
    name: &'static str,
    help: &'static str,
    /// Upper bounds, ascending; what is above the last counts as `+Inf`.
    bounds: &'static [f64],
    /// One more than bounds.
    buckets: Box<[AtomicU64]>,
    /// The bits of a double.
    sum: AtomicU64,
}

impl FixedHistogram {
    pub(super) fn new(name: &'static str, help: &'static str, bounds: &'static [f64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self {
            name,
            help,
            bounds,
            buckets,
            sum: AtomicU64::new(0),
        }
    }

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// Adds the histogram in Prometheus' text format.
    pub(super) fn render(&self, text: &mut String) {
        let Self { name, help, .. } = self;
        // Writing to a string cannot fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} histogram\n");
        let mut count = 0;
        for (number, bucket) in self.buckets.iter().enumerate() {
            count += bucket.load(Ordering::Relaxed);
            let _ = match self.bounds.get(number) {
                Some(bound) => writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {count}"),
                None => writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {count}"),
            };
        }
        let sum = f64::from_bits(self.sum.load(Ordering::Relaxed));
        let _ = write!(text, "{name}_sum {sum}\n{name}_count {count}\n\n");
    }
}

impl HistogramFn for FixedHistogram {
    fn record(&self, value: f64) {
        self.record_many(value, 1);
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a sum needs no more than 52 bits"
    )]
    fn record_many(&self, value: f64, count: usize) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(count as u64, Ordering::Relaxed);
        }
        let more = value * count as f64;
        // It never refuses: the closure always has an answer.
        let _ = self
            .sum
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |sum| {
                Some((f64::from_bits(sum) + more).to_bits())
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_hold_their_upper_bound() {
        let histogram = FixedHistogram::new("h", "how much", &[1.0, 2.5]);
        histogram.record(1.0);
        histogram.record(2.0);
        histogram.record(9.0);
        let mut text = String::new();
        histogram.render(&mut text);
        assert_eq!(
            text,
            "# HELP h how much\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"2.5\"} 2\n\
             h_bucket{le=\"+Inf\"} 3\nh_sum 12\nh_count 3\n\n"
        );
    }

    /// Were each sample kept or even visited, this would not end.
    #[test]
    fn many_cost_as_much_as_one() {
        let histogram = FixedHistogram::new("h", "how much", &[1.0]);
        histogram.record_many(0.5, 1 << 40);
        let mut text = String::new();
        histogram.render(&mut text);
        assert!(
            text.contains(&format!("h_count {}\n", 1_u64 << 40)),
            "{text}"
        );
        assert!(text.contains(&format!("h_sum {}\n", 1_u64 << 39)), "{text}");
    }
}
