//! Which messages of a batch does the broker refuse?
//!
//! A broker refuses whole requests. librdkafka (2.12) ends the whole transaction over the first one
//! (`rd_kafka_txn_set_abortable_error`): it gives up everything that was not sent, takes nothing more,
//! and lets only the requests on their way be answered, at most five a broker. So no transaction
//! tells all refused messages of a batch, in whatever order they are sent; each refused one costs a
//! roll-back of its own. (Requests for the same partition behind a refused one are refused for their
//! sequence numbers, too; that costs a new epoch and half a second, which looks as if the roll-back
//! had been repeated, and so a new producer. From then on only one request is on its way at a time.)
//!
//! What can be spared is to send the whole batch each time, and a round of the relay. So what is in
//! doubt is tried in transactions that are never committed. Of a destination with a refused request
//! every message is in doubt: the largest goes alone, then the next; as long as they are taken, more
//! and more go together. All others go at once. A message that is refused alone is to blame. Of what was
//! too large together half may be on its way from then on, also when the batch is published: the
//! topic may be too narrow for what librdkafka puts into one request.
//!
//! Everything ends: each refused try names a message, adds a destination to those in doubt, or is
//! followed by one of a single message, which is then refused or done.

use std::collections::{HashMap, HashSet, VecDeque};

use bytestring::ByteString;
use outbox_core::sink::{Batch, Refusal, RefusalReason};

use super::deliveries::FailedDelivery;
use super::errors::{DeliveryFailure, refusal_text};
use super::isolation::{Isolation, paced_bytes};

/// The search for the refused messages of one batch.
#[derive(Debug)]
pub(super) struct Inquest {
    /// What is in doubt, by destination.
    lines: VecDeque<Line>,
    /// All others, by their places in the batch.
    rest: Vec<usize>,
}

/// The messages of a destination that are in doubt, the largest first.
#[derive(Debug)]
struct Line {
    destination: ByteString,
    members: Vec<usize>,
    /// How many go together next.
    stride: usize,
}

/// What a failed try has shown.
pub(super) struct Failed<'a> {
    /// How many messages of it, from its beginning, were handed to the producer.
    pub(super) handed_over: usize,
    /// What the producer did not even take.
    pub(super) not_taken: Vec<Refusal>,
    /// The deliveries that failed.
    pub(super) failures: &'a [FailedDelivery],
    /// Topics of which the broker let nothing be added to the transaction.
    pub(super) unauthorised: HashSet<String>,
}

impl Inquest {
    /// Everything of the batch that is not known to be refused.
    pub(super) fn new(batch: &Batch, isolation: &Isolation) -> Self {
        let messages = batch.messages.iter().enumerate();
        let open = messages.filter(|(_, delivery)| !isolation.is_refused(delivery));
        let mut inquest = Self {
            lines: VecDeque::new(),
            rest: open.map(|(index, _)| index).collect(),
        };
        inquest.doubt(batch, isolation);
        inquest
    }

    /// The whole batch: what was tried first, as if there were no refused messages.
    pub(super) fn all(batch: &Batch) -> Self {
        Self {
            lines: VecDeque::new(),
            rest: (0..batch.messages.len()).collect(),
        }
    }

    /// What is tried next.
    pub(super) fn next(&self, batch: &Batch, isolation: &Isolation) -> Option<Vec<usize>> {
        match self.lines.front() {
            Some(line) => Some(line.next(batch, isolation).to_vec()),
            None => (!self.rest.is_empty()).then(|| self.rest.clone()),
        }
    }

    /// How many messages are still tried.
    pub(super) fn left(&self) -> usize {
        let lines = self.lines.iter().map(|line| line.members.len());
        lines.sum::<usize>() + self.rest.len()
    }

    /// The broker has taken the try.
    pub(super) fn passed(&mut self, batch: &Batch, isolation: &Isolation) {
        let Some(line) = self.lines.front_mut() else {
            self.rest.clear();
            return;
        };
        let count = line.next(batch, isolation).len();
        line.members.drain(..count);
        line.stride = count * 2;
        self.drop_empty();
    }

