//! How far the batch in hand is: what may be sent, what is on its way, what is decided.

use std::collections::{BTreeSet, HashMap, HashSet};

use outbox_core::sink::{Batch, Refusal, RefusalReason};
use outbox_core::{MessageId, Position};

/// One batch, from its first message to the last confirm.
///
/// Messages of one key and destination go out one after the other: the next is ready once the one
/// before is confirmed. So nothing that the broker refuses, loses or delays is ever overtaken.
/// Messages without a key go side by side.
#[derive(Debug)]
pub(super) struct Attempt {
    /// The batch, by its checkpoint's sequence.
    pub(super) sequence: u64,
    /// What may go out now, in commit order.
    ready: BTreeSet<usize>,
    /// The message that follows in the same key.
    follower: Vec<Option<usize>>,
    /// Messages whose fate is open because the broker closed the channel over one of them: each
    /// travels alone.
    suspects: BTreeSet<usize>,
    on_the_way: BTreeSet<usize>,
    /// Those that were not taken when they went last; they may be on their way again.
    put_off: BTreeSet<usize>,
    refused: Vec<Refusal>,
    confirmed: Vec<usize>,
}

impl Attempt {
    /// All of the batch but what was `confirmed` in an earlier attempt is to be sent.
    pub(super) fn new(batch: &Batch, confirmed: &HashSet<(Position, MessageId)>) -> Self {
        let mut attempt = Self {
            sequence: batch.checkpoint.sequence,
            ready: BTreeSet::new(),
            follower: vec![None; batch.messages.len()],
            suspects: BTreeSet::new(),
            on_the_way: BTreeSet::new(),
            put_off: BTreeSet::new(),
            refused: Vec::new(),
            confirmed: Vec::new(),
        };
        let mut last_of_key: HashMap<(&str, &str), usize> = HashMap::new();
        for (index, delivery) in batch.messages.iter().enumerate() {
            if confirmed.contains(&(delivery.position, delivery.row.id)) {
                attempt.confirmed.push(index);
                continue;
            }
            let row = &delivery.row;
            let before = row
                .key
                .as_deref()
                .and_then(|key| last_of_key.insert((&row.destination, key), index));
            match before.and_then(|before| attempt.follower.get_mut(before)) {
                Some(follower) => *follower = Some(index),
                None => drop(attempt.ready.insert(index)),
            }
        }
        attempt
    }

    /// The next message to send, if one may go out while so many are on their way.
    pub(super) fn next(&mut self, unconfirmed_max: usize) -> Option<usize> {
        let max = if self.suspects.is_empty() {
            unconfirmed_max
        } else {
            1
        };
        if self.on_the_way.len() >= max {
            return None;
        }
        // The suspects first: until one of them is found guilty, nothing else is sent.
        let next = match self.suspects.first() {
            Some(suspect) => *suspect,
            None => *self.ready.first()?,
        };
        self.ready.remove(&next);
        self.on_the_way.insert(next);
        Some(next)
    }

    /// The broker has it, for good.
    pub(super) fn confirm(&mut self, index: usize) {
        self.decided(index);
        self.confirmed.push(index);
        if let Some(follower) = self.follower.get(index).copied().flatten() {
            self.ready.insert(follower);
        }
    }

    /// Refused for itself: those that follow in its key are not sent.
    pub(super) fn refuse(&mut self, index: usize, reason: RefusalReason, error: String) {
        self.decided(index);
        self.refused.push(Refusal {
            batch_index: index,
            reason,
            error,
        });
    }

    fn decided(&mut self, index: usize) {
        self.on_the_way.remove(&index);
        self.suspects.remove(&index);
        self.put_off.remove(&index);
    }

    /// Not taken this time: it goes again, and its followers wait.
    pub(super) fn repeat(&mut self, index: usize) {
        self.on_the_way.remove(&index);
        self.put_off.insert(index);
        self.ready.insert(index);
    }

    /// How many were not taken when they went last, and are not decided since.
    pub(super) fn put_off(&self) -> usize {
        self.put_off.len()
    }

    /// The broker closed the channel over one of those on their way. Returns the guilty one when
    /// only one was.
    pub(super) fn channel_closed(&mut self) -> Option<usize> {
        let on_the_way = std::mem::take(&mut self.on_the_way);
        if on_the_way.len() == 1 {
            return on_the_way.first().copied();
        }
        self.ready.extend(&on_the_way);
        self.suspects.extend(on_the_way);
        None
    }

    /// Nothing is left to send or to wait for.
    pub(super) fn is_over(&self) -> bool {
        self.ready.is_empty() && self.on_the_way.is_empty()
    }

