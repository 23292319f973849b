//! One batch in one transaction: its messages, then its checkpoint, then the commit. Where messages
//! are refused, the transactions of an [`Inquest`] follow, which are never committed.

mod inquiry;

use std::time::{Duration, Instant};

use outbox_core::sink::{Batch, Outcome};

use self::inquiry::unexplained;
use super::checkpoint_topic::PARTITION;
use super::deliveries::{CONTROL, FailedDelivery};
use super::errors::Trouble;
use super::inquest::Inquest;
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
    /// The search for the batch's refused messages, while it goes on.
    inquest: Option<(u64, Inquest)>,
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
    Checkpoint {
        sent: bool,
    },
    /// Messages are tried, and will be rolled back.
    Trial,
}

/// What ends a call, and whether the transaction's end was suspect for slowness alone.
type Ending = (Outcome, bool);

impl Transaction {
    /// No batch yet; traces up to `judged` are of no importance.
    pub(super) fn new(judged: Mark) -> Self {
        Self {
            stage: Stage::Closed,
            judged,
            sending: Sending::default(),
            inquest: None,
        }
    }

    /// Whether a batch was begun and not ended.
    pub(super) fn is_open(&self) -> bool {
        self.sequence().is_some()
    }

    /// The batch that was begun and not ended, by its checkpoint's sequence.
    fn sequence(&self) -> Option<u64> {
        match (self.stage, &self.inquest) {
            (Stage::Open { sequence, .. }, _) => Some(sequence),
            (Stage::Closed, inquest) => inquest.as_ref().map(|(sequence, _)| *sequence),
        }
    }

    /// Begins, or goes on where the call before stopped. Returns what became of the batch, and
    /// whether its end was suspect for slowness alone.
    pub(super) fn publish(
        &mut self,
        producer: &mut Producer,
        batch: &Batch,
        around: &Surroundings<'_>,
        isolation: &mut Isolation,
    ) -> Ending {
        let sequence = batch.checkpoint.sequence;
        if let Some(open) = self.sequence()
            && open != sequence
        {
            let reason = format!("batch {sequence} was handed in while batch {open} was open");
            return (Outcome::Indefinite { reason }, false);
        }
        if let Some((_, inquest)) = self.inquest.take() {
            return self.inquire(producer, batch, around, isolation, inquest);
        }
        let opened = match self.stage {
            // What an earlier producer has found out of this batch.
            Stage::Closed if isolation.is_open() => {
                let inquest = Inquest::new(batch, isolation);
                return self.inquire(producer, batch, around, isolation, inquest);
            }
            Stage::Closed => self.begin(producer, sequence, Step::Messages),
            Stage::Open { begun, since, .. } => Ok((begun, since)),
        };
        let (begun, since) = match opened {
            Ok(opened) => opened,
            Err(outcome) => return (outcome, false),
        };
        let produced = match self.stage {
            // Never met: but what is tried must never be committed.
            Stage::Open {
                step: Step::Trial, ..
            } => Err(Halt::Abort("a trial was left open".to_owned())),
            _ => self.produce(producer, batch, around, isolation),
        };
        let halt = match produced {
            Ok(()) => {
                let (outcome, merely_slow) = self.commit(producer, since, around);
                self.stage = Stage::Closed;
                return (unless_timed_out(outcome, begun, around), merely_slow);
            }
            Err(Halt::Later(reason)) if begun.elapsed() < around.transaction_timeout => {
                return (Outcome::Retry { reason }, false);
            }
            Err(halt) => halt,
        };
        let (failures, ended) = self.roll_back(producer, halt, begun, since, around);
        let mut inquest = Inquest::all(batch);
        let learnt = self.learn(&mut inquest, producer, batch, &failures, isolation);
        match ended {
            Err(ending) => ending,
            Ok(_) if learnt => self.inquire(producer, batch, around, isolation, inquest),
            Ok(reason) => (unexplained(&failures, reason), false),
        }
    }

    fn begin(
        &mut self,
        producer: &Producer,
        sequence: u64,
        step: Step,
    ) -> Result<(Instant, Mark), Outcome> {
        let since = producer.traces().begin(self.judged);
        producer.begin().map_err(Trouble::into_outcome)?;
        self.sending.restart();
        let begun = Instant::now();
        self.stage = Stage::Open {
            sequence,
            begun,
            since,
            step,
        };
        Ok((begun, since))
    }

