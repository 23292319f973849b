//! Logs: JSON or text, one line each, on stderr.

use tracing::{Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, registry};

use super::log_line::LogLine;
use crate::config::Settings;

/// The most that libraries may say: below it they tell of their own business, not of the relay's.
const LIBRARIES: Level = Level::WARN;

/// Starts logging. A second call in one process changes nothing.
pub(crate) fn start(settings: &Settings) {
    let line = LogLine {
        relay: settings.relay.clone(),
        json: settings.log_json,
    };
    let _ = subscriber(line, settings.log_level, std::io::stderr).try_init();
}

fn subscriber<W>(line: LogLine, level: Level, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // What lapin calls an error is a lost connection: the sink says so itself, once.
    let lapin = if level >= Level::DEBUG {
        LevelFilter::from_level(LIBRARIES)
    } else {
        LevelFilter::OFF
    };
    let filter = Targets::new()
        .with_target("lapin", lapin)
        .with_default(level.min(LIBRARIES))
        .with_target("outbox_sidecar", level)
        .with_target("outbox_core", level);
    let layer = fmt::layer()
        .with_ansi(false)
        .event_format(line)
        .with_writer(writer);
    registry().with(layer.with_filter(filter))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(json: bool, level: Level, work: impl FnOnce()) -> String {
        let written = Written::default();
        let sink = written.clone();
        let line = LogLine {
            relay: "policy".to_owned(),
            json,
        };
        let subscriber = subscriber(line, level, move || sink.clone());
        tracing::subscriber::with_default(subscriber, work);
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_of_json_holds_the_relay_and_the_fields_side_by_side() {
        let text = logged(true, Level::INFO, || {
            let retry_ms = 50_u128;
            tracing::warn!(side = "sink", retry_ms, error = %"a\nb", relay = "forged", "trouble");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["relay"], "policy");
        assert_eq!(line["message"], "trouble");
        assert_eq!(line["side"], "sink");
        assert_eq!(line["retry_ms"], 50);
        assert_eq!(line["error"], "a\nb");
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{text}");
        assert!(!text.contains("forged"), "{text}");
    }

    #[test]
    fn a_line_of_text_cannot_be_forged() {
        let text = logged(false, Level::INFO, || {
            tracing::error!(error = %"a\n2026-01-01 ERROR policy: forged", "trouble");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            text.ends_with(" ERROR policy: trouble error=a\\n2026-01-01 ERROR policy: forged\n")
        );
    }

    #[test]
    fn the_level_is_ours_and_libraries_stay_quiet() {
        let text = logged(false, Level::DEBUG, || {
            tracing::debug!("ours");
            tracing::trace!("too much");
            tracing::debug!(target: "hyper", "theirs");
            tracing::warn!(target: "hyper", "their trouble");
        });
        assert_eq!(
            logged(
                true,
                Level::INFO,
                || tracing::error!(target: "lapin::io_loop", "reset")
            ),
            ""
        );
        let ends: Vec<_> = text
            .lines()
            .filter_map(|line| line.rsplit(": ").next())
            .collect();
        assert_eq!(ends, ["ours", "their trouble"]);
        assert_eq!(
            logged(true, Level::ERROR, || tracing::warn!(target: "hyper", "x")),
            ""
        );
    }
}
