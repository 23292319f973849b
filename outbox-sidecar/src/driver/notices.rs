use std::time::Instant;

use metrics::{counter, gauge, histogram};
use outbox_core::Timestamp;
use outbox_core::relay::{Event, HaltedMessage, Notice};
use outbox_core::sink::Batch;

use super::stuck_notices;
use crate::report::{Report, Side};
use crate::telemetry::names;

/// Turns what the relay reports into one log line a change, counters, and the report's words.
#[derive(Debug, Default)]
pub(super) struct Notices {
    started: bool,
    source: Side,
    sink: Side,
    /// The sink will not let this relay publish.
    sink_refuses: bool,
    standby_reason: Option<String>,
    held: Option<HaltedMessage>,
    published_at: Option<Instant>,
}

impl Notices {
    /// Notes which side has just been heard of.
    pub(super) fn event(&mut self, event: &Event) {
        match event {
            Event::Inspected(_, Ok(_)) | Event::Connected(_, Ok(_)) | Event::Stream(_) => {
                works(&mut self.source, names::SIDE_SOURCE);
            }
            // Of one that refuses to publish, only a batch shows that it no longer does.
            Event::Peeked(_, Ok(_)) | Event::Acquired(_, Ok(_)) if !self.sink_refuses => {
                works(&mut self.sink, names::SIDE_SINK);
            }
            Event::Published(..) => {
                if let Some(published_at) = self.published_at.take() {
                    histogram!(names::COMMIT).record(published_at.elapsed().as_secs_f64());
                }
            }
            Event::HolderTerminated(_, Err(failure)) => {
                tracing::warn!(error = %failure, "the slot's silent holder cannot be ended");
            }
            _ => {}
        }
    }

    /// A batch goes to the sink.
    pub(super) fn publishing(&mut self) {
        self.published_at = Some(Instant::now());
    }

    pub(super) fn notice(&mut self, notice: &Notice) {
        match notice {
            Notice::StandingBy { reason } => {
                self.started = true;
                if self.standby_reason.as_ref() != Some(reason) {
                    tracing::info!(%reason, "standing by");
                }
                self.standby_reason = Some(reason.clone());
            }
            Notice::Activating => tracing::info!("the slot is free: becoming active"),
            Notice::Active { epoch } => {
                self.started = true;
                self.standby_reason = None;
                tracing::info!(epoch, "active");
            }
            Notice::EndedUncleanly {
                times,
                tried,
                careful_messages,
            } => stuck_notices::ended_uncleanly(*times, tried.as_ref(), *careful_messages),
            Notice::InFullBatchesAgain => {
                tracing::info!(
                    "publishing in full batches again: what ended the process is behind"
                );
            }
            Notice::SourceTrouble { failure, retry_in } => {
                let kind = failure.kind.as_str();
                counter!(names::RECONNECTS, names::LABEL_SIDE => names::SIDE_SOURCE).increment(1);
                counter!(names::RETRIES, names::LABEL_SIDE => names::SIDE_SOURCE,
                    names::LABEL_REASON => kind)
                .increment(1);
                self.standby_reason = Some(failure.message.clone());
                let retry_ms = retry_in.as_millis();
                if fails(&mut self.source, kind, &failure.message) {
                    tracing::warn!(side = "source", kind, error = %failure, retry_ms, "trouble");
                } else {
                    tracing::debug!(side = "source", kind, error = %failure, retry_ms, "trouble");
                }
            }
            Notice::SinkTrouble {
                kind,
                reason,
                retry_in,
            } => {
                counter!(names::RETRIES, names::LABEL_SIDE => names::SIDE_SINK,
                    names::LABEL_REASON => *kind)
                .increment(1);
                self.sink_refuses = *kind == "refused";
                let retry_ms = retry_in.as_millis();
                if fails(&mut self.sink, kind, reason) {
                    tracing::warn!(side = "sink", kind, error = %reason, retry_ms, "trouble");
                } else {
                    tracing::debug!(side = "sink", kind, error = %reason, retry_ms, "trouble");
                }
            }
            Notice::SinkAtWork { progress } => {
                tracing::info!(%progress, "the sink is still at work at a batch");
            }
            Notice::Recovering { reason } => {
                counter!(names::RECONNECTS, names::LABEL_SIDE => names::SIDE_SINK).increment(1);
                tracing::warn!(%reason, "the outcome of a batch is unknown: asking the checkpoint");
            }
            Notice::Recovered { durable } => {
                tracing::info!(durable, "the checkpoint has told the outcome");
            }
            Notice::Halved { messages } => {
                tracing::warn!(
                    messages,
                    "a batch took longer than the broker allows: sending a part of it first"
                );
            }
            Notice::Fenced { reason } => {
                counter!(names::FENCED).increment(1);
                tracing::warn!(%reason, "fenced: another relay of this name publishes, or a program under its id");
            }
            Notice::TerminatingHolder { pid } => {
                tracing::warn!(
                    pid,
                    "the slot's holder has fallen silent: ending its walsender"
                );
            }
            Notice::Durable { batch } => {
                self.sink_refuses = false;
                works(&mut self.sink, names::SIDE_SINK);
                count_durable(batch);
                if batch.request().is_some() {
                    batch.messages.iter().for_each(stuck_notices::replayed);
                }
            }
            Notice::Parked { messages } => messages.iter().for_each(stuck_notices::set_aside),
            Notice::Halted(halted) => {
                tracing::error!(
                    message_id = %halted.id,
                    position = %halted.position,
                    destination = %halted.destination,
                    reason = halted.reason.as_str(),
                    error = %halted.error,
                    "a message was refused for itself: publishing has halted before it"
                );
                self.held = Some(halted.clone());
            }
            Notice::RequestUnreadable => tracing::warn!(
                "a logical message for this relay is none that this release understands: passed over"
            ),
            Notice::RequestWaits { request } => {
                tracing::debug!(%request, "a request waits until its transaction can be seen");
            }
            Notice::RequestDropped { request } => tracing::error!(
                %request,
                "a transaction names more requests than it can have made: this one is not looked for, nor is any behind it"
            ),
            Notice::RequestUnknown { request } => tracing::warn!(
                %request,
                "a logical message names a request that outbox.request does not have: passed over"
            ),
            Notice::DestinationGone {
                destination,
                reason,
                error,
            } => stuck_notices::gone(destination, *reason, error),
            Notice::DestinationBack { destination } => stuck_notices::back(destination),
            Notice::PutBack { messages } => messages.iter().for_each(stuck_notices::put_back),
            Notice::RequestDone {
                request,
                position,
                outcome,
            } => stuck_notices::done(*request, *position, outcome),
            Notice::Draining => tracing::info!("asked to stop: finishing what is in flight"),
        }
    }