    fn produce(
        &mut self,
        producer: &mut Producer,
        batch: &Batch,
        around: &Surroundings<'_>,
        isolation: &Isolation,
    ) -> Result<(), Halt> {
        let deadline = Instant::now() + WAIT_MAX;
        if let Stage::Open {
            step: Step::Messages,
            ..
        } = self.stage
        {
            // Only acknowledged messages are followed by their checkpoint: should a stray request
            // of an earlier transaction commit this one, it cannot carry a checkpoint that covers
            // what is not there.
            let places = 0..batch.messages.len();
            self.sending
                .send(producer, batch, places, Some(isolation), deadline)?;
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
                Err(SendError::TransactionFailed(_)) => return Err(Halt::Failures),
                Err(SendError::Trouble(trouble)) => return Err(Halt::Trouble(trouble)),
            }
        }
        settle(producer, 0, deadline, "the checkpoint is")?;
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

    fn commit(&mut self, producer: &Producer, since: Mark, around: &Surroundings<'_>) -> Ending {
        let (result, took) = producer.commit();
        match result {
            Err(Trouble::Abortable(reason)) => {
                // Nothing tells whether the request to commit was sent before this was found out.
                (Outcome::Indefinite { reason }, false)
            }
            Err(trouble) => (trouble.into_outcome(), false),
            Ok(()) => match self.judge(producer, since, took, around) {
                Err(suspect) => suspect,
                Ok(()) => (Outcome::Durable, false),
            },
        }
    }

    /// Ends a transaction that will not be committed. Returns every delivery that failed, and why it
    /// was ended: then nothing of it will ever be visible. Otherwise, what became of the batch.
    fn roll_back(
        &mut self,
        producer: &Producer,
        halt: Halt,
        begun: Instant,
        since: Mark,
        around: &Surroundings<'_>,
    ) -> (Vec<FailedDelivery>, Result<String, Ending>) {
        self.stage = Stage::Closed;
        let mut failures = producer.deliveries().take_failures();
        // Taken whatever halted it: it belongs to no later transaction.
        let cause = producer.failed_transaction().take();
        let ended = match halt {
            Halt::Later(reason) => Err(Outcome::Indefinite { reason }),
            Halt::Failures => Ok(match cause {
                Some(cause) => format!("messages were refused: {cause}"),
                None => "messages were refused".to_owned(),
            }),
            Halt::Trouble(Trouble::Abortable(reason)) | Halt::Abort(reason) => Ok(reason),
            Halt::Trouble(trouble) => Err(trouble.into_outcome()),
        };
        let timed_out = failures.iter().find(|failure| is_timed_out(failure));
        let timed_out = timed_out.map(|found| match found.tag {
            CONTROL => format!("the checkpoint: {}", found.code),
            number => format!("message {number} of the batch: {}", found.code),
        });
        let ended = ended.and_then(|reason| {
            if let Some(reason) = timed_out {
                return Err(Outcome::Indefinite { reason });
            }
            // It waits for the requests on their way: whatever they are refused for is told.
            let (result, took) = producer.abort();
            result.map_err(Trouble::into_outcome)?;
            // The purge gives every message that was still waiting an answer of its own.
            producer.serve_events(Instant::now() + WAIT_MAX);
            let took = match producer.traces().needs_new_epoch(since) {
                true => Duration::ZERO,
                false => took,
            };
            // Whether the broker was slow is not for a roll-back to tell: librdkafka may have taken
            // a new epoch without a word.
            let judged = self.judge(producer, since, took, around);
            judged.map_err(|(outcome, _)| outcome)?;
            Ok(reason)
        });
        failures.extend(producer.deliveries().take_failures());
        let ended = ended.map_err(|outcome| (unless_timed_out(outcome, begun, around), false));
        (failures, ended)
    }

    /// Whether the end of the transaction can be believed.
    fn judge(
        &mut self,
        producer: &Producer,
        since: Mark,
        took: Duration,
        around: &Surroundings<'_>,
    ) -> Result<(), Ending> {
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
