//! Everything that could go wrong at run time, looked for before it does. Changes nothing that lasts: what it
//! has to try it tries in a way that publishes nothing.

mod checkpoint;
mod finding;
mod kafka;
mod postgres;
mod rabbitmq;
mod rabbitmq_stream;

use outbox_core::checkpoint::Checkpoint;

use self::kafka::Reached;
use self::postgres::Seen;
pub(crate) use finding::Findings;

use crate::config::{Settings, SinkSettings};
use crate::sink::kafka::KafkaSettings;

/// Looks at both sides, and at whether they fit together.
pub(crate) async fn check(settings: &Settings) -> Findings {
    let mut findings = Findings::default();
    let seen = postgres::check(settings, &mut findings).await;
    let (asked, known) = (settings.clone(), seen.clone());
    let (more, fitting) = blocking(move |findings| look_at_sink(&asked, &known, findings)).await;
    findings.extend(more);
    if let (SinkSettings::Kafka(kafka) | SinkSettings::KafkaAtLeastOnce(kafka), Some(fitting)) =
        (&settings.sink, fitting.flatten())
    {
        findings.extend(transactions(settings, kafka, &seen, fitting).await);
    }
    findings
}

/// Kafka, and the checkpoint that it holds.
struct Fitting {
    reached: Reached,
    checkpoint: Checkpoint,
}

fn look_at_sink(settings: &Settings, seen: &Seen, findings: &mut Findings) -> Option<Fitting> {
    let mut reached = None;
    // Where the checkpoint is kept must answer; that it does not was said already.
    let can_be_read = match &settings.sink {
        SinkSettings::Kafka(kafka) | SinkSettings::KafkaAtLeastOnce(kafka) => {
            reached = kafka::check(settings, kafka, findings);
            reached.is_some()
        }
        SinkSettings::RabbitMq(rabbit) => {
            rabbitmq::check(settings, rabbit, findings);
            seen.connected
        }
        SinkSettings::RabbitMqStream(stream) => {
            rabbitmq_stream::check(settings, stream, findings);
            seen.connected
        }
        SinkSettings::Stdout(_) => seen.connected,
    };
    let checkpoint = can_be_read.then(|| checkpoint::check(settings, seen, findings))?;
    reached
        .zip(checkpoint)
        .map(|(reached, checkpoint)| Fitting {
            reached,
            checkpoint,
        })
}

/// Whether the relay may begin transactions: tried where nobody else can be at it.
async fn transactions(
    settings: &Settings,
    kafka: &KafkaSettings,
    seen: &Seen,
    fitting: Fitting,
) -> Findings {
    if !fitting.reached.may_try_transactions {
        return Findings::default();
    }
    let doubt = postgres::doubt(settings, seen, &fitting.checkpoint).await;
    let kafka = kafka.clone();
    let tried = blocking(move |findings| {
        kafka::transactions(&kafka, &fitting.reached, doubt, findings);
    });
    tried.await.0
}

/// Asks where no thread of the runtime may wait.
async fn blocking<T: Send + 'static>(
    look: impl FnOnce(&mut Findings) -> T + Send + 'static,
) -> (Findings, Option<T>) {
    let looking = tokio::task::spawn_blocking(move || {
        let mut findings = Findings::default();
        let seen = look(&mut findings);
        (findings, seen)
    });
    match looking.await {
        Ok((findings, seen)) => (findings, Some(seen)),
        Err(panicked) => {
            let mut findings = Findings::default();
            findings.error("sink", panicked.to_string(), "report this as a bug");
            (findings, None)
        }
    }
}
