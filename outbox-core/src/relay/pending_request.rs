use std::collections::VecDeque;

use crate::checkpoint::LastHandled;
use crate::{Frontier, MessageId, Position, RequestId, Timestamp};

/// What an operator asked for, at its place in the log: behind the messages of its transaction.
///
/// Its messages stand at its own position and the indexes that follow, in their order; so a
/// checkpoint may lie between two of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PendingRequest {
    pub(super) id: RequestId,
    /// What else its transaction names: one of them all may be a request, and only the database can
    /// tell which.
    pub(super) others: VecDeque<RequestId>,
    pub(super) position: Position,
    pub(super) xid: u32,
    pub(super) commit_time: Timestamp,
    /// The frontier once it is done.
    pub(super) end: Frontier,
    /// How many of its messages a checkpoint covers already.
    pub(super) done: u32,
}

impl PendingRequest {
    /// Whether its transaction names that one, too: then it is that one.
    pub(super) fn turn_to(&mut self, id: MessageId) -> bool {
        let is_it = |named: RequestId| MessageId::from(named) == id;
        while !is_it(self.id) {
            if !self.turn_to_next() {
                return false;
            }
        }
        true
    }

    /// It is no request: turns to what its transaction names next, if anything.
    pub(super) fn turn_to_next(&mut self) -> bool {
        match self.others.pop_front() {
            Some(next) => {
                self.id = next;
                true
            }
            None => false,
        }
    }

    /// The frontier when everything before it is done.
    pub(super) const fn start(&self) -> Frontier {
        Frontier::inside(self.position.commit_lsn, self.position.index)
    }

    /// Where its message of this number stands; `None` beyond the 2^32 that a transaction has.
    pub(super) fn message_position(&self, number: u32) -> Option<Position> {
        Some(Position {
            index: self.position.index.checked_add(number)?,
            ..self.position
        })
    }

    /// The number of the message that stands there.
    pub(super) fn number_at(&self, position: Position) -> Option<u32> {
        position.index.checked_sub(self.position.index)
    }

    /// What a checkpoint says of it after so many of its messages.
    pub(super) fn handled(&self, messages: u32) -> Option<LastHandled> {
        let last = self.message_position(messages.saturating_sub(1))?;
        Some(LastHandled {
            commit_lsn: last.commit_lsn,
            xid: self.xid,
            commit_time: self.commit_time,
            index: last.index,
            message_id: self.id.into(),
        })
    }
}
