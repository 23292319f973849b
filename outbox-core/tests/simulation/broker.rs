use std::collections::BTreeSet;
use std::sync::Arc;

use outbox_core::checkpoint::{Checkpoint, LastHandled};
use outbox_core::sink::{Batch, Delivery};
use outbox_core::{Frontier, Lsn, MessageId, Position, SystemId, TimelineId, Timestamp};

use super::log::{GENESIS, Logs, Transaction, message_id, row_number};
use super::server::COMMIT_TIME;
use super::stuck_table::{Due, Parked, request_id, request_number};

/// What a read_committed reader of the broker sees, and who may write there.
#[derive(Debug)]
pub(crate) struct Broker {
    /// Raised by every `init_transactions` of the one transactional id.
    pub(crate) epoch: u64,
    pub(crate) newest: Checkpoint,
    pub(crate) before: Checkpoint,
    /// The log that the newest checkpoint's writer read.
    pub(crate) newest_log: usize,
    /// The same, but only once its writer had the whole overlap: the first checkpoint on a new
    /// timeline comes before that.
    pub(crate) proven_log: usize,
    /// Rows in the order they became visible.
    pub(crate) visible: Vec<u32>,
    is_visible: Vec<bool>,
    /// What became visible once more: requests, and the numbers of their messages.
    pub(crate) again: BTreeSet<(u32, u32)>,
    /// For each log, the last transaction of it that anything visible came from.
    visible_end: Vec<Option<u64>>,
    /// Transactions whose commit was sent and never answered: they may still come true until
    /// the epoch is raised.
    pub(crate) undecided: Vec<(u64, Arc<Batch>, usize)>,
}

impl Broker {
    pub(crate) fn new() -> Self {
        let genesis = Checkpoint {
            relay: "r".into(),
            system_id: SystemId(1),
            timeline: TimelineId(1),
            timeline_history: std::iter::empty().collect(),
            frontier: Frontier::at(Lsn::new(GENESIS)),
            last: None,
            stuck_writes: 0,
            publication_fingerprint: "p".into(),
            sequence: 0,
            written_at: Timestamp::default(),
        };
        Self {
            epoch: 0,
            before: genesis.clone(),
            newest: genesis,
            newest_log: 0,
            proven_log: 0,
            visible: Vec::new(),
            is_visible: Vec::new(),
            again: BTreeSet::new(),
            visible_end: Vec::new(),
            undecided: Vec::new(),
        }
    }

    /// `init_transactions`: fences whoever had the right, and decides what was undecided.
    pub(crate) fn raise_epoch(&mut self) -> u64 {
        self.undecided.clear();
        self.epoch += 1;
        self.epoch
    }

    pub(crate) fn sees(&self, row: u32) -> bool {
        self.is_visible.get(row as usize).copied().unwrap_or(false)
    }

    /// Whether something is visible that `log` does not hold.
    pub(crate) fn has_phantoms(&self, logs: &Logs, log: usize) -> bool {
        self.visible_end
            .iter()
            .enumerate()
            .any(|(from, end)| end.is_some_and(|end| end >= logs.common(from, log)))
    }

