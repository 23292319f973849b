use std::time::{Duration, Instant};

use outbox_core::relay::Phase;

use crate::config::Ready;
use crate::report::Report;

/// How old the driver's last sign of life may be. It gives one every second, and with each try to note down
/// why it ends: a restart in the middle of that would lose the exit code.
const SIGN_OF_LIFE_MAX: Duration = Duration::from_secs(30);

/// An answer to a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) good: bool,
    pub(super) reason: String,
}

impl Health {
    fn new(good: bool, reason: impl Into<String>) -> Self {
        Self {
            good,
            reason: reason.into(),
        }
    }
}

/// Whether the process still works: restarting it would help where it does not.
pub(super) fn live(report: &Report) -> Health {
    let age = Instant::now().saturating_duration_since(report.made_at);
    if age > SIGN_OF_LIFE_MAX {
        Health::new(
            false,
            format!("the relay has not turned for {} s", age.as_secs()),
        )
    } else {
        Health::new(true, report.status.phase.as_str())
    }
}

/// Whether it has come so far as to be active or to stand by.
pub(super) fn started(report: &Report) -> Health {
    if report.started {
        Health::new(true, report.status.phase.as_str())
    } else {
        let trouble = [&report.source, &report.sink]
            .into_iter()
            .find_map(|side| side.error.clone());
        Health::new(
            false,
            trouble.unwrap_or_else(|| report.status.phase.as_str().to_owned()),
        )
    }
}

/// Whether it takes part: a relay that is held does not, one that waits for a server does.
pub(super) fn ready(report: &Report, meaning: Ready) -> Health {
    if let Some(held) = &report.held {
        return Health::new(false, held.to_string());
    }
    let started = started(report);
    if !started.good {
        return started;
    }
    let phase = report.status.phase;
    let good = match meaning {
        Ready::Member => !matches!(phase, Phase::Draining | Phase::Stopped),
        Ready::Active => phase == Phase::Active,
    };
    Health::new(good, with_trouble(phase.as_str(), report))
}

/// The phase, and what goes wrong meanwhile: a server that is away, a broker that takes nothing.
fn with_trouble(phase: &str, report: &Report) -> String {
    let mut text = phase.to_owned();
    for (side, name) in [(&report.source, "source"), (&report.sink, "sink")] {
        if let Some(error) = &side.error {
            text = format!("{text}; {name}: {error}");
        }
    }
    text
}
