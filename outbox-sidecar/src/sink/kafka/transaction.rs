//! One batch in one transaction: its messages, then its checkpoint, then the commit. Where messages
//! are refused, the transactions of an [`Inquest`] follow, which are never committed.

use std::time::{Duration, Instant};

use outbox_core::sink::{Batch, Outcome, Refusal};

use super::checkpoint_topic::PARTITION;
use super::deliveries::{CONTROL, FailedDelivery};
use super::errors::{DeliveryFailure, Trouble};
use super::inquest::{Failed, Inquest};
use super::isolation::Isolation;
use super::producer::{Producer, Record, SendError};
use super::sending::{Halt, Sending, settle};
use super::suspicion::Mark;

/// How long one `publish` waits for acknowledgements before it hands control back.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// With so many refused messages the relay is told before all are known. Each takes a roll-back or
/// more, and meanwhile nothing is published.
const REFUSED_MAX: usize = 1000;
/// So often in a row a try may fail without a word why.
const IN_VAIN_MAX: u32 = 3;

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
        let halt = match self.produce(producer, batch, around, isolation) {
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

    /// Tries what is left of the batch until it is known what of it is refused.
    fn inquire(
        &mut self,
        producer: &mut Producer,
        batch: &Batch,
        around: &Surroundings<'_>,
        isolation: &mut Isolation,
        mut inquest: Inquest,
    ) -> Ending {
        let deadline = Instant::now() + WAIT_MAX;
        let sequence = batch.checkpoint.sequence;
        let mut in_vain = 0;
        while isolation.refused() < REFUSED_MAX
            && let Some(places) = inquest.next(batch, isolation)
        {
            let opened = match self.stage {
                Stage::Open { begun, since, .. } => Ok((begun, since)),
                Stage::Closed if Instant::now() >= deadline => {
                    let (left, refused) = (inquest.left(), isolation.refused());
                    self.inquest = Some((sequence, inquest));
                    let reason = format!("{refused} messages are refused, {left} are still tried");
                    return (Outcome::Retry { reason }, false);
                }
                Stage::Closed => self.begin(producer, sequence, Step::Trial),
            };
            let (begun, since) = match opened {
                Ok(opened) => opened,
                Err(outcome) => return (outcome, false),
            };
            let places = places.into_iter();
            let (passed, halt) = match self.sending.send(producer, batch, places, None, deadline) {
                Ok(()) => {
                    inquest.passed(batch, isolation);
                    self.sending.restart();
                    if Instant::now() < deadline {
                        continue;
                    }
                    // No transaction stays open while the relay waits.
                    (true, Halt::Abort("no more time".to_owned()))
                }
                Err(Halt::Later(reason)) if begun.elapsed() < around.transaction_timeout => {
                    self.inquest = Some((sequence, inquest));
                    return (Outcome::Retry { reason }, false);
                }
                Err(halt) => (false, halt),
            };
            let (failures, ended) = self.roll_back(producer, halt, begun, since, around);
            let learnt = passed || self.learn(&mut inquest, producer, batch, &failures, isolation);
            in_vain = if learnt { 0 } else { in_vain + 1 };
            match ended {
                Err(ending) => return ending,
                Ok(_) if learnt => {}
                // Behind a refused request librdkafka goes on counting, in this epoch: the next
                // message of the partition fails as out of order, and brings a new epoch.
                Ok(_) if in_vain < IN_VAIN_MAX && is_collateral(&failures) => {}
                Ok(reason) => return conclude(batch, isolation, unexplained(&failures, reason)),
            }
        }
        if let Stage::Open { begun, since, .. } = self.stage {
            let halt = Halt::Abort("all is tried".to_owned());
            if let (_, Err(ending)) = self.roll_back(producer, halt, begun, since, around) {
                return ending;
            }
        }
        isolation.clear_suspicion();
        let reason = "messages were refused together; they go in smaller requests".to_owned();
        conclude(batch, isolation, Outcome::Abort { reason })
    }

    fn learn(
        &mut self,
        inquest: &mut Inquest,
        producer: &Producer,
        batch: &Batch,
        failures: &[FailedDelivery],
        isolation: &mut Isolation,
    ) -> bool {
        let failed = Failed {
            handed_over: self.sending.handed_over(),
            not_taken: self.sending.take_not_taken(),
            failures,
            unauthorised: producer.unauthorised().take(),
        };
        inquest.learn(batch, failed, isolation)
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
        let ended = match halt {
            Halt::Later(reason) => Err(Outcome::Indefinite { reason }),
            Halt::Failures => Ok("messages were refused".to_owned()),
            Halt::Trouble(Trouble::Abortable(reason)) | Halt::Abort(reason) => Ok(reason),
            Halt::Trouble(trouble) => Err(trouble.into_outcome()),
        };
        let timed_out = failures.iter().find(|failure| is_timed_out(failure));
        let timed_out = timed_out.map(|found| format!("message {}: {}", found.tag, found.code));
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

/// What the inquest has found, or `otherwise`.
fn conclude(batch: &Batch, isolation: &mut Isolation, otherwise: Outcome) -> Ending {
    let refusals: Vec<Refusal> = isolation.take_refusals(batch);
    let outcome = if refusals.is_empty() {
        otherwise
    } else {
        Outcome::Poison(refusals)
    };
    (outcome, false)
}

/// Whether nobody is to blame for a failed transaction.
fn is_collateral(failures: &[FailedDelivery]) -> bool {
    let mut kinds = failures
        .iter()
        .map(|failure| DeliveryFailure::of(failure.code));
    kinds.all(|kind| kind == DeliveryFailure::Collateral)
}

/// The transaction failed, and no message is to blame: it is sent again.
fn unexplained(failures: &[FailedDelivery], reason: String) -> Outcome {
    let own = |failure: &&FailedDelivery| {
        DeliveryFailure::of(failure.code) != DeliveryFailure::Collateral || failure.tag == CONTROL
    };
    let reason = failures
        .iter()
        .find(own)
        .map_or(reason, |failure| failure.code.to_string());
    Outcome::Abort { reason }
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