    /// A transaction commits: every invariant is checked against the log its writer read.
    pub(crate) fn commit(&mut self, logs: &Logs, log: usize, batch: &Batch) -> Result<(), String> {
        let checkpoint = &batch.checkpoint;
        let newest = &self.newest;
        if checkpoint.sequence != newest.sequence + 1 {
            return Err(format!(
                "I5: checkpoint {} follows {}",
                checkpoint.sequence, newest.sequence
            ));
        }
        if !logs.descends(log, self.newest_log) {
            return Err("I7: an older history writes after a newer one".into());
        }
        if log != self.newest_log && !batch.messages.is_empty() && self.has_phantoms(logs, log) {
            return Err("I6: messages follow phantoms".into());
        }
        if checkpoint.timeline.0 != logs.get(log).timeline {
            return Err("the checkpoint names another timeline than its log's".into());
        }
        if checkpoint.timeline == newest.timeline && checkpoint.frontier < newest.frontier {
            return Err("I5: the checkpoint goes back within its timeline".into());
        }
        let common = logs.common(self.proven_log, log);
        let from = newest.frontier.min(Frontier::at(Lsn::new(common)));
        // A checkpoint that moves nowhere on a log that was put back proves nothing yet.
        let proves = !batch.messages.is_empty() || checkpoint.frontier > newest.frontier;
        let start = if proves { from } else { checkpoint.frontier };
        let before = newest.last;
        // Written anew, such a log may have something else where the checkpoint stands.
        let asked = logs.get(log).request_between(start, checkpoint.frontier);
        let last = match asked.filter(|_| proves) {
            Some(asked) => self.replay(logs, log, batch, start, asked)?,
            None => self.publish(logs, log, batch, (start, before))?,
        };
        if proves {
            let table = logs.get(log).stuck();
            let covered = |parked: &&Parked| checkpoint.frontier.covers(parked.position);
            let parked = table
                .parked
                .iter()
                .filter(covered)
                .map(|parked| parked.write);
            let begun = table.requests.iter().filter(|request| {
                let position = request.position;
                position.is_some_and(|position| checkpoint.frontier.covers(position))
            });
            let needed = parked.chain(begun.map(|request| request.write)).max();
            if !(needed.unwrap_or(0)..=table.writes).contains(&checkpoint.stuck_writes) {
                return Err(format!(
                    "the checkpoint relies on {} writes, of {table:?}",
                    checkpoint.stuck_writes
                ));
            }
        }
        if checkpoint.last != last {
            return Err(format!(
                "the checkpoint's last is {:?}, the last row was {last:?}",
                checkpoint.last
            ));
        }
        self.before = std::mem::replace(&mut self.newest, checkpoint.clone());
        self.newest_log = log;
        if proves {
            self.proven_log = log;
        }
        Ok(())
    }

    /// The rows between two frontiers: each is published or set aside.
    fn publish(
        &mut self,
        logs: &Logs,
        log: usize,
        batch: &Batch,
        (start, mut last): (Frontier, Option<LastHandled>),
    ) -> Result<Option<LastHandled>, String> {
        let here = logs.get(log);
        let checkpoint = &batch.checkpoint;
        if batch.request().is_some() {
            return Err(format!("a replay that nobody asked for: {batch:?}"));
        }
        let mut expected = here.rows_between(start, checkpoint.frontier);
        let mut messages = batch.messages.iter();
        let mut unread = None;
        loop {
            match (expected.next(), unread.take().or_else(|| messages.next())) {
                (None, None) => return Ok(last),
                (Some((position, xid, row)), message)
                    if message.is_none_or(|message| message.position != position)
                        && here
                            .stuck()
                            .at(position)
                            .is_some_and(|parked| parked.row == row) =>
                {
                    unread = message;
                    last = Some(handled(position, xid, message_id(row)));
                }
                (Some((position, xid, row)), Some(message))
                    if message.position == position && message.row.id == message_id(row) =>
                {
                    if here.stuck().at(position).is_some() {
                        return Err(format!("I2: row {row} is set aside and published"));
                    }
                    if here.stuck().overtakes(row, position) {
                        return Err(format!("I3: row {row} overtakes one that waits"));
                    }
                    self.show(log, row, position)?;
                    last = Some(handled(position, xid, message_id(row)));
                }
                (expected, found) => {
                    return Err(format!(
                        "I1/I3: from {start} to {} the log has {expected:?}, the batch has {:?}",
                        checkpoint.frontier,
                        found.map(|message| (message.position, message.row.id))
                    ));
                }
            }
        }
    }

