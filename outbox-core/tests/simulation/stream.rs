//! What flows from a service's commit to the relay, and its status back.

use outbox_core::relay::{Event, StreamEvent};
use outbox_core::{Lsn, Timestamp};

use super::log::{Transaction, outbox_row};
use super::server::{COMMIT_TIME, State, failure};
use super::stuck_table::request_id;
use super::world::World;

impl World {
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
            request: None,
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
        let late_by_ms = i64::from(self.one_of(&[0, 0, 100, 5000]));
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
                    commit_time: COMMIT_TIME,
                    sent_at: Timestamp::from_unix_us(COMMIT_TIME.as_unix_us() + late_by_ms * 1000),
                    xid: txn.xid,
                },
                Some(index) if index < txn.items() => txn.item(index),
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
}

impl Transaction {
    fn items(&self) -> usize {
        self.rows.len() + usize::from(self.request.is_some())
    }

    /// The logical message may come anywhere among the rows.
    fn item(&self, index: usize) -> StreamEvent {
        let Some(request) = self.request else {
            return StreamEvent::Row(outbox_row(self.rows[index]));
        };
        let place = self.xid as usize % self.items();
        if index == place {
            let id = request_id(request);
            return StreamEvent::LogicalMessage {
                prefix: "outbox.request.r".into(),
                content: format!(r#"{{"format": 1, "id": "{id}"}}"#).into(),
            };
        }
        StreamEvent::Row(outbox_row(self.rows[index - usize::from(index > place)]))
    }
}
