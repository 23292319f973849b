//! Everything that could go wrong at run time, looked for before it does. Changes nothing that lasts: what it
//! has to try it tries in a way that publishes nothing.

mod checkpoint;
mod finding;
mod kafka;
mod postgres;
mod rabbitmq;
mod rabbitmq_stream;

use outbox_core::checkpoint::Checkpoint;

use self::checkpoint::Misfit;
use self::kafka::Reached;
use self::postgres::Seen;
pub(crate) use finding::Findings;

use crate::config::{Settings, SinkSettings};
use crate::sink::kafka::KafkaSettings;

/// Looks at both sides, and at whether they fit together.
///
/// One is looked at after the other, and a fail-over in between makes them unfit: what does not fit is looked
/// at once more, and a fault stays.
pub(crate) async fn check(settings: &Settings) -> Findings {
    match look(settings).await {
        (findings, Fit::Together) => findings,
        (_, Fit::Apart) => look(settings).await.0,
    }
}

/// Whether the checkpoint fits the database.
enum Fit {
    /// It does, or cannot be read: then a second look would only wait as long again.
    Together,
    Apart,
}

async fn look(settings: &Settings) -> (Findings, Fit) {
    let mut findings = Findings::default();
    let seen = postgres::check(settings, &mut findings).await;
    let (asked, connected) = (settings.clone(), seen.connected);
    let (more, looked) = blocking(move |findings| look_at_sink(&asked, connected, findings)).await;
    findings.extend(more);
    let Some(Looked {
        reached,
        checkpoint: Some(peeked),
    }) = looked
    else {
        return (findings, Fit::Together);
    };
    let is_unreadable = peeked.is_err();
    let fitting = checkpoint::check(peeked, settings, &seen, &mut findings).await;
    let fit = if is_unreadable || fitting.is_some() {
        Fit::Together
    } else {
        Fit::Apart
    };
    if let SinkSettings::Kafka(kafka) | SinkSettings::KafkaAtLeastOnce(kafka) = &settings.sink
        && let Some((reached, checkpoint)) = reached.zip(fitting)
    {
        findings.extend(transactions(settings, kafka, &seen, reached, checkpoint).await);
    }
    (findings, fit)
}

/// What the sink's side shows.
struct Looked {
    /// Kafka, where it answers.
    reached: Option<Reached>,
    /// What is kept of the checkpoint, where whoever keeps it answers: that he does not was said already.
    checkpoint: Option<Result<Option<Checkpoint>, Misfit>>,
}

fn look_at_sink(settings: &Settings, connected: bool, findings: &mut Findings) -> Looked {
    let mut reached = None;
    let can_be_read = match &settings.sink {
        SinkSettings::Kafka(kafka) | SinkSettings::KafkaAtLeastOnce(kafka) => {
            reached = kafka::check(settings, kafka, findings);
            reached.is_some()
        }
        SinkSettings::RabbitMq(rabbit) => {
            rabbitmq::check(settings, rabbit, findings);
            connected
        }
        SinkSettings::RabbitMqStream(stream) => {
            rabbitmq_stream::check(settings, stream, findings);
            connected
        }
        SinkSettings::Stdout(_) => connected,
    };
    Looked {
        reached,
        checkpoint: can_be_read.then(|| checkpoint::peek(settings)),
    }
}

/// Whether the relay may begin transactions: tried where nobody else can be at it.
async fn transactions(
    settings: &Settings,
    kafka: &KafkaSettings,
    seen: &Seen,
    reached: Reached,
    checkpoint: Checkpoint,
) -> Findings {
    if !reached.may_try_transactions {
        return Findings::default();
    }
    let doubt = postgres::doubt(settings, seen, &checkpoint).await;
    let kafka = kafka.clone();
    let tried = blocking(move |findings| {
        kafka::transactions(&kafka, &reached, doubt, findings);
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