    /// What was refused, in commit order.
    pub(super) fn into_refused(mut self) -> Vec<Refusal> {
        self.refused
            .sort_unstable_by_key(|refusal| refusal.batch_index);
        self.refused
    }

    /// The places of what is confirmed.
    pub(super) fn confirmed(&self) -> &[usize] {
        &self.confirmed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::rabbitmq::tests::support::batch_of;

    fn sent(attempt: &mut Attempt, max: usize) -> Vec<usize> {
        std::iter::from_fn(|| attempt.next(max)).collect()
    }

    #[test]
    fn a_key_is_sent_one_message_after_the_other_and_others_side_by_side() {
        let batch = batch_of(1, &[Some("a"), Some("b"), Some("a"), None, None, Some("a")]);
        let mut attempt = Attempt::new(&batch, &HashSet::new());
        assert_eq!(sent(&mut attempt, 10), [0, 1, 3, 4]);
        attempt.confirm(1);
        assert!(sent(&mut attempt, 10).is_empty());
        attempt.confirm(0);
        assert_eq!(sent(&mut attempt, 10), [2]);
        attempt.repeat(2);
        assert_eq!(sent(&mut attempt, 10), [2]);
        attempt.confirm(2);
        assert_eq!(sent(&mut attempt, 10), [5]);
        for index in [3, 4, 5] {
            attempt.confirm(index);
        }
        assert!(attempt.is_over());
        assert!(attempt.into_refused().is_empty());
    }

    #[test]
    fn the_followers_of_a_refused_message_are_not_sent() {
        let batch = batch_of(1, &[Some("a"), Some("b"), Some("a"), Some("b")]);
        let mut attempt = Attempt::new(&batch, &HashSet::new());
        assert_eq!(sent(&mut attempt, 10), [0, 1]);
        attempt.refuse(0, RefusalReason::DestinationMissing, String::new());
        attempt.confirm(1);
        assert_eq!(sent(&mut attempt, 10), [3]);
        attempt.confirm(3);
        assert!(attempt.is_over());
        assert_eq!(attempt.into_refused().len(), 1);
    }

    #[test]
    fn the_window_is_never_exceeded() {
        let batch = batch_of(1, &[None; 10]);
        let mut attempt = Attempt::new(&batch, &HashSet::new());
        assert_eq!(sent(&mut attempt, 3), [0, 1, 2]);
        attempt.confirm(1);
        assert_eq!(sent(&mut attempt, 3), [3]);
    }

    #[test]
    fn whoever_closed_the_channel_is_found_by_travelling_alone() {
        let batch = batch_of(1, &[None; 4]);
        let mut attempt = Attempt::new(&batch, &HashSet::new());
        assert_eq!(sent(&mut attempt, 3), [0, 1, 2]);
        attempt.confirm(1);
        assert_eq!(attempt.channel_closed(), None);
        assert_eq!(sent(&mut attempt, 3), [0]);
        attempt.confirm(0);
        assert_eq!(sent(&mut attempt, 3), [2]);
        assert_eq!(attempt.channel_closed(), Some(2));
        attempt.refuse(2, RefusalReason::TooLarge, String::new());
        assert_eq!(sent(&mut attempt, 3), [3]);
    }

    #[test]
    fn what_was_not_taken_counts_as_such_until_it_is_decided() {
        let batch = batch_of(1, &[Some("a"), Some("b"), None]);
        let mut attempt = Attempt::new(&batch, &HashSet::new());
        assert_eq!(sent(&mut attempt, 10), [0, 1, 2]);
        assert_eq!(attempt.put_off(), 0);
        attempt.repeat(0);
        attempt.repeat(1);
        assert_eq!(sent(&mut attempt, 10), [0, 1]);
        // On their way once more, with the answer still out.
        assert_eq!(attempt.put_off(), 2);
        attempt.repeat(0);
        attempt.confirm(1);
        assert_eq!(attempt.put_off(), 1);
        attempt.refuse(0, RefusalReason::DestinationMissing, String::new());
        assert_eq!(attempt.put_off(), 0);
    }

    #[test]
    fn what_was_confirmed_before_is_not_sent_again() {
        let batch = batch_of(1, &[Some("a"), Some("a"), Some("a")]);
        let confirmed = HashSet::from([(batch.messages[0].position, batch.messages[0].row.id)]);
        let mut attempt = Attempt::new(&batch, &confirmed);
        assert_eq!(sent(&mut attempt, 10), [1]);
    }
}
