//! One batch in one transaction: its messages, then its checkpoint, then the commit.

use std::time::{Duration, Instant};

use outbox_core::sink::{Batch, Outcome};

use super::checkpoint_topic::PARTITION;
use super::deliveries::{CONTROL, FailedDelivery};
use super::errors::Trouble;
use super::isolation::Isolation;
use super::producer::{Producer, Record, SendError};
use super::sending::{Halt, Sending, settle};
use super::suspicion::Mark;

/// How long one `publish` waits for acknowledgements before it hands control back.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// What a transaction needs to know of the sink it belongs to.
pub(super) struct Surroundings<'a> {
    pub(super) checkpoint_topic: &'a str,
    pub(super) relay: &'a str,
    pub(super) transaction_timeout: Duration,
    pub(super) suspicious_after: Duration,
}

/// The transaction of the batch in hand, and what outlives it.
pub(super) struct Transaction {
    stage: Stage,
    /// Traces up to here belong to transactions that were judged already.
    judged: Mark,
    sending: Sending,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Closed,
    Open {
        sequence: u64,
        begun: Instant,
        since: Mark,
        step: Step,
    },
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Messages,
    Checkpoint { sent: bool },
}

impl Transaction {
    /// No batch yet; traces up to `judged` are of no importance.
    pub(super) fn new(judged: Mark) -> Self {
        Self {
            stage: Stage::Closed,
            judged,
            sending: Sending::default(),
        }
    }

