//! Logs: JSON or text, one line each, on stderr.

use tracing::Level;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// Starts logging. A second call in one process changes nothing.
pub(crate) fn start(level: Level, json: bool) {
    let writer = std::io::stderr;
    let layer = if json {
        fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(writer)
            .boxed()
    } else {
        fmt::layer().with_ansi(false).with_writer(writer).boxed()
    };
    let _ = tracing_subscriber::registry()
        .with(layer.with_filter(LevelFilter::from_level(level)))
        .try_init();
}