    /// Learns from a failed try. False if it has shown nothing.
    pub(super) fn learn(
        &mut self,
        batch: &Batch,
        failed: Failed<'_>,
        isolation: &mut Isolation,
    ) -> bool {
        let tried = self.next(batch, isolation).unwrap_or_default();
        let mut learnt = false;
        for refusal in failed.not_taken {
            learnt |= isolation.refuse(batch, refusal);
        }
        for topic in &failed.unauthorised {
            let text = "the topic may not be written to: allow WRITE on it";
            let reason = RefusalReason::NotAuthorised;
            learnt |= isolation.refuse_destination(batch, topic, reason, text);
        }
        let mut together = HashSet::new();
        let mut too_large: HashMap<&ByteString, usize> = HashMap::new();
        for failure in failed.failures {
            let Some(delivery) = batch.messages.get(failure.tag) else {
                continue;
            };
            let destination = &delivery.row.destination;
            let error = refusal_text(failure.code, delivery);
            match DeliveryFailure::of(failure.code) {
                DeliveryFailure::RefusedTogether(reason) if tried == [failure.tag] => {
                    let refusal = Refusal {
                        batch_index: failure.tag,
                        reason,
                        error,
                    };
                    learnt |= isolation.refuse(batch, refusal);
                }
                DeliveryFailure::RefusedTogether(reason) => {
                    learnt |= together.insert(failure.tag);
                    isolation.suspect(destination);
                    if reason == RefusalReason::TooLarge {
                        *too_large.entry(destination).or_default() += paced_bytes(delivery);
                    }
                }
                DeliveryFailure::DestinationRefused(reason) => {
                    learnt |= isolation.refuse_destination(batch, destination, reason, &error);
                }
                DeliveryFailure::Collateral
                | DeliveryFailure::DestinationGone
                | DeliveryFailure::Unclear => {}
            }
        }
        for (destination, bytes) in too_large {
            isolation.too_many(destination, bytes);
        }
        match self.lines.front_mut() {
            Some(line) => line.failed(&together),
            None => {
                let failures = failed.failures.iter().map(|failure| failure.tag);
                let failures: HashSet<usize> = failures.collect();
                let taken = tried.iter().take(failed.handed_over);
                let taken: HashSet<usize> = taken
                    .filter(|index| !failures.contains(index))
                    .copied()
                    .collect();
                self.doubt(batch, isolation);
                self.rest.retain(|index| !taken.contains(index));
            }
        }
        self.drop_refused(batch, isolation);
        learnt
    }

    /// Moves the messages of suspected destinations from the rest into lines.
    fn doubt(&mut self, batch: &Batch, isolation: &Isolation) {
        for destination in isolation.suspected() {
            let belongs = |index: &usize| {
                let delivery = batch.messages.get(*index);
                delivery.is_some_and(|delivery| delivery.row.destination == *destination)
            };
            let mut members: Vec<usize> =
                self.rest.extract_if(.., |index| belongs(index)).collect();
            members.sort_by_key(|index| std::cmp::Reverse(bytes(batch, &[*index])));
            if !members.is_empty() {
                self.lines.push_back(Line {
                    destination: destination.clone(),
                    members,
                    stride: 1,
                });
            }
        }
    }

    fn drop_refused(&mut self, batch: &Batch, isolation: &Isolation) {
        let open = |index: &usize| {
            let delivery = batch.messages.get(*index);
            delivery.is_some_and(|delivery| !isolation.is_refused(delivery))
        };
        for line in &mut self.lines {
            line.members.retain(open);
        }
        self.rest.retain(open);
        self.drop_empty();
    }

    fn drop_empty(&mut self) {
        self.lines.retain(|line| !line.members.is_empty());
    }
}

impl Line {
    fn next(&self, batch: &Batch, isolation: &Isolation) -> &[usize] {
        let mut left = isolation.limit(&self.destination);
        let mut fits = |index: &usize| {
            left = left.saturating_sub(bytes(batch, &[*index]));
            left > 0
        };
        let stride = self.members.get(..self.stride).unwrap_or(&self.members);
        let count = stride.iter().take_while(|index| fits(index)).count();
        stride.get(..count.max(1)).unwrap_or(stride)
    }

    /// A single message is tried next: one of those that were refused together.
    fn failed(&mut self, together: &HashSet<usize>) {
        self.members.sort_by_key(|index| !together.contains(index));
        self.stride = 1;
    }
}

fn bytes(batch: &Batch, members: &[usize]) -> usize {
    let deliveries = members
        .iter()
        .filter_map(|index| batch.messages.get(*index));
    deliveries.map(paced_bytes).sum()
}

#[cfg(test)]
mod tests;
