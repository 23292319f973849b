use std::time::Duration;

use super::buffer::Taken;
use super::compare::Resume;
use super::settings::{HEARTBEAT_INTERVAL, IDLE_BYTES_MAX, IDLE_MAX};
use super::{Identity, Now};
use crate::checkpoint::{Checkpoint, LastHandled};
use crate::sink::{Batch, Delivery};
use crate::{Frontier, Lsn, SystemId, TimelineHistory, TimelineId};

/// What is durable, and what of it may be confirmed.
#[derive(Debug)]
pub(super) struct Progress {
    relay: String,
    system_id: SystemId,
    timeline: TimelineId,
    history: TimelineHistory,
    publication_fingerprint: String,
    frontier: Frontier,
    last: Option<LastHandled>,
    /// How often was written down what became of stuck messages.
    stuck_writes: u64,
    sequence: u64,
    /// The end of what the stream has shown us.
    seen: Lsn,
    /// When the last checkpoint became durable.
    checkpointed_at: Duration,
    on_new_timeline: bool,
}

/// A broken invariant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violation(pub(super) String);

impl Progress {
    pub(super) fn new(
        identity: Identity,
        checkpoint: Checkpoint,
        resume: Resume,
        now: Duration,
    ) -> Self {
        Self {
            relay: checkpoint.relay,
            system_id: identity.system_id,
            timeline: identity.timeline,
            history: identity.history,
            publication_fingerprint: resume.publication_fingerprint,
            frontier: resume.frontier,
            last: resume.last,
            stuck_writes: checkpoint.stuck_writes,
            sequence: checkpoint.sequence,
            seen: Lsn::ZERO,
            checkpointed_at: now,
            on_new_timeline: resume.on_new_timeline,
        }
    }

    pub(super) const fn frontier(&self) -> Frontier {
        self.frontier
    }

    pub(super) const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Of the publication that everything was sent under.
    pub(super) fn publication_fingerprint(&self) -> &str {
        &self.publication_fingerprint
    }

    /// The server has sent everything before `end`.
    pub(super) fn see(&mut self, end: Lsn) {
        self.seen = self.seen.max(end);
    }

    pub(super) const fn seen(&self) -> Lsn {
        self.seen
    }

    /// Whether the first checkpoint on a new timeline is still owed.
    pub(super) const fn owes_timeline(&self) -> bool {
        self.on_new_timeline
    }

    /// Whether an idle relay should move its checkpoint now: `asked` when the server wants to know.
    pub(super) fn owes_idle_checkpoint(&self, asked: bool, now: Duration) -> bool {
        let behind_bytes = self.seen.bytes_since(self.frontier.lsn);
        let waited = now.saturating_sub(self.checkpointed_at);
        behind_bytes >= IDLE_BYTES_MAX
            || (behind_bytes > 0 && (asked || waited >= IDLE_MAX))
            || waited >= HEARTBEAT_INTERVAL
    }

    /// When an idle relay should move its checkpoint even if nothing happens.
    pub(super) fn idle_deadline(&self) -> Duration {
        let behind = self.seen > self.frontier.lsn;
        self.checkpointed_at + if behind { IDLE_MAX } else { HEARTBEAT_INTERVAL }
    }

    /// The batch for messages that were taken from the buffer.
    pub(super) fn batch(&self, taken: Taken, now: Now) -> Result<Batch, Violation> {
        let last = taken.messages.last().map(LastHandled::from);
        self.check(&taken.messages, taken.frontier)?;
        Ok(Batch {
            checkpoint: self.checkpoint(taken.frontier, last.or(self.last), now),
            messages: taken.messages,
        })
    }

    /// The batch for a part of a request; `last` is what the checkpoint says of it.
    pub(super) fn part(
        &self,
        messages: Vec<Delivery>,
        frontier: Frontier,
        last: LastHandled,
        now: Now,
    ) -> Result<Batch, Violation> {
        self.check(&messages, frontier)?;
        Ok(Batch {
            checkpoint: self.checkpoint(frontier, Some(last), now),
            messages,
        })
    }

    /// The batch that was cut off from one that is durable now.
    pub(super) fn renewed(&self, rest: Batch, now: Now) -> Result<Batch, Violation> {
        let frontier = rest.checkpoint.frontier;
        self.check(&rest.messages, frontier)?;
        Ok(Batch {
            messages: rest.messages,
            checkpoint: self.checkpoint(frontier, rest.checkpoint.last, now),
        })
    }

    /// A batch without messages: the checkpoint alone moves over what is foreign.
    pub(super) fn idle_batch(&self, now: Now) -> Batch {
        let frontier = self.frontier.max(Frontier::at(self.seen));
        Batch {
            messages: Vec::new(),
            checkpoint: self.checkpoint(frontier, self.last, now),
        }
    }

    /// The checkpoint alone, where it stands: before anything else happens.
    pub(super) fn empty_batch(&self, now: Now) -> Batch {
        Batch {
            messages: Vec::new(),
            checkpoint: self.checkpoint(self.frontier, self.last, now),
        }
    }

    /// The batch is durable, and so is its checkpoint.
    pub(super) fn durable(&mut self, batch: &Batch, now: Duration) -> Result<(), Violation> {
        let checkpoint = &batch.checkpoint;
        if checkpoint.frontier < self.frontier || checkpoint.sequence <= self.sequence {
            return Err(Violation(format!(
                "the checkpoint would go back from {} (sequence {}) to {} (sequence {})",
                self.frontier, self.sequence, checkpoint.frontier, checkpoint.sequence
            )));
        }
        self.frontier = checkpoint.frontier;
        self.last = checkpoint.last;
        self.sequence = checkpoint.sequence;
        self.on_new_timeline = false;
        self.checkpointed_at = now;
        Ok(())
    }

    /// Every message lies at or behind the durable frontier and before the new one, in order.
    fn check(&self, messages: &[Delivery], frontier: Frontier) -> Result<(), Violation> {
        let mut previous = None;
        for position in messages.iter().map(|delivery| delivery.position) {
            let in_order = previous.is_none_or(|previous| previous < position);
            if !in_order || self.frontier.covers(position) || !frontier.covers(position) {
                return Err(Violation(format!(
                    "message at {position} in a batch from {} to {}, after {previous:?}",
                    self.frontier, frontier
                )));
            }
            previous = Some(position);
        }
        Ok(())
    }

    fn checkpoint(&self, frontier: Frontier, last: Option<LastHandled>, now: Now) -> Checkpoint {
        Checkpoint {
            relay: self.relay.clone(),
            system_id: self.system_id,
            timeline: self.timeline,
            timeline_history: self.history.clone(),
            frontier,
            last,
            stuck_writes: self.stuck_writes,
            publication_fingerprint: self.publication_fingerprint.clone(),
            sequence: self.sequence + 1,
            written_at: now.wall,
        }
    }
}

impl Progress {
    pub(super) const fn stuck_writes(&self) -> u64 {
        self.stuck_writes
    }

    /// What became of stuck messages is in the database: every checkpoint from now on relies on it.
    pub(super) fn wrote(&mut self, stuck_writes: u64) {
        self.stuck_writes = self.stuck_writes.max(stuck_writes);
    }

    pub(super) const fn cluster(&self) -> (SystemId, TimelineId) {
        (self.system_id, self.timeline)
    }
}
