use outbox_core::sink::{Outcome, Refusal};

use super::deliveries::{CONTROL, FailedDelivery};
use super::errors::DeliveryFailure;

/// Finds out which message a broker refused, where it refuses whole requests.
///
/// Messages that were refused together travel alone when their batch is sent again: then a
/// refusal names one message.
#[derive(Debug, Default)]
pub(super) struct Isolation {
    /// The batch, by its checkpoint's sequence.
    sequence: Option<u64>,
    /// Places in the batch, in their order.
    alone: Vec<usize>,
}

impl Isolation {
    pub(super) fn is_alone(&self, sequence: u64, index: usize) -> bool {
        self.sequence == Some(sequence) && self.alone.binary_search(&index).is_ok()
    }

    /// After a rollback, when nothing of the batch will ever be visible: who is to blame?
    pub(super) fn blame(
        &mut self,
        sequence: u64,
        failures: &[FailedDelivery],
        reason: String,
    ) -> Outcome {
        let mut refusals = Vec::new();
        let mut together = Vec::new();
        let mut other = None;
        for failure in failures {
            let refusal = |reason| Refusal {
                batch_index: failure.tag,
                reason,
                error: failure.code.to_string(),
            };
            match DeliveryFailure::of(failure.code) {
                DeliveryFailure::Collateral => {}
                _ if failure.tag == CONTROL => other = Some(failure),
                DeliveryFailure::Refused(reason) => refusals.push(refusal(reason)),
                DeliveryFailure::RefusedTogether(reason)
                    if self.is_alone(sequence, failure.tag) =>
                {
                    refusals.push(refusal(reason));
                }
                DeliveryFailure::RefusedTogether(_) => together.push(failure.tag),
                DeliveryFailure::DestinationGone | DeliveryFailure::Unclear => {
                    other = Some(failure);
                }
            }
        }
        if !refusals.is_empty() {
            refusals.sort_unstable_by_key(|refusal| refusal.batch_index);
            // The batch comes again without them, and every place in it is another.
            *self = Self::default();
            return Outcome::Poison(refusals);
        }
        if !together.is_empty() {
            return self.isolate(sequence, together);
        }
        let reason = other.map_or(reason, |failure| failure.code.to_string());
        Outcome::Abort { reason }
    }

    fn isolate(&mut self, sequence: u64, together: Vec<usize>) -> Outcome {
        if self.sequence != Some(sequence) {
            self.alone.clear();
        }
        self.sequence = Some(sequence);
        self.alone.extend(together);
        self.alone.sort_unstable();
        self.alone.dedup();
        Outcome::Abort {
            reason: format!(
                "{} messages were refused together; each is tried alone",
                self.alone.len()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use outbox_core::sink::RefusalReason;
    use rdkafka::types::RDKafkaErrorCode as Code;

    use super::*;

    fn failed(tags: &[usize], code: Code) -> Vec<FailedDelivery> {
        tags.iter()
            .map(|tag| FailedDelivery { tag: *tag, code })
            .collect()
    }

    #[test]
    fn a_refused_request_blames_nobody_until_each_message_went_alone() {
        let mut isolation = Isolation::default();
        let request = failed(&[4, 2, 3], Code::MessageSizeTooLarge);
        let outcome = isolation.blame(7, &request, String::new());
        assert!(matches!(outcome, Outcome::Abort { .. }));
        assert!(isolation.is_alone(7, 3) && !isolation.is_alone(7, 1) && !isolation.is_alone(8, 3));

        let mut alone = failed(&[3], Code::MessageSizeTooLarge);
        alone.extend(failed(&[4, 5], Code::PurgeQueue));
        let Outcome::Poison(refusals) = isolation.blame(7, &alone, String::new()) else {
            panic!("nobody is to blame");
        };
        assert_eq!(refusals.len(), 1);
        assert_eq!(
            (refusals[0].batch_index, refusals[0].reason),
            (3, RefusalReason::TooLarge)
        );
        assert!(!isolation.is_alone(7, 3));
    }

    #[test]
    fn a_message_not_allowed_is_to_blame_at_once() {
        let failures = failed(&[1], Code::TopicAuthorizationFailed);
        let outcome = Isolation::default().blame(7, &failures, String::new());
        assert!(matches!(outcome, Outcome::Poison(refusals) if refusals[0].batch_index == 1));
    }

    #[test]
    fn a_vanished_topic_is_looked_up_again_and_blames_nobody() {
        let failures = failed(&[1], Code::UnknownTopicOrPartition);
        let outcome = Isolation::default().blame(7, &failures, String::new());
        assert!(matches!(outcome, Outcome::Abort { .. }));
    }
}
