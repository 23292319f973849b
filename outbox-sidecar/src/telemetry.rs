//! What is shown to people and machines: names of metrics, logs.

pub(crate) mod exporter;
mod histogram;
mod log_line;
pub(crate) mod logs;
pub(crate) mod names;
mod recorder;
mod slot;

pub(crate) use recorder::{FixedRecorder, MetricsHandle};
