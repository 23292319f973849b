use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use outbox_core::Lsn;
use outbox_core::relay::{Event, FailureKind, StreamEvent};

use super::broker::Broker;
use super::log::{Logs, Transaction, outbox_row};
use super::process::{Process, moment};
use super::server::{Server, Slot, State, failure, timestamp};

/// Servers, broker and relay processes of one name, and everything that may befall them.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) random: fastrand::Rng,
    pub(crate) now: Duration,
    pub(crate) logs: Logs,
    pub(crate) servers: Vec<Server>,
    pub(crate) broker: Broker,
    pub(crate) processes: Vec<Process>,
    pub(crate) plan: Plan,
    pub(crate) rows: u32,
    pub(crate) pids: i32,
    pub(crate) snapshot: Option<Snapshot>,
    /// A relay ended for a reason that the world gave it.
    pub(crate) stopped: bool,
    /// Some server was told why no relay may run.
    pub(crate) ever_held: bool,
    /// Somebody laid hand on a slot.
    pub(crate) slot_dropped: bool,
    pub(crate) slot_moved: bool,
    /// The row that the broker refuses.
    pub(crate) poison: Option<u32>,
    pub(crate) trace: bool,
    /// How often what happened, by name.
    pub(crate) seen: BTreeMap<&'static str, u64>,
}

/// What can go wrong in this run: some runs are calm, so that others do not drown everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) steps: u32,
    /// How many of 100 steps are faults.
    pub(crate) faults: u32,
    /// How many of 100 broker answers are not `Durable`.
    pub(crate) broker_faults: u32,
    /// How many of 40 faults are those that a relay must notice.
    pub(crate) disasters: u32,
    /// How many of 100 steps are transactions of a service; a quiet outbox has other dangers.
    pub(crate) writes: u32,
    pub(crate) walsender_timeout: Duration,
    /// A broker that is away only ever says "later".
    pub(crate) patient_sink: bool,
}

/// The disk of a server as it once was.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    server: usize,
    log: usize,
    end: u64,
    slot: Slot,
    held: Option<(u8, String)>,
}

pub(crate) type Checked = Result<(), String>;

