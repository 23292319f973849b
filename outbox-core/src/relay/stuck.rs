use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::blocked_keys::BlockedKeys;
use super::gone::{Advice, Gone, NewlyGone};
use super::parked_message::{ParkReason, ParkedEarlier, ParkedMessage, StuckPolicy, UncoveredRow};
use super::{GoneLimits, KeyAfter};
use crate::checkpoint::{Checkpoint, LastHandled};
use crate::sink::{Batch, Delivery, Refusal};
use crate::{Frontier, Position};

/// Which messages are set aside rather than published: those that the broker refuses, and under
/// [`StuckPolicy::ParkKey`] whatever follows them in their key.
#[derive(Debug)]
pub(super) struct Stuck {
    policy: StuckPolicy,
    /// Set aside by an earlier holder that did not come to its checkpoint: they come again.
    uncovered: BTreeMap<Position, UncoveredRow>,
    /// Set aside, and not covered by a durable checkpoint yet.
    aside: BTreeMap<Position, LastHandled>,
    blocked: BlockedKeys,
    gone: Gone,
}

/// A batch without what is set aside of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sorted {
    pub(super) batch: Batch,
    pub(super) parked: Vec<ParkedMessage>,
    /// Destinations that count as gone from now on.
    pub(super) gone: Vec<NewlyGone>,
}

/// Whether a batch has been handed to the sink before: what was tried then may be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    First,
    Again,
}

/// Why a batch cannot be sorted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unsortable {
    /// The log does not hold what was set aside.
    Diverged(String),
    /// More keys would be blocked than a relay remembers, from this message on.
    TooManyKeys(Box<Delivery>),
}

impl Stuck {
    pub(super) fn new(policy: StuckPolicy, gone: GoneLimits, earlier: ParkedEarlier) -> Self {
        Self {
            policy,
            uncovered: earlier
                .uncovered
                .into_iter()
                .map(|row| (row.position, row))
                .collect(),
            aside: BTreeMap::new(),
            blocked: earlier.blocked.into_iter().collect(),
            gone: Gone::new(gone),
        }
    }

    pub(super) const fn policy(&self) -> StuckPolicy {
        self.policy
    }

    /// How many keys wait, and how many destinations count as gone.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.blocked.count(), self.gone.count())
    }

    /// Takes out of a batch what is not to be published: what is refused, what waits behind it, and
    /// what was set aside before.
    pub(super) fn sort(
        &mut self,
        batch: Batch,
        refused: &[Refusal],
        round: Round,
        now: Duration,
    ) -> Result<Sorted, Unsortable> {
        let mut sorted = Sorted {
            batch,
            parked: Vec::new(),
            gone: Vec::new(),
        };
        let has_nothing = self.blocked.is_empty()
            && self.uncovered.is_empty()
            && self.aside.is_empty()
            && self.gone.is_empty();
        if has_nothing && refused.is_empty() {
            return Ok(sorted);
        }
        let refusals: HashMap<usize, &Refusal> = refused
            .iter()
            .map(|refusal| (refusal.batch_index, refusal))
            .collect();
        let messages = std::mem::take(&mut sorted.batch.messages);
        for (index, delivery) in messages.into_iter().enumerate() {
            let handled = LastHandled::from(&delivery);
            if self.parked_already(&delivery)? {
                self.aside.insert(handled.position(), handled);
                continue;
            }
            let refusal = refusals.get(&index).copied();
            if let Some(Refusal { reason, error, .. }) = refusal {
                let gone = self.gone.refused(&delivery, *reason, error, now);
                sorted.gone.extend(gone);
            }
            match self.judge(delivery, refusal, round, now)? {
                Judged::Publish(delivery) => sorted.batch.messages.push(delivery),
                Judged::Park(parked) => {
                    self.gone.set_aside(&parked.delivery);
                    self.aside.insert(handled.position(), handled);
                    sorted.parked.push(parked);
                }
            }
        }
        self.amend(&mut sorted.batch.checkpoint);
        Ok(sorted)
    }

    /// Lets a checkpoint name the last message before its frontier, where that was set aside.
    pub(super) fn amend(&self, checkpoint: &mut Checkpoint) {
        let Frontier { lsn, index } = checkpoint.frontier;
        let end = Position {
            commit_lsn: lsn,
            index,
        };
        if let Some((_, last)) = self.aside.range(..end).next_back()
            && checkpoint
                .last
                .is_none_or(|known| known.position() < last.position())
        {
            checkpoint.last = Some(*last);
        }
    }

    /// Whether the relay waits for a destination rather than set this message aside.
    pub(super) fn waits_for_destination(&self, batch: &Batch, refused: &[Refusal]) -> bool {
        refused.iter().any(|refusal| {
            let delivery = batch.messages.get(refusal.batch_index);
            delivery.is_some_and(|delivery| self.gone.must_be_waited_for(delivery, refusal.reason))
        })
    }

    /// Messages are published; returns the destinations that had counted as gone.
    pub(super) fn published(&mut self, messages: &[Delivery]) -> Vec<String> {
        if self.gone.is_empty() {
            return Vec::new();
        }
        self.gone.published(messages)
    }

    /// What keys are after a request.
    pub(super) fn release(&mut self, keys: &[KeyAfter]) {
        for key in keys {
            self.blocked.remove(&key.destination, &key.key);
            if let Some(from) = key.blocked_from {
                self.blocked.insert(&key.destination, &key.key, from);
            }
        }
    }

    /// A checkpoint with this frontier is durable.
    pub(super) fn covered(&mut self, frontier: Frontier) {
        self.aside.retain(|position, _| !frontier.covers(*position));
    }

    /// Whether an earlier holder has set it aside; nothing that one has may be missing in the log.
    fn parked_already(&mut self, delivery: &Delivery) -> Result<bool, Unsortable> {
        let Some(next) = self.uncovered.first_entry() else {
            return Ok(false);
        };
        let UncoveredRow { position, id } = *next.get();
        if position > delivery.position {
            return Ok(false);
        }
        if (position, id) != (delivery.position, delivery.row.id) {
            return Err(Unsortable::Diverged(format!(
                "message {id} was set aside at {position}; the log has message {} at {} instead",
                delivery.row.id, delivery.position
            )));
        }
        next.remove();
        Ok(true)
    }

    fn judge(
        &mut self,
        delivery: Delivery,
        refusal: Option<&Refusal>,
        round: Round,
        now: Duration,
    ) -> Result<Judged, Unsortable> {
        let row = &delivery.row;
        let waits = self.blocked.holds_back(row, delivery.position);
        let (reason, error) = match refusal {
            Some(refusal) => (ParkReason::Refused(refusal.reason), refusal.error.clone()),
            None if waits => (ParkReason::KeyBlocked, String::new()),
            None if round == Round::Again => return Ok(Judged::Publish(delivery)),
            None => match self.gone.advise(&delivery, now) {
                Advice::Try => return Ok(Judged::Publish(delivery)),
                Advice::SetAside { reason, error } => (ParkReason::Refused(reason), error),
            },
        };
        let blocks_key = match &row.key {
            Some(key) if !waits && self.policy == StuckPolicy::ParkKey => {
                if self.blocked.is_full() {
                    return Err(Unsortable::TooManyKeys(Box::new(delivery)));
                }
                self.blocked
                    .insert(&row.destination, key, delivery.position);
                true
            }
            _ => false,
        };
        Ok(Judged::Park(ParkedMessage {
            delivery,
            reason,
            error,
            blocks_key,
        }))
    }
}

enum Judged {
    Publish(Delivery),
    Park(ParkedMessage),
}