    /// Whether a batch was begun and not ended.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open { .. })
    }

    /// Begins, or goes on where the call before stopped. Returns what became of the batch, and
    /// whether its end was suspect for slowness alone.
    pub(super) fn publish(
        &mut self,
        producer: &mut Producer,
        batch: &Batch,
        around: &Surroundings<'_>,
    ) -> (Outcome, bool) {
        let sequence = batch.checkpoint.sequence;
        match self.stage {
            Stage::Closed => {
                let since = producer.traces().begin(self.judged);
                if let Err(trouble) = producer.begin() {
                    return (trouble.into_outcome(), false);
                }
                self.sending.restart();
                self.stage = Stage::Open {
                    sequence,
                    begun: Instant::now(),
                    since,
                    step: Step::Messages,
                };
            }
            Stage::Open { sequence: open, .. } if open != sequence => {
                let reason = format!("batch {sequence} was handed in while batch {open} was open");
                return (Outcome::Indefinite { reason }, false);
            }
            Stage::Open { .. } => {}
        }
        let Stage::Open { begun, since, .. } = self.stage else {
            return (
                Outcome::Indefinite {
                    reason: "no transaction is open".to_owned(),
                },
                false,
            );
        };
        let outcome = match self.produce(producer, batch, around) {
            Ok(()) => self.commit(producer, since, around),
            Err(Halt::Later(reason)) if begun.elapsed() < around.transaction_timeout => {
                return (Outcome::Retry { reason }, false);
            }
            Err(Halt::Later(reason)) => (Outcome::Indefinite { reason }, false),
            Err(Halt::Trouble(Trouble::Abortable(reason)) | Halt::Abort(reason)) => {
                self.abort(producer, batch, since, around, reason)
            }
            Err(Halt::Failures) => self.abort(
                producer,
                batch,
                since,
                around,
                "messages were refused".to_owned(),
            ),
            Err(Halt::Refused(refusal)) => {
                let reason = refusal.error.clone();
                match self.abort(producer, batch, since, around, reason) {
                    (Outcome::Abort { .. }, _) => (Outcome::Poison(vec![refusal]), false),
                    other => other,
                }
            }
            Err(Halt::Trouble(trouble)) => (trouble.into_outcome(), false),
        };
        self.stage = Stage::Closed;
        (unless_timed_out(outcome.0, begun, around), outcome.1)
    }

    fn produce(
        &mut self,
        producer: &mut Producer,
        batch: &Batch,
        around: &Surroundings<'_>,
    ) -> Result<(), Halt> {
        let deadline = Instant::now() + WAIT_MAX;
        if let Stage::Open {
            step: Step::Messages,
            ..
        } = self.stage
        {
            self.sending.send(producer, batch, deadline)?;
            // Only acknowledged messages are followed by their checkpoint: should a stray request
            // of an earlier transaction commit this one, it cannot carry a checkpoint that covers
            // what is not there.
            settle(producer, 0, deadline, "messages")?;
            self.set_step(Step::Checkpoint { sent: false });
        }
        if let Stage::Open {
            step: Step::Checkpoint { sent: false },
            ..
        } = self.stage
        {
            let encoded = batch.checkpoint.encode();
            let record = Record {
                topic: around.checkpoint_topic,
                partition: Some(PARTITION),
                key: Some(around.relay.as_bytes()),
                payload: Some(&encoded),
                headers: None,
                timestamp_ms: None,
                tag: CONTROL,
            };
            match producer.send(record) {
                Ok(()) => self.set_step(Step::Checkpoint { sent: true }),
                Err(SendError::QueueFull) => {
                    return Err(Halt::Later("librdkafka's queue is full".to_owned()));
                }
                Err(SendError::TooLarge(text) | SendError::DestinationGone(text)) => {
                    return Err(Halt::Trouble(Trouble::Unclear(format!(
                        "checkpoint: {text}"
                    ))));
                }
                Err(SendError::Trouble(trouble)) => return Err(Halt::Trouble(trouble)),
            }
        }
        settle(producer, 0, deadline, "the checkpoint")?;
        if producer.serve_events(deadline) {
            Ok(())
        } else {
            Err(Halt::Later("librdkafka's events are not served".to_owned()))
        }
    }

    fn set_step(&mut self, to: Step) {
        if let Stage::Open { step, .. } = &mut self.stage {
            *step = to;
        }
    }

    fn commit(
        &mut self,
        producer: &Producer,
        since: Mark,
        around: &Surroundings<'_>,
    ) -> (Outcome, bool) {
        let (result, took) = producer.commit();
        match result {
            Err(Trouble::Abortable(reason)) => {
                // Nothing tells whether the request to commit was sent before this was found out.
                (Outcome::Indefinite { reason }, false)
            }
            Err(trouble) => (trouble.into_outcome(), false),
            Ok(()) => match self.judge(producer, since, took, around) {
                Err(suspect) => suspect,
                Ok(()) => {
                    self.sending.isolation = Isolation::default();
                    (Outcome::Durable, false)
                }
            },
        }
    }

    fn abort(
        &mut self,
        producer: &Producer,
        batch: &Batch,
        since: Mark,
        around: &Surroundings<'_>,
        reason: String,
    ) -> (Outcome, bool) {
        let failures = producer.deliveries().take_failures();
        if let Some(unclear) = failures.iter().find(|failure| is_timed_out(failure)) {
            let reason = format!("message {}: {}", unclear.tag, unclear.code);
            return (Outcome::Indefinite { reason }, false);
        }
        let (result, took) = producer.abort();
        if let Err(trouble) = result {
            return (trouble.into_outcome(), false);
        }
        // The purge gives every message that was still waiting an answer of its own.
        producer.serve_events(Instant::now() + WAIT_MAX);
        let mut failures = failures;
        failures.extend(producer.deliveries().take_failures());
        if let Err(suspect) = self.judge(producer, since, took, around) {
            return suspect;
        }
        let sequence = batch.checkpoint.sequence;
        (
            self.sending.isolation.blame(sequence, &failures, reason),
            false,
        )
    }

    /// Whether the end of the transaction can be believed.
    fn judge(
        &mut self,
        producer: &Producer,
        since: Mark,
        took: Duration,
        around: &Surroundings<'_>,
    ) -> Result<(), (Outcome, bool)> {
        let slow = around.suspicious_after;
        if let Some(suspicion) = producer.suspicion(since, took, slow) {
            suspicion.count();
            let reason = format!("{}: {}", suspicion.label, suspicion.text);
            return Err((Outcome::Indefinite { reason }, suspicion.is_slowness()));
        }
        self.judged = producer.traces().mark();
        Ok(())
    }
}

/// A message that timed out may be with the broker: aborting would only wait once more.
fn is_timed_out(failure: &FailedDelivery) -> bool {
    failure.code == rdkafka::types::RDKafkaErrorCode::MessageTimedOut
}

/// The broker fences a producer whose transaction it gave up by itself, too.
fn unless_timed_out(outcome: Outcome, begun: Instant, around: &Surroundings<'_>) -> Outcome {
    match outcome {
        Outcome::Fenced { reason } if begun.elapsed() >= around.transaction_timeout => {
            let reason = format!("{reason}; the transaction was older than its time-out");
            Outcome::Indefinite { reason }
        }
        outcome => outcome,
    }
}