    /// A part of what an operator asked for: exactly what the database says is to be published.
    fn replay(
        &mut self,
        logs: &Logs,
        log: usize,
        batch: &Batch,
        start: Frontier,
        (txn, id): (&Transaction, u32),
    ) -> Result<Option<LastHandled>, String> {
        let here = logs.get(log);
        let end = batch.checkpoint.frontier;
        let first = txn.rows.len() as u32;
        if here.rows_between(start, end).next().is_some() {
            return Err(format!(
                "I3: from {start} to {end} stand rows beside request {id}"
            ));
        }
        let is_end = end.lsn.as_u64() > txn.commit_lsn;
        let done = if start.lsn.as_u64() == txn.commit_lsn {
            start.index.saturating_sub(first)
        } else {
            0
        };
        let through = if is_end { u32::MAX } else { end.index - first };
        let request = here.stuck().requests.iter().find(|known| known.id == id);
        let Some(request) = request.filter(|known| known.position.is_some()) else {
            return Err(format!("request {id} is handled, and nobody took it"));
        };
        let rows = here.stuck().to_publish(request).into_iter();
        let expected: Vec<Due> = rows
            .filter(|row| (done..through).contains(&row.number))
            .collect();
        let found = batch.messages.iter().map(|message| {
            let replay = message.replay.as_ref();
            let origin = replay.map(|replay| (replay.origin.map(|(_, at)| at), replay.number));
            (message.position.index - first, message.row.id, origin)
        });
        let wanted = expected.iter().map(|row| {
            let origin = Some((row.origin, row.replays));
            (row.number, message_id(row.row), origin)
        });
        if !found.eq(wanted) {
            return Err(format!(
                "I1/I3: request {id} from {done} to {through} has {expected:?}, the batch {batch:?}"
            ));
        }
        for row in expected {
            match row.origin {
                Some(origin) => self.show(log, row.row, origin)?,
                None => self.show_again(log, id, &row)?,
            }
            self.visible_end[log] = Some(txn.commit_lsn);
        }
        let last = batch.checkpoint.last;
        last.filter(|last| {
            (last.commit_lsn.as_u64(), last.xid) == (txn.commit_lsn, txn.xid)
                && last.message_id == request_id(id).into()
                && last.index >= first
                && (is_end || last.index + 1 == end.index)
        })
        .map(Some)
        .ok_or_else(|| format!("the checkpoint's last is {last:?} in request {id}"))
    }

    /// A row becomes visible to readers once more.
    fn show_again(&mut self, log: usize, request: u32, due: &Due) -> Result<(), String> {
        if !self.sees(due.row) {
            return Err(format!("row {} comes again, and never came", due.row));
        }
        if refuses_again(request, due.row) {
            return Err(format!("row {} is visible although refused", due.row));
        }
        if !self.again.insert((request, due.number)) {
            return Err(format!("I2: request {request} shows {due:?} twice"));
        }
        if self.visible_end.len() <= log {
            self.visible_end.resize(log + 1, None);
        }
        Ok(())
    }

    /// Whether a message is refused that is to be published once more.
    pub(crate) fn refuses(&self, delivery: &Delivery) -> bool {
        let row = row_number(delivery.row.id);
        let request = delivery.redelivered().map(request_number);
        request.is_some_and(|request| refuses_again(request, row))
    }

    /// A row becomes visible to readers.
    fn show(&mut self, log: usize, row: u32, position: Position) -> Result<(), String> {
        let index = row as usize;
        if self.is_visible.len() <= index {
            self.is_visible.resize(index + 1, false);
        }
        if std::mem::replace(&mut self.is_visible[index], true) {
            return Err(format!("I2: row {row} becomes visible twice"));
        }
        self.visible.push(row);
        if self.visible_end.len() <= log {
            self.visible_end.resize(log + 1, None);
        }
        self.visible_end[log] = Some(position.commit_lsn.as_u64());
        Ok(())
    }
}

/// Some requests are for a destination that does not take everything.
pub(crate) const fn refuses_again(request: u32, row: u32) -> bool {
    request.is_multiple_of(2) && row % 4 == 1
}

fn handled(position: Position, xid: u32, message_id: MessageId) -> LastHandled {
    LastHandled {
        commit_lsn: position.commit_lsn,
        xid,
        commit_time: COMMIT_TIME,
        index: position.index,
        message_id,
    }
}
