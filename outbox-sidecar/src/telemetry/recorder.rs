use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{PrometheusHandle, PrometheusRecorder};

use super::histogram::FixedHistogram;

/// Counts for Prometheus: counters and gauges by the exporter, histograms by our own.
pub(crate) struct FixedRecorder {
    exporter: PrometheusRecorder,
    histograms: Arc<[Arc<FixedHistogram>]>,
}

/// Everything that is counted, to be read.
#[derive(Clone)]
pub(crate) struct MetricsHandle {
    exporter: PrometheusHandle,
    histograms: Arc<[Arc<FixedHistogram>]>,
}

impl FixedRecorder {
    pub(super) fn new(
        exporter: PrometheusRecorder,
        histograms: impl IntoIterator<Item = FixedHistogram>,
    ) -> Self {
        Self {
            exporter,
            histograms: histograms.into_iter().map(Arc::new).collect(),
        }
    }

    pub(crate) fn handle(&self) -> MetricsHandle {
        MetricsHandle {
            exporter: self.exporter.handle(),
            histograms: Arc::clone(&self.histograms),
        }
    }
}

impl MetricsHandle {
    /// Everything in Prometheus' text format.
    pub(crate) fn render(&self) -> String {
        let mut text = self.exporter.render();
        for histogram in self.histograms.iter() {
            histogram.render(&mut text);
        }
        text
    }
}

impl Recorder for FixedRecorder {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.exporter.describe_counter(name, unit, text);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.exporter.describe_gauge(name, unit, text);
    }

    /// Ours describe themselves.
    fn describe_histogram(&self, _name: KeyName, _unit: Option<Unit>, _text: SharedString) {}

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.exporter.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.exporter.register_gauge(key, metadata)
    }

    /// A histogram is one of ours; one that a dependency invents counts nothing.
    fn register_histogram(&self, key: &Key, _metadata: &Metadata<'_>) -> Histogram {
        self.histograms
            .iter()
            .find(|histogram| histogram.name() == key.name())
            .map_or_else(Histogram::noop, |ours| {
                Histogram::from_arc(Arc::clone(ours))
            })
    }
}