impl World {
    pub(crate) fn new(seed: u64, trace: bool) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let plan = Plan {
            steps: random.u32(100..2500),
            faults: [0, 1, 3, 8][random.usize(..4)],
            broker_faults: [0, 5, 30][random.usize(..3)],
            disasters: [0, 0, 1, 6][random.usize(..4)],
            writes: [1, 3, 8][random.usize(..3)],
            patient_sink: random.bool(),
            walsender_timeout: Duration::from_secs([4, 60][random.usize(..2)]),
        };
        let now = Duration::from_secs(100);
        let mut processes: Vec<_> = (0..random.usize(1..=3)).map(|_| Process::new(0)).collect();
        for process in &mut processes {
            process.start(&mut random, now);
        }
        Self {
            plan,
            now,
            processes,
            logs: Logs::new(),
            servers: vec![Server::new()],
            broker: Broker::new(),
            rows: 0,
            pids: 0,
            snapshot: None,
            stopped: false,
            ever_held: false,
            slot_dropped: false,
            slot_moved: false,
            poison: random.u32(..40).checked_sub(38).map(|_| 5),
            trace,
            seen: BTreeMap::new(),
            random,
        }
    }

    pub(crate) fn primary(&self) -> usize {
        self.servers.len() - 1
    }

    pub(crate) fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    pub(crate) fn one_of(&mut self, choices: &[u32]) -> u32 {
        choices[self.random.usize(..choices.len())]
    }

    pub(crate) fn chance(&mut self, of_100: u32) -> bool {
        self.random.u32(..100) < of_100
    }

    /// One thing that can happen, happens.
    pub(crate) fn step(&mut self) -> Checked {
        if self.chance(self.plan.faults) {
            return self.fault();
        }
        let process = self.random.usize(..self.processes.len());
        if self.chance(self.plan.writes) {
            self.write();
            return Ok(());
        }
        match self.random.u32(..100) {
            0..3 => self.write_foreign(),
            3 => self.echo(process)?,
            4..15 => {
                let count = self.random.usize(1..10);
                self.send(process, count);
            }
            15..26 => {
                let count = self.random.usize(1..20);
                self.receive(process, count)?;
            }
            26..42 => drop(self.sql(process)?),
            42..52 => drop(self.replication(process)?),
            52..76 => drop(self.sink(process)?),
            76..81 => self.status(process),
            81..87 => self.keepalive(process),
            87..92 => self.work(process)?,
            _ => {
                let ms = self.one_of(&[0, 1, 20, 100, 400, 1000, 3000]);
                self.pass(Duration::from_millis(u64::from(ms)));
                for process in 0..self.processes.len() {
                    if self.chance(80) {
                        self.tick(process)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// An answer arrives a second time, or so late that nobody waits for it any more.
    fn echo(&mut self, process: usize) -> Checked {
        let client = &mut self.processes[process];
        match client.echo.take_if(|_| !client.frozen) {
            Some(answer) => self.handle(process, answer),
            None => Ok(()),
        }
    }

    /// Everything goes well for a while.
    fn work(&mut self, process: usize) -> Checked {
        for _ in 0..self.random.u32(1..12) {
            self.sql(process)?;
            self.replication(process)?;
            self.sink(process)?;
            self.send(process, 5);
            self.receive(process, 5)?;
            self.tick(process)?;
            self.status(process);
        }
        Ok(())
    }

    /// A service commits a transaction.
    pub(crate) fn write(&mut self) {
        let server = if self.chance(95) { self.primary() } else { 0 };
        let count = self.one_of(&[0, 1, 1, 1, 1, 2, 3, 4, 7, 12]);
        let gap = self.one_of(&[0, 0, 8, 96, 4096]);
        if self.servers[server].state != State::Up {
            return;
        }
        let log = self.logs.get_mut(self.servers[server].log);
        let commit_lsn = log.end + u64::from(gap);
        log.end = commit_lsn + 40;
        log.xid += 1;
        log.transactions.push(Transaction {
            commit_lsn,
            end_lsn: log.end,
            xid: log.xid,
            rows: (self.rows..self.rows + count).collect(),
        });
        self.rows += count;
    }

    /// Something that the publication does not carry at all.
    pub(crate) fn write_foreign(&mut self) {
        let bytes = self.one_of(&[8, 800, 2_000_000]);
        let server = self.primary();
        if self.servers[server].state == State::Up {
            self.logs.get_mut(self.servers[server].log).end += u64::from(bytes);
        }
    }

    /// The walsender of a process's connection sends some events.
    pub(crate) fn send(&mut self, process: usize, count: usize) -> bool {
        const INBOUND_MAX: usize = 40;
        let client = &mut self.processes[process];
        let Some(connection) = &mut client.connection else {
            return false;
        };
        let server = &mut self.servers[connection.server];
        let log = self.logs.get(server.log);
        let Some(sender) = server.walsender(connection.pid) else {
            return false;
        };
        if !sender.streaming || client.cut_source {
            return false;
        }
        let mut sent = false;
        for _ in 0..count {
            let Some(txn) = log.transactions.get(sender.next) else {
                break;
            };
            if connection.inbound.len() >= INBOUND_MAX {
                break;
            }
            let commit_lsn = Lsn::new(txn.commit_lsn);
            let event = match sender.within.checked_sub(1) {
                None => StreamEvent::Begin {
                    commit_lsn,
                    commit_time: timestamp(Duration::from_secs(1)),
                    xid: txn.xid,
                },
                Some(index) if index < txn.rows.len() => {
                    StreamEvent::Row(outbox_row(txn.rows[index]))
                }
                Some(_) => StreamEvent::Commit {
                    commit_lsn,
                    end_lsn: Lsn::new(txn.end_lsn),
                },
            };
            sender.within += 1;
            if matches!(event, StreamEvent::Commit { .. }) {
                sender.within = 0;
                sender.next += 1;
                sender.sent = txn.end_lsn;
            }
            connection.inbound.push_back(event);
            sent = true;
        }
        sent
    }

    /// The server says how far it is: unasked, or because the relay asks with every status.
    pub(crate) fn keepalive(&mut self, process: usize) {
        let reply_requested = self.random.bool();
        let lies = self.chance(30);
        self.send_keepalive(process, reply_requested, lies);
    }

    pub(crate) fn send_keepalive(&mut self, process: usize, reply_requested: bool, lies: bool) {
        let client = &mut self.processes[process];
        let Some(connection) = &mut client.connection else {
            return;
        };
        let server = &mut self.servers[connection.server];
        let log = self.logs.get(server.log);
        let Some(sender) = server.walsender(connection.pid) else {
            return;
        };
        if !sender.streaming || client.cut_source || connection.inbound.len() >= 60 {
            return;
        }
        let next = log.transactions.get(sender.next);
        let wal_end = match next {
            // Inside a transaction the position means nothing, so anything may stand there.
            Some(txn) if sender.within > 0 && lies => txn.end_lsn + 8,
            _ if sender.within > 0 => sender.sent,
            _ => {
                sender.sent = next.map_or(log.end, |txn| txn.commit_lsn);
                sender.sent
            }
        };
        connection.inbound.push_back(StreamEvent::Keepalive {
            wal_end: Lsn::new(wal_end),
            reply_requested,
        });
    }

    /// The relay takes in some of what arrived, or learns that the connection is gone.
    pub(crate) fn receive(&mut self, process: usize, count: usize) -> Result<bool, String> {
        let client = &mut self.processes[process];
        if client.frozen {
            return Ok(false);
        }
        let Some(relay) = &client.relay else {
            return Ok(false);
        };
        let Some(connection) = &mut client.connection else {
            return Ok(false);
        };
        if !connection.inbound.is_empty() && relay.has_room() {
            let count = count.min(connection.inbound.len());
            let events = connection.inbound.drain(..count).collect();
            self.handle(process, Event::Stream(events))?;
            return Ok(true);
        }
        if let Some(kind) = connection.broken {
            client.connection = None;
            self.handle(process, Event::StreamEnded(failure(kind)))?;
            return Ok(true);
        }
        Ok(false)
    }

    /// A status arrives at the server.
    pub(crate) fn status(&mut self, process: usize) {
        let client = &mut self.processes[process];
        if client.cut_source {
            return;
        }
        if let Some(connection) = &mut client.connection
            && let Some(lsn) = connection.status.take()
        {
            let server = &mut self.servers[connection.server];
            if server
                .walsender(connection.pid)
                .is_some_and(|sender| sender.streaming)
            {
                server.confirm(lsn);
            }
        }
    }

    pub(crate) fn tick(&mut self, process: usize) -> Result<bool, String> {
        let client = &self.processes[process];
        let due = client
            .relay
            .as_ref()
            .and_then(|relay| relay.deadline())
            .is_some_and(|deadline| deadline <= self.now);
        if due && !client.frozen {
            self.handle(process, Event::Tick)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Time goes by: whoever answers has answered, whoever does not is dropped by the server.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        // A healthy client's reply was seen to stand still for so long.
        const STILL_MAX: Duration = Duration::from_millis(1500);
        let (now, timeout) = (self.now, self.plan.walsender_timeout);
        for server in &mut self.servers {
            for sender in &mut server.walsenders {
                let stale = now - sender.reply >= STILL_MAX;
                if stale
                    && self.processes.get(sender.client).is_some_and(|client| {
                        client.hears_source()
                            && client.connection.as_ref().is_some_and(|connection| {
                                connection.pid == sender.pid && connection.broken.is_none()
                            })
                    })
                {
                    sender.reply = now;
                }
            }
        }
        for server in 0..self.servers.len() {
            self.end_walsenders(server, FailureKind::Unreachable, |sender| {
                sender.reply + timeout < now
            });
        }
    }

    /// Ends the walsenders that `which` names; their clients find out later.
    pub(crate) fn end_walsenders(
        &mut self,
        server: usize,
        kind: FailureKind,
        which: impl Fn(&super::server::Walsender) -> bool,
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

    pub(crate) fn handle(&mut self, process: usize, event: Event) -> Checked {
        if self.trace {
            eprintln!("{:?} r{process} <- {event:?}", self.now);
        }
        let answers = matches!(
            event,
            Event::Inspected(..) | Event::Acquired(..) | Event::Published(..) | Event::Peeked(..)
        );
        if answers && self.random.u8(..20) == 0 {
            self.processes[process].echo = Some(event.clone());
        }
        let now = moment(self.now);
        if let Some(relay) = &mut self.processes[process].relay {
            relay.handle(now, event);
        }
        while let Some(action) = self.processes[process]
            .relay
            .as_mut()
            .and_then(outbox_core::relay::Relay::next_action)
        {
            self.act(process, action)?;
        }
        Ok(())
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
