//! What befalls a server: it goes away, its disk is put back, a standby takes its place.

use std::sync::Arc;

use outbox_core::relay::FailureKind;

use super::server::{Slot, State, Walsender};
use super::starts::Starts;
use super::world::{Checked, World};

/// The disk of a server as it once was.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    server: usize,
    log: usize,
    end: u64,
    slot: Slot,
    held: Option<(u8, String)>,
    starts: Starts,
}

impl World {
    /// Ends the walsenders that `which` names; their clients find out later.
    pub(crate) fn end_walsenders(
        &mut self,
        server: usize,
        kind: FailureKind,
        which: impl Fn(&Walsender) -> bool,
    ) {
        let mut ended = Vec::new();
        self.servers[server].walsenders.retain(|sender| {
            let ends = which(sender);
            if ends {
                ended.push((sender.client, sender.pid));
            }
            !ends
        });
        for (client, pid) in ended {
            if let Some(connection) = self
                .processes
                .get_mut(client)
                .and_then(|process| process.connection.as_mut())
                .filter(|connection| connection.pid == pid)
            {
                connection.broken.get_or_insert(kind);
                connection.status = None;
            }
        }
    }

    pub(crate) fn take_snapshot(&mut self) {
        let server = self.primary();
        let clean = self.random.bool();
        let state = &self.servers[server];
        self.snapshot = Some(Snapshot {
            server,
            log: state.log,
            end: self.logs.get(state.log).end,
            slot: Slot {
                confirmed: if clean {
                    state.slot.confirmed
                } else {
                    state.slot.saved
                },
                ..state.slot.clone()
            },
            held: state.held.clone(),
            starts: state.starts.clone(),
        });
    }

    /// Somebody puts an old copy of the disk back and starts the server on it.
    pub(crate) fn restore_snapshot(&mut self) {
        let Some(snapshot) = self.snapshot.clone() else {
            return;
        };
        if self.slot_moved
            || snapshot.server != self.primary()
            || self.servers[snapshot.server].log != snapshot.log
        {
            return;
        }
        self.saw("disk put back");
        self.shut_down(snapshot.server, FailureKind::Unreachable);
        let server = &mut self.servers[snapshot.server];
        server.log = self.logs.branch(snapshot.log, snapshot.end, false);
        server.slot = snapshot.slot;
        server
            .slot
            .earlier
            .retain(|lsn| *lsn <= server.slot.confirmed);
        server.held = snapshot.held;
        server.starts = snapshot.starts;
        server.state = State::Up;
    }

    /// A standby with the same or a shorter log becomes the primary.
    pub(crate) fn fail_over(&mut self) {
        self.saw("failover");
        let old = self.primary();
        let old_log = self.servers[old].log;
        let log = self.logs.get(old_log);
        let lost = self.random.usize(..4).min(log.transactions.len());
        let kept = log.transactions.len() - lost;
        let at = match log.transactions.get(kept) {
            Some(first_lost) if self.random.bool() => first_lost.commit_lsn,
            Some(_) => kept
                .checked_sub(1)
                .map_or(super::log::GENESIS, |last| log.transactions[last].end_lsn),
            // Nothing of anybody's is lost, but perhaps what lies behind it.
            None if self.random.bool() => {
                log.transactions.last().map_or(log.end, |txn| txn.end_lsn)
            }
            None => log.end,
        };
        let mut server = self.servers[old].clone();
        server.log = self.logs.branch(old_log, at, true);
        server.walsenders.clear();
        server.state = State::Up;
        server.slot.earlier.retain(|lsn| *lsn <= at);
        let earlier = &server.slot.earlier;
        let lag = self.random.usize(..3).min(earlier.len().saturating_sub(1));
        server.slot.confirmed = earlier
            .get(earlier.len().saturating_sub(1 + lag))
            .copied()
            .unwrap_or(super::log::GENESIS);
        server.slot.saved = server.slot.confirmed;
        self.servers.push(server);
        if self.random.bool() {
            self.shut_down(old, FailureKind::Unreachable);
        }
    }

    /// A server is gone at once, with its connections.
    pub(crate) fn shut_down(&mut self, server: usize, kind: FailureKind) {
        self.servers[server].state = State::Down;
        self.end_walsenders(server, kind, |_| true);
    }

    /// A transaction whose end nobody waits for any more is committed after all.
    pub(crate) fn decide(&mut self) -> Checked {
        if self.broker.undecided.is_empty() {
            return Ok(());
        }
        let which = self.random.usize(..self.broker.undecided.len());
        let (epoch, batch, log) = self.broker.undecided.swap_remove(which);
        if epoch == self.broker.epoch && self.random.bool() {
            self.broker.commit(&self.logs, log, &Arc::clone(&batch))?;
        }
        Ok(())
    }
}
