use std::fmt;

use crate::Lsn;

/// Where a message stands in the one order of everything: the commit order of its database.
///
/// `index` counts the outbox messages of one transaction from 0, in the order the server sends
/// them. Only commit positions order transactions; the LSN of a row orders nothing, and rows of
/// one `COPY` share one.
///
/// ```
/// use outbox_core::{Lsn, Position};
///
/// let first = Position { commit_lsn: Lsn::new(100), index: 7 };
/// let later = Position { commit_lsn: Lsn::new(101), index: 0 };
/// assert!(first < later);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Where the transaction's commit record starts.
    pub commit_lsn: Lsn,
    /// The message's number within its transaction, from 0.
    pub index: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.commit_lsn, self.index)
    }
}

/// How far publishing has come: every message whose position is smaller is durable.
///
/// After a whole transaction it is `(end_lsn, 0)`, inside one `(commit_lsn, n)` after its first
/// `n` messages, and `(wal_end, 0)` when nothing of ours lay before that end.
///
/// ```
/// use outbox_core::{Frontier, Lsn, Position};
///
/// let frontier = Frontier::inside(Lsn::new(100), 2);
/// assert!(frontier.covers(Position { commit_lsn: Lsn::new(100), index: 1 }));
/// assert!(!frontier.covers(Position { commit_lsn: Lsn::new(100), index: 2 }));
/// assert!(frontier < Frontier::at(Lsn::new(101)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frontier {
    /// The furthest LSN that may be confirmed to the slot.
    pub lsn: Lsn,
    /// How many messages of the transaction that commits at `lsn` are covered too.
    pub index: u32,
}

impl Frontier {
    /// Everything that committed before `lsn`, and nothing at it.
    #[must_use]
    pub const fn at(lsn: Lsn) -> Self {
        Self { lsn, index: 0 }
    }

    /// Everything before `commit_lsn`, and the first `count` messages of that transaction.
    #[must_use]
    pub const fn inside(commit_lsn: Lsn, count: u32) -> Self {
        Self {
            lsn: commit_lsn,
            index: count,
        }
    }

    /// Whether the message at `position` lies behind this frontier.
    #[must_use]
    pub fn covers(self, position: Position) -> bool {
        (position.commit_lsn, position.index) < (self.lsn, self.index)
    }
}

impl fmt::Display for Frontier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.lsn, self.index)
    }
}
