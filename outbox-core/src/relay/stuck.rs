use std::collections::{BTreeMap, HashMap};

use super::KeyAfter;
use super::blocked_keys::BlockedKeys;
use super::parked_message::{ParkReason, ParkedEarlier, ParkedMessage, StuckPolicy, UncoveredRow};
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
}

/// A batch without what is set aside of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sorted {
    pub(super) batch: Batch,
    pub(super) parked: Vec<ParkedMessage>,
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
    pub(super) fn new(policy: StuckPolicy, earlier: ParkedEarlier) -> Self {
        Self {
            policy,
            uncovered: earlier
                .uncovered
                .into_iter()
                .map(|row| (row.position, row))
                .collect(),
            aside: BTreeMap::new(),
            blocked: earlier.blocked.into_iter().collect(),
        }
    }

    pub(super) const fn policy(&self) -> StuckPolicy {
        self.policy
    }

    /// Takes out of a batch what is not to be published: what is refused, what waits behind it, and
    /// what was set aside before.
    pub(super) fn sort(&mut self, batch: Batch, refused: &[Refusal]) -> Result<Sorted, Unsortable> {
        let mut sorted = Sorted {
            batch,
            parked: Vec::new(),
        };
        let has_nothing =
            self.blocked.is_empty() && self.uncovered.is_empty() && self.aside.is_empty();
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
            match self.judge(delivery, refusals.get(&index).copied())? {
                Judged::Publish(delivery) => sorted.batch.messages.push(delivery),
                Judged::Park(parked) => {
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
    ) -> Result<Judged, Unsortable> {
        let row = &delivery.row;
        let waits = self.blocked.holds_back(row, delivery.position);
        let (reason, error) = match refusal {
            None if !waits => return Ok(Judged::Publish(delivery)),
            None => (ParkReason::KeyBlocked, String::new()),
            Some(refusal) => (ParkReason::Refused(refusal.reason), refusal.error.clone()),
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
