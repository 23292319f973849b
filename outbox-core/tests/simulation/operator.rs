//! Somebody who mends causes, and asks for what was set aside, or once more for what was published.

use std::collections::BTreeSet;

use outbox_core::Position;

use super::log::{Transaction, key};
use super::server::State as ServerState;
use super::stuck_table::{Parked, State};
use super::world::World;

impl World {
    /// Asks for something.
    pub(crate) fn ask(&mut self) {
        if self.random.u32(..4) == 0 {
            self.ask_once_more();
        } else {
            self.ask_for_waiting();
        }
    }

    /// Asks once more for some of what has committed and is not set aside, published or not by now,
    /// perhaps in a transaction that enqueues something, too.
    fn ask_once_more(&mut self) {
        let primary = self.primary();
        if self.servers[primary].state != ServerState::Up {
            return;
        }
        let log = self.logs.get(self.servers[primary].log);
        let aside = |row: &u32| log.stuck().is_aside(*row);
        let mut chosen: Vec<u32> = log.rows().filter(|row| !aside(row)).collect();
        if chosen.is_empty() {
            return;
        }
        let from = self.random.usize(..chosen.len());
        let count = self.random.usize(1..=12).min(chosen.len() - from);
        let chosen: Vec<u32> = chosen.drain(from..from + count).collect();
        let id = self.emit_request();
        let log = self.logs.get_mut(self.servers[primary].log);
        log.change_stuck().ask_again(id, &chosen);
        self.saw("asked to redeliver");
    }

    /// Asks for some of what waits, perhaps after mending why it does, perhaps in a transaction that
    /// enqueues something, too.
    fn ask_for_waiting(&mut self) {
        let primary = self.primary();
        if self.servers[primary].state != ServerState::Up {
            return;
        }
        let log = self.logs.get(self.servers[primary].log);
        let waiting: Vec<Parked> = {
            let parked = log.stuck().parked.iter();
            let waits = parked.filter(|row| row.state == State::Waiting);
            waits.cloned().collect()
        };
        if waiting.is_empty() {
            return;
        }
        let mut chosen: BTreeSet<Position> = BTreeSet::new();
        for _ in 0..=self.random.usize(..3) {
            let until = &waiting[self.random.usize(..waiting.len())];
            chosen.extend(in_order(&waiting, until).map(|row| row.position));
        }
        for row in &waiting {
            if self.random.u32(..3) > 0 {
                self.poison.retain(|poison| *poison != row.row);
                self.crashing.retain(|crashing| *crashing != row.row);
            }
        }
        let skip = self.random.u32(..5) == 0;
        let id = self.emit_request();
        let log = self.logs.get_mut(self.servers[primary].log);
        log.change_stuck().ask(id, skip, &chosen);
        self.saw(if skip {
            "asked to skip"
        } else {
            "asked to replay"
        });
    }

    /// Commits a transaction with a request; its id.
    fn emit_request(&mut self) -> u32 {
        let count = self.one_of(&[0, 0, 0, 1, 2]);
        self.requests += 1;
        let (id, rows) = (self.requests, self.rows..self.rows + count);
        self.rows += count;
        let primary = self.primary();
        let log = self.logs.get_mut(self.servers[primary].log);
        let commit_lsn = log.end + 8;
        log.end = commit_lsn + 40;
        log.xid += 1;
        log.transactions.push(Transaction {
            commit_lsn,
            end_lsn: log.end,
            xid: log.xid,
            rows: rows.collect(),
            request: Some(id),
        });
        id
    }
}

/// A message, and all that wait before it in its key.
fn in_order<'a>(waiting: &'a [Parked], until: &'a Parked) -> impl Iterator<Item = &'a Parked> {
    waiting.iter().filter(move |row| {
        let same = key(row.row).is_some() && key(row.row) == key(until.row);
        row.position == until.position || same && row.position < until.position
    })
}
