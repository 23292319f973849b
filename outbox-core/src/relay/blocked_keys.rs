use std::collections::HashMap;

use super::BlockedKey;
use super::settings::{BLOCKED_BYTES_MAX, BLOCKED_KEYS_MAX};
use crate::{OutboxRow, Position};

/// Keys whose messages wait, by destination, with the first position that does.
///
/// The texts are copies: a message's own would hold the whole block in memory that it was read with.
#[derive(Debug, Default)]
pub(super) struct BlockedKeys {
    by_destination: HashMap<Box<str>, HashMap<Box<str>, Position>>,
    count: usize,
    bytes: usize,
}

impl BlockedKeys {
    pub(super) fn is_empty(&self) -> bool {
        self.by_destination.is_empty()
    }

    pub(super) const fn count(&self) -> usize {
        self.count
    }

    pub(super) const fn is_full(&self) -> bool {
        self.count >= BLOCKED_KEYS_MAX || self.bytes >= BLOCKED_BYTES_MAX
    }

    /// Whether a message stands behind one of its key that waits.
    pub(super) fn holds_back(&self, row: &OutboxRow, position: Position) -> bool {
        let first = row.key.as_ref().and_then(|key| {
            let keys = self.by_destination.get::<str>(&row.destination)?;
            keys.get::<str>(key)
        });
        first.is_some_and(|first| position > *first)
    }

    pub(super) fn remove(&mut self, destination: &str, key: &str) {
        let Some(keys) = self.by_destination.get_mut(destination) else {
            return;
        };
        if keys.remove(key).is_some() {
            self.count -= 1;
            self.bytes -= key.len();
        }
        if keys.is_empty() {
            self.by_destination.remove(destination);
        }
    }

    pub(super) fn insert(&mut self, destination: &str, key: &str, from: Position) {
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

impl FromIterator<BlockedKey> for BlockedKeys {
    fn from_iter<T: IntoIterator<Item = BlockedKey>>(keys: T) -> Self {
        let mut blocked = Self::default();
        for BlockedKey {
            destination,
            key,
            from,
        } in keys
        {
            blocked.insert(&destination, &key, from);
        }
        blocked
    }
}
