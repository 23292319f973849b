use std::collections::{BTreeMap, HashMap};

use super::parked_message::{BlockedKey, ParkReason, ParkedEarlier, ParkedMessage, StuckPolicy};
use super::settings::BLOCKED_KEYS_MAX;
use crate::checkpoint::LastParked;
use crate::sink::{Batch, Delivery, Refusal};
use crate::{MessageId, OutboxRow, Position};

/// Which messages are set aside rather than published: those that the broker refuses, and under
/// [`StuckPolicy::ParkKey`] whatever follows them in their key.
#[derive(Debug)]
pub(super) struct Stuck {
    policy: StuckPolicy,
    /// Set aside by an earlier holder that did not come to its checkpoint: they come again.
    uncovered: BTreeMap<Position, MessageId>,
    /// Keys whose messages wait, by destination, with the first position that does. Copies: a
    /// message's own texts would hold the whole block in memory that it was read with.
    blocked: HashMap<Box<str>, HashMap<Box<str>, Position>>,
    blocked_keys: usize,
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
    /// More keys would be blocked than a relay remembers; the batch's message that does not fit.
    TooManyKeys(usize),
}

impl Stuck {
    pub(super) fn new(policy: StuckPolicy, earlier: ParkedEarlier) -> Self {
        let mut stuck = Self {
            policy,
            uncovered: earlier.uncovered.into_iter().collect(),
            blocked: HashMap::new(),
            blocked_keys: 0,
        };
        for BlockedKey {
            destination,
            key,
            from,
        } in earlier.blocked
        {
            stuck.block(&destination, &key, from);
        }
        stuck
    }

    pub(super) const fn policy(&self) -> StuckPolicy {
        self.policy
    }

    /// Takes out of a batch what is not to be published: what is refused, what waits behind it, and
    /// what was set aside before.
    pub(super) fn sort(&mut self, batch: Batch, refused: &[Refusal]) -> Result<Sorted, Unsortable> {
        let nothing_is_stuck =
            refused.is_empty() && self.blocked.is_empty() && self.uncovered.is_empty();
        if nothing_is_stuck {
            let parked = Vec::new();
            return Ok(Sorted { batch, parked });
        }
        let refusals: HashMap<usize, &Refusal> = refused
            .iter()
            .map(|refusal| (refusal.batch_index, refusal))
            .collect();
        let mut sorted = Sorted {
            batch: Batch {
                messages: Vec::with_capacity(batch.messages.len()),
                checkpoint: batch.checkpoint,
            },
            parked: Vec::new(),
        };
        let last_parked = &mut sorted.batch.checkpoint.last_parked;
        let mut aside = |delivery: &Delivery| {
            let newer = last_parked.is_none_or(|last| last.position < delivery.position);
            if newer {
                *last_parked = Some(LastParked {
                    position: delivery.position,
                    message_id: delivery.row.id,
                });
            }
        };
        for (index, delivery) in batch.messages.into_iter().enumerate() {
            if self.is_parked_already(&delivery)? {
                aside(&delivery);
                continue;
            }
            match self.judge(index, delivery, refusals.get(&index).copied())? {
                Judged::Publish(delivery) => sorted.batch.messages.push(delivery),
                Judged::Park(parked) => {
                    aside(&parked.delivery);
                    sorted.parked.push(parked);
                }
            }
        }
        Ok(sorted)
    }

    /// Whether an earlier holder has set it aside; nothing that one has may be missing in the log.
    fn is_parked_already(&mut self, delivery: &Delivery) -> Result<bool, Unsortable> {
        let Some(next) = self.uncovered.first_entry() else {
            return Ok(false);
        };
        let (position, id) = (*next.key(), *next.get());
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
        index: usize,
        delivery: Delivery,
        refusal: Option<&Refusal>,
    ) -> Result<Judged, Unsortable> {
        let waits = self.is_blocked(&delivery.row, delivery.position);
        let (reason, error) = match refusal {
            None if !waits => return Ok(Judged::Publish(delivery)),
            None => (ParkReason::KeyBlocked, String::new()),
            Some(refusal) => (ParkReason::Refused(refusal.reason), refusal.error.clone()),
        };
        let blocks_key =
            delivery.row.key.is_some() && (waits || self.policy == StuckPolicy::ParkKey);
        if let (true, false, Some(key)) = (blocks_key, waits, &delivery.row.key) {
            if self.blocked_keys >= BLOCKED_KEYS_MAX {
                return Err(Unsortable::TooManyKeys(index));
            }
            self.block(&delivery.row.destination, key, delivery.position);
        }
        Ok(Judged::Park(ParkedMessage {
            delivery,
            reason,
            error,
            blocks_key,
        }))
    }

    fn is_blocked(&self, row: &OutboxRow, position: Position) -> bool {
        let first = row.key.as_ref().and_then(|key| {
            let keys = self.blocked.get::<str>(&row.destination)?;
            keys.get::<str>(key)
        });
        first.is_some_and(|first| position > *first)
    }

    fn block(&mut self, destination: &str, key: &str, from: Position) {
        let keys = self.blocked.entry(destination.into()).or_default();
        let known = keys.len();
        let first = keys.entry(key.into()).or_insert(from);
        *first = from.min(*first);
        self.blocked_keys += keys.len() - known;
    }
}

enum Judged {
    Publish(Delivery),
    Park(ParkedMessage),
}
