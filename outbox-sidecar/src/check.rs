//! Everything that could go wrong at run time, looked for before it does. Changes nothing.

mod finding;
mod kafka;
mod postgres;

pub(crate) use finding::Findings;

use crate::config::Settings;

/// Looks at both sides, and at whether they fit together.
pub(crate) async fn check(settings: &Settings) -> Findings {
    let mut findings = Findings::default();
    let seen = postgres::check(settings, &mut findings).await;
    let kafka_settings = settings.clone();
    let asked = tokio::task::spawn_blocking(move || {
        let mut findings = Findings::default();
        kafka::check(&kafka_settings, seen, &mut findings);
        findings
    });
    match asked.await {
        Ok(more) => findings.extend(more),
        Err(panicked) => findings.error("kafka", panicked.to_string(), "report this as a bug"),
    }
    findings
}
