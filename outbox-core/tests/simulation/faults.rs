use std::time::Duration;

use outbox_core::relay::{Event, FailureKind};

use super::server::State;
use super::world::{Checked, World};

impl World {
    /// Something breaks, or mends.
    pub(crate) fn fault(&mut self) -> Checked {
        let process = self.random.usize(..self.processes.len());
        let server = self.random.usize(..self.servers.len());
        if self.random.u32(..40) < self.plan.disasters {
            self.disaster();
            return Ok(());
        }
        let primary = self.primary();
        let client = &mut self.processes[process];
        match self.random.u32(..30) {
            0 if client.relay.is_some() => self.kill(process),
            0..6 if client.relay.is_none() => {
                client.start(&mut self.random, self.now, self.plan.stuck)
            }
            1 => client.frozen = client.relay.is_some(),
            2..5 => client.frozen = false,
            6 => client.cut_source = true,
            7..10 => client.cut_source = false,
            10 => client.cut_broker = true,
            11..13 => client.cut_broker = false,
            13 if client.relay.is_some() && !client.frozen => self.handle(process, Event::Drain)?,
            14 => client.route = primary,
            15 if client.sql_connected && client.relay.is_some() && !client.frozen => {
                client.sql_connected = false;
                self.handle(process, Event::ControlLost)?;
            }
            // A connection breaks without a reason.
            16 => self.end_walsenders(server, FailureKind::Unreachable, |sender| {
                sender.client == process
            }),
            // The server notices that a client has gone.
            17 => self.forget_clients_gone(server),
            18 => self.servers[server].slot.saved = self.servers[server].slot.confirmed,
            19 => self.crash(server),
            20 => self.begin_shut_down(server)?,
            21 => self.end_shut_down(server),
            22..26 => self.start_server(server),
            26..28 => self.decide()?,
            _ => self.pass(Duration::from_secs(9)),
        }
        Ok(())
    }

    /// What the relay must notice, or survive without anything lost.
    fn disaster(&mut self) {
        match self.random.u32(..9) {
            0..3 => self.fail_over(),
            3..6 => self.take_snapshot(),
            6 | 7 => self.restore_snapshot(),
            _ => self.meddle(),
        }
    }

    /// Somebody lays hand on the slot.
    fn meddle(&mut self) {
        let primary = self.primary();
        let server = &mut self.servers[primary];
        if self.random.u32(..3) > 0 || server.holder().is_some() || server.state != State::Up {
            return;
        }
        if self.random.bool() {
            server.slot.dropped = true;
            self.slot_dropped = true;
        } else if !self.seen.contains_key("disk put back") {
            // On a log that was put back this would hide what only the overlap can tell: nothing
            // that a relay sees differs then.
            self.slot_moved = true;
            let end = self.logs.get(server.log).end;
            server.confirm(end);
        }
    }

    pub(crate) fn forget_clients_gone(&mut self, server: usize) {
        let processes = &self.processes;
        self.servers[server].walsenders.retain(|sender| {
            processes[sender.client]
                .connection
                .as_ref()
                .is_some_and(|connection| connection.pid == sender.pid)
        });
    }

    fn crash(&mut self, server: usize) {
        self.shut_down(server, FailureKind::Unreachable);
        let slot = &mut self.servers[server].slot;
        slot.confirmed = slot.saved;
        let confirmed = slot.confirmed;
        slot.earlier.retain(|lsn| *lsn <= confirmed);
    }

    /// A fast shutdown: no new connection, SQL ends at once, walsenders must first be confirmed.
    pub(crate) fn begin_shut_down(&mut self, server: usize) -> Checked {
        if self.servers[server].state != State::Up {
            return Ok(());
        }
        self.servers[server].state = State::Stopping;
        self.end_walsenders(server, FailureKind::ServerShutdown, |sender| {
            !sender.streaming
        });
        for process in 0..self.processes.len() {
            let client = &mut self.processes[process];
            if client.route == server && client.sql_connected && client.hears_source() {
                client.sql_connected = false;
                self.handle(process, Event::ControlLost)?;
            }
        }
        Ok(())
    }

    /// The server goes once its walsender has sent everything and had it confirmed.
    pub(crate) fn end_shut_down(&mut self, server: usize) {
        if self.servers[server].state != State::Stopping {
            return;
        }
        let state = &self.servers[server];
        let end = self.logs.get(state.log).end;
        let waits = state
            .holder()
            .filter(|sender| sender.sent.max(end) > state.slot.confirmed);
        if let Some(sender) = waits {
            let client = sender.client;
            self.send(client, usize::MAX);
            self.send_keepalive(client, true, false);
            return;
        }
        let confirmed = state.slot.confirmed;
        self.servers[server].slot.saved = confirmed;
        self.shut_down(server, FailureKind::ServerShutdown);
    }

    pub(crate) fn start_server(&mut self, server: usize) {
        // An old primary comes back only while nobody has taken its place, or as it was.
        if self.servers[server].state == State::Down {
            self.servers[server].state = State::Up;
        }
    }
}
