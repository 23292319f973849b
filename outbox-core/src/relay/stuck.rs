use std::collections::{BTreeMap, HashMap};

use super::parked_message::{
    BlockedKey, ParkReason, ParkedEarlier, ParkedMessage, StuckPolicy, UncoveredRow,
};
use super::settings::{BLOCKED_BYTES_MAX, BLOCKED_KEYS_MAX};
use crate::checkpoint::{Checkpoint, LastHandled, LastParked};
use crate::sink::{Batch, Delivery, Refusal};
use crate::{Frontier, OutboxRow, Position};

/// Which messages are set aside rather than published: those that the broker refuses, and under
/// [`StuckPolicy::ParkKey`] whatever follows them in their key.
#[derive(Debug)]
pub(super) struct Stuck {
    policy: StuckPolicy,
    /// Set aside by an earlier holder that did not come to its checkpoint: they come again.
    uncovered: BTreeMap<Position, UncoveredRow>,
    /// Set aside, and not covered by a durable checkpoint yet; with the row's number.
    aside: BTreeMap<Position, (u64, LastHandled)>,
    /// The number of the last row that the durable checkpoint names.
    last_number: u64,
    /// The number of the last row.
    number: u64,
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
        let mut blocked = BlockedKeys::default();
        for BlockedKey {
            destination,
            key,
            from,
        } in earlier.blocked
        {
            blocked.insert(&destination, &key, from);
        }
        let last_number = earlier.last_number.unwrap_or(0);
        let numbers = earlier.uncovered.iter().map(|row| row.number);
        Self {
            policy,
            last_number,
            number: numbers.fold(last_number, u64::max),
            uncovered: earlier
                .uncovered
                .into_iter()
                .map(|row| (row.position, row))
                .collect(),
            aside: BTreeMap::new(),
            blocked,
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
            if let Some(number) = self.parked_already(&delivery)? {
                self.aside.insert(handled.position(), (number, handled));
                continue;
            }
            match self.judge(delivery, refusals.get(&index).copied())? {
                Judged::Publish(delivery) => sorted.batch.messages.push(delivery),
                Judged::Park(parked) => {
                    self.number += 1;
                    self.aside
                        .insert(handled.position(), (self.number, handled));
                    sorted.parked.push(parked);
                }
            }
        }
        self.amend(&mut sorted.batch.checkpoint);
        Ok(sorted)
    }

    /// Lets a checkpoint say what was set aside before its frontier.
    pub(super) fn amend(&self, checkpoint: &mut Checkpoint) {
        let Frontier { lsn, index } = checkpoint.frontier;
        let end = Position {
            commit_lsn: lsn,
            index,
        };
        let covered = || self.aside.range(..end).map(|(_, row)| row);
        if let Some((_, newest)) = covered()
            .filter(|(number, _)| *number > self.last_number)
            .max_by_key(|(number, _)| *number)
        {
            checkpoint.last_parked = Some(LastParked {
                position: newest.position(),
                message_id: newest.message_id,
            });
        }
        if let Some((_, last)) = covered().next_back()
            && checkpoint
                .last
                .is_none_or(|known| known.position() < last.position())
        {
            checkpoint.last = Some(*last);
        }
    }

    /// A checkpoint with this frontier is durable.
    pub(super) fn covered(&mut self, frontier: Frontier) {
        let last_number = &mut self.last_number;
        self.aside.retain(|position, (number, _)| {
            let covered = frontier.covers(*position);
            if covered {
                *last_number = (*number).max(*last_number);
            }
            !covered
        });
    }

    /// The number of its row, if an earlier holder has set it aside; nothing that one has may be
    /// missing in the log.
    fn parked_already(&mut self, delivery: &Delivery) -> Result<Option<u64>, Unsortable> {
        let Some(next) = self.uncovered.first_entry() else {
            return Ok(None);
        };
        let UncoveredRow {
            position,
            id,
            number,
        } = *next.get();
        if position > delivery.position {
            return Ok(None);
        }
        if (position, id) != (delivery.position, delivery.row.id) {
            return Err(Unsortable::Diverged(format!(
                "message {id} was set aside at {position}; the log has message {} at {} instead",
                delivery.row.id, delivery.position
            )));
        }
        next.remove();
        Ok(Some(number))
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

/// Keys whose messages wait, by destination, with the first position that does.
///
/// The texts are copies: a message's own would hold the whole block in memory that it was read with.
#[derive(Debug, Default)]
struct BlockedKeys {
    by_destination: HashMap<Box<str>, HashMap<Box<str>, Position>>,
    count: usize,
    bytes: usize,
}

impl BlockedKeys {
    fn is_empty(&self) -> bool {
        self.by_destination.is_empty()
    }

    const fn is_full(&self) -> bool {
        self.count >= BLOCKED_KEYS_MAX || self.bytes >= BLOCKED_BYTES_MAX
    }

    /// Whether a message stands behind one of its key that waits.
    fn holds_back(&self, row: &OutboxRow, position: Position) -> bool {
        let first = row.key.as_ref().and_then(|key| {
            let keys = self.by_destination.get::<str>(&row.destination)?;
            keys.get::<str>(key)
        });
        first.is_some_and(|first| position > *first)
    }

    fn insert(&mut self, destination: &str, key: &str, from: Position) {
        let keys = self.by_destination.entry(destination.into()).or_default();
        let known = keys.len();
        let first = keys.entry(key.into()).or_insert(from);
        *first = from.min(*first);
        if keys.len() > known {
            self.count += 1;
            self.bytes += key.len();
        }
    }
}