    /// What `/status` says of all this; and the gauges that follow from it.
    pub(super) fn fill(&self, report: &mut Report) {
        report.started = self.started;
        report.source.clone_from(&self.source);
        report.sink.clone_from(&self.sink);
        report.standby_reason.clone_from(&self.standby_reason);
        report.held.clone_from(&self.held);
    }
}

/// The side works (again).
fn works(side: &mut Side, name: &'static str) {
    if !side.connected {
        side.connected = true;
        gauge!(names::CONNECTED, names::LABEL_SIDE => name).set(1.0);
        if side.error.take().is_some() {
            tracing::info!(side = name, "works again");
        }
    }
}

/// The side fails; whether that is news.
fn fails(side: &mut Side, kind: &str, error: &str) -> bool {
    let text = format!("{kind}: {error}");
    let news = side.connected || side.error.as_ref() != Some(&text);
    side.connected = false;
    side.error = Some(text);
    news
}

/// Counts by runs of one destination, so that a batch costs a few look-ups and not one a message.
fn count_durable(batch: &Batch) {
    let now = Timestamp::from(std::time::SystemTime::now());
    histogram!(names::BATCH_MESSAGES).record(size(batch.messages.len()));
    let mut bytes = 0;
    for run in batch
        .messages
        .chunk_by(|a, b| a.row.destination == b.row.destination)
    {
        if let Some(first) = run.first() {
            let destination = first.row.destination.to_string();
            counter!(names::MESSAGES_PUBLISHED, names::LABEL_DESTINATION => destination)
                .increment(run.len() as u64);
        }
        bytes += run
            .iter()
            .map(|delivery| delivery.row.content_bytes())
            .sum::<usize>();
    }
    counter!(names::BYTES_PUBLISHED).increment(bytes as u64);
    let latency = histogram!(names::PUBLISH_LATENCY);
    for run in batch
        .messages
        .chunk_by(|a, b| a.commit_time == b.commit_time)
    {
        if let Some(first) = run.first() {
            latency.record_many(now.since(first.commit_time).as_secs_f64(), run.len());
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a histogram needs no more than 52 bits"
)]
const fn size(count: usize) -> f64 {
    count as f64
}
