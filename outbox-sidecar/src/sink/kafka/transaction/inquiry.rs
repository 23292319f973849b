//! The transactions of an [`Inquest`]: begun, tried, and rolled back.

use std::time::Instant;

use outbox_core::sink::{Batch, Outcome, Refusal};

use super::super::deliveries::FailedDelivery;
use super::super::errors::DeliveryFailure;
use super::super::inquest::{Failed, Inquest};
use super::super::isolation::Isolation;
use super::super::producer::Producer;
use super::super::sending::Halt;
use super::{Ending, Stage, Step, Surroundings, Transaction, WAIT_MAX};

/// With so many refused messages the relay is told before all are known. Each takes a roll-back or
/// more, and meanwhile nothing is published.
const REFUSED_MAX: usize = 1000;
/// So often in a row a try may fail without a word why.
const IN_VAIN_MAX: u32 = 3;

impl Transaction {
    /// Tries what is left of the batch until it is known what of it is refused.
    pub(super) fn inquire(
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
                    let progress =
                        format!("{refused} messages are refused, {left} are still tried");
                    return (Outcome::Ongoing { progress }, false);
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

    pub(super) fn learn(
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
pub(super) fn unexplained(failures: &[FailedDelivery], reason: String) -> Outcome {
    let own = |failure: &&FailedDelivery| {
        DeliveryFailure::of(failure.code) != DeliveryFailure::Collateral
    };
    let reason = failures
        .iter()
        .find(own)
        .map_or(reason, |failure| failure.code.to_string());
    Outcome::Abort { reason }
}

#[cfg(test)]
mod tests {
    use rdkafka::types::RDKafkaErrorCode as Code;

    use super::super::super::deliveries::CONTROL;
    use super::*;

    fn reason(failures: &[(usize, Code)]) -> String {
        let failures: Vec<_> = failures
            .iter()
            .map(|(tag, code)| FailedDelivery {
                tag: *tag,
                code: *code,
            })
            .collect();
        match unexplained(&failures, "unknown id".to_owned()) {
            Outcome::Abort { reason } => reason,
            outcome => panic!("{outcome:?}"),
        }
    }

    #[test]
    fn what_was_purged_with_a_failed_transaction_explains_nothing() {
        let purged = [(0, Code::PurgeQueue), (CONTROL, Code::PurgeQueue)];
        assert_eq!(reason(&purged), "unknown id");
        let refused = [(0, Code::PurgeQueue), (CONTROL, Code::MessageSizeTooLarge)];
        assert_eq!(reason(&refused), Code::MessageSizeTooLarge.to_string());
    }
}
