//! Everything that could go wrong at run time, looked for before it does. Changes nothing.

mod checkpoint;
mod finding;
mod kafka;
mod postgres;
mod rabbitmq;
mod rabbitmq_stream;

pub(crate) use finding::Findings;

use crate::config::{Settings, SinkSettings};

/// Looks at both sides, and at whether they fit together.
pub(crate) async fn check(settings: &Settings) -> Findings {
    let mut findings = Findings::default();
    let seen = postgres::check(settings, &mut findings).await;
    let settings = settings.clone();
    let asked = tokio::task::spawn_blocking(move || {
        let mut findings = Findings::default();
        // Where the checkpoint is kept must answer; that it does not was said already.
        let can_be_read = match &settings.sink {
            SinkSettings::Kafka(kafka) | SinkSettings::KafkaAtLeastOnce(kafka) => {
                if let Some(reached) = kafka::check(&settings, kafka, &mut findings)
                    && checkpoint::check(&settings, &seen, &mut findings)
                {
                    kafka::transactions(kafka, &reached, &seen, &mut findings);
                }
                return findings;
            }
            SinkSettings::RabbitMq(rabbit) => {
                rabbitmq::check(&settings, rabbit, &mut findings);
                seen.connected
            }
            SinkSettings::RabbitMqStream(stream) => {
                rabbitmq_stream::check(&settings, stream, &mut findings);
                seen.connected
            }
            SinkSettings::Stdout(_) => seen.connected,
        };
        if can_be_read {
            checkpoint::check(&settings, &seen, &mut findings);
        }
        findings
    });
    match asked.await {
        Ok(more) => findings.extend(more),
        Err(panicked) => findings.error("sink", panicked.to_string(), "report this as a bug"),
    }
    findings
}
