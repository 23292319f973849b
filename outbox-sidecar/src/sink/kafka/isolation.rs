use std::collections::{HashMap, HashSet};

use bytestring::ByteString;
use outbox_core::sink::{Batch, Delivery, Outcome, Refusal, RefusalReason};
use outbox_core::{MessageId, Position};

use super::deliveries::FailedDelivery;
use super::errors::{DeliveryFailure, refusal_text};
use super::record::record_bytes;

/// Room that a record takes beside its own bytes in a request, and its share of the request's head.
const FRAME_BYTES: usize = 128;

/// What is known of messages whose requests were refused, from one round of a batch to the next.
///
/// Places in a batch change once its refused messages are taken out of it, or when it is sent in
/// halves; positions and destinations do not. It holds at most an entry for each message of the
/// batch in hand, and is forgotten once that is durable.
#[derive(Debug, Default)]
pub(super) struct Isolation {
    /// Destinations of which a request was refused, and not yet a message.
    suspected: HashSet<ByteString>,
    /// How many bytes of a destination may be on the way at once: half of what was refused.
    limits: HashMap<ByteString, usize>,
    /// Messages that travel without any other, see [`blame`](Self::blame).
    alone: HashSet<Position>,
    /// Messages that are refused for themselves, and not named to the relay yet.
    refused: HashMap<Position, (MessageId, RefusalReason, String)>,
}

/// What may be on the way together with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Free,
    Alone,
    /// So many bytes of its destination.
    Within(usize),
}

/// What a message takes of [`Pace::Within`].
pub(super) fn paced_bytes(delivery: &Delivery) -> usize {
    record_bytes(delivery) + FRAME_BYTES
}

impl Isolation {
    /// Forgets the messages that are not in the batch in hand.
    pub(super) fn keep(&mut self, batch: &Batch) {
        let holds = |position: &Position| {
            let found = batch
                .messages
                .binary_search_by_key(position, |delivery| delivery.position);
            found.is_ok()
        };
        self.alone.retain(holds);
        self.refused.retain(|position, _| holds(position));
    }

    /// Whether every message may go as ever.
    pub(super) fn is_free(&self) -> bool {
        self.alone.is_empty() && self.limits.is_empty()
    }

    pub(super) fn pace(&self, delivery: &Delivery) -> Pace {
        if self.alone.contains(&delivery.position) {
            return Pace::Alone;
        }
        let limit = self.limits.get(&delivery.row.destination);
        limit.map_or(Pace::Free, |bytes| Pace::Within(*bytes))
    }

    /// So many bytes of a destination were too many at once. What is on the way then is refused no
    /// more than about twenty times, until every message travels alone.
    pub(super) fn too_many(&mut self, destination: &ByteString, bytes: usize) {
        let limit = self.limits.entry(destination.clone()).or_insert(usize::MAX);
        *limit = (bytes / 2).min(*limit);
    }

    /// How many bytes of a destination may be on the way at once.
    pub(super) fn limit(&self, destination: &ByteString) -> usize {
        self.limits.get(destination).copied().unwrap_or(usize::MAX)
    }

    /// Of this destination a request was refused, or none is any more.
    pub(super) fn suspect(&mut self, destination: &ByteString) {
        self.suspected.insert(destination.clone());
    }

    pub(super) fn suspected(&self) -> &HashSet<ByteString> {
        &self.suspected
    }

    /// Every suspect was tried.
    pub(super) fn clear_suspicion(&mut self) {
        self.suspected.clear();
    }

    /// Whether it is open what of the batch is refused.
    pub(super) fn is_open(&self) -> bool {
        !self.suspected.is_empty() || !self.refused.is_empty()
    }

    /// Keeps a refusal until the relay is told, whatever becomes of the transaction that it was
    /// found out with. False if it was known.
    pub(super) fn refuse(&mut self, batch: &Batch, refusal: Refusal) -> bool {
        let Some(delivery) = batch.messages.get(refusal.batch_index) else {
            return false;
        };
        let refused = (delivery.row.id, refusal.reason, refusal.error);
        let known = self.refused.insert(delivery.position, refused);
        known.is_none()
    }

    pub(super) fn is_refused(&self, delivery: &Delivery) -> bool {
        self.refused.contains_key(&delivery.position)
    }

    pub(super) fn refused(&self) -> usize {
        self.refused.len()
    }

    /// The refusals that the relay was not told yet, by their places in the batch.
    pub(super) fn take_refusals(&mut self, batch: &Batch) -> Vec<Refusal> {
        let mut refused = std::mem::take(&mut self.refused);
        let messages = batch.messages.iter().enumerate();
        messages
            .filter_map(|(batch_index, delivery)| {
                let (id, reason, error) = refused.remove(&delivery.position)?;
                (id == delivery.row.id).then_some(Refusal {
                    batch_index,
                    reason,
                    error,
                })
            })
            .collect()
    }

    /// For a producer that stops at the first refusal, and is thrown away: who is to blame? Messages
    /// that were refused together go one by one when their batch is sent again.
    pub(super) fn blame(
        &mut self,
        batch: &Batch,
        failures: &[FailedDelivery],
        reason: String,
    ) -> Outcome {
        let mut together = 0;
        let mut other = None;
        for failure in failures {
            let Some(delivery) = batch.messages.get(failure.tag) else {
                continue;
            };
            let error = refusal_text(failure.code, delivery);
            match DeliveryFailure::of(failure.code) {
                DeliveryFailure::Collateral => {}
                DeliveryFailure::DestinationRefused(reason) => {
                    self.refuse_destination(batch, &delivery.row.destination, reason, &error);
                }
                DeliveryFailure::RefusedTogether(reason) => {
                    if !self.alone.insert(delivery.position) {
                        let refusal = Refusal {
                            batch_index: failure.tag,
                            reason,
                            error,
                        };
                        self.refuse(batch, refusal);
                    } else {
                        together += 1;
                    }
                }
                DeliveryFailure::DestinationGone | DeliveryFailure::Unclear => other = Some(error),
            }
        }
        let refusals = self.take_refusals(batch);
        if !refusals.is_empty() {
            return Outcome::Poison(refusals);
        }
        let reason = match (together, other) {
            (0, None) => reason,
            (0, Some(error)) => error,
            _ => format!("{together} messages were refused together; each is tried alone"),
        };
        Outcome::Abort { reason }
    }

    /// What is refused of a destination is refused of all its messages. False if all was known.
    pub(super) fn refuse_destination(
        &mut self,
        batch: &Batch,
        destination: &str,
        reason: RefusalReason,
        error: &str,
    ) -> bool {
        let mut news = false;
        for (batch_index, delivery) in batch.messages.iter().enumerate() {
            if delivery.row.destination == destination && !self.is_refused(delivery) {
                let error = error.to_owned();
                news |= self.refuse(
                    batch,
                    Refusal {
                        batch_index,
                        reason,
                        error,
                    },
                );
            }
        }
        news
    }
}

#[cfg(test)]
pub(super) mod tests;
