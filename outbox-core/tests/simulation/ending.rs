use std::time::Duration;

use outbox_core::relay::StuckPolicy;
use outbox_core::sink::RefusalReason;

use super::broker::refuses_again;
use super::log::{key, message_id};
use super::server::State as ServerState;
use super::stuck_table::State;
use super::world::{Checked, World};

impl World {
    /// Faults stop, and everything must drain within bounded steps.
    pub(crate) fn end(&mut self) -> Checked {
        if self.random.u32(..4) == 0 {
            self.shut_down_without_broker()?;
        }
        self.heal();
        if self.processes.len() > 1 && self.random.u32(..4) == 0 {
            // One never comes back, and the server does not notice: the others must.
            self.plan.walsender_timeout = LAST_MAX * 2;
            let holder = self.servers[self.primary()]
                .holder()
                .map(|sender| sender.client);
            self.processes[holder.unwrap_or(0)].frozen = true;
        }
        let until = self.now + LAST_MAX;
        let (mut idle_rounds, mut waits) = (0, 0);
        while self.now < until {
            if self.is_over() {
                return self.final_checks();
            }
            if self.round()? {
                idle_rounds = 0;
                continue;
            }
            idle_rounds += 1;
            waits += 1;
            if waits == 40 {
                // A log that was put back shows only where it goes on.
                self.write_foreign();
            }
            self.wait(idle_rounds)?;
        }
        let log = self.servers[self.primary()].log;
        let unsettled: Vec<u32> = self
            .logs
            .get(log)
            .rows()
            .filter(|row| !self.is_settled(log, *row))
            .collect();
        Err(format!(
            "I8: not drained: {unsettled:?} left, phantoms {}, {}",
            self.broker.has_phantoms(&self.logs, log),
            self.summary()
        ))
    }

    fn is_over(&self) -> bool {
        let primary = &self.servers[self.primary()];
        let drained = primary.slot.confirmed >= self.logs.get(primary.log).end
            && self
                .logs
                .get(primary.log)
                .rows()
                .all(|row| self.is_settled(primary.log, row));
        // Lost writes of the relay's own, of which no visible message tells, are noticed as well.
        let writes = self.logs.get(primary.log).stuck().writes;
        let noticed = !self.broker.has_phantoms(&self.logs, primary.log)
            && self.broker.newest.stuck_writes <= writes;
        let all_held = self
            .processes
            .iter()
            .all(|client| client.held || client.frozen);
        self.stopped || all_held || (drained && noticed)
    }

    /// Everything that can be done now is done once.
    fn round(&mut self) -> Result<bool, String> {
        let mut moved = false;
        for server in 0..self.servers.len() {
            self.forget_clients_gone(server);
        }
        for process in 0..self.processes.len() {
            moved |= self.sql(process)?;
            moved |= self.replication(process)?;
            moved |= self.sink(process)?;
            moved |= self.send(process, usize::MAX);
            moved |= self.receive(process, usize::MAX)?;
            moved |= self.tick(process)?;
            self.status(process);
        }
        Ok(moved)
    }

    /// Nothing can be done: time goes by until something can, a second at most.
    fn wait(&mut self, idle_rounds: u32) -> Checked {
        const SECOND: Duration = Duration::from_secs(1);
        let second = self.now + SECOND;
        let deadline = self
            .processes
            .iter()
            .filter_map(|client| client.relay.as_ref()?.deadline())
            .filter(|deadline| *deadline > self.now)
            .min();
        let asking = (0..self.processes.len())
            .filter(|process| self.processes[*process].asking)
            .collect::<Vec<_>>();
        if deadline.is_none() && asking.is_empty() && idle_rounds > 50 {
            return Err(format!("I8: nobody waits for anything, {}", self.summary()));
        }
        // Whoever ended while it was told to is started again.
        for client in &mut self.processes {
            if client.relay.is_none() {
                client.start(&mut self.random, self.now, self.plan.stuck);
            }
        }
        let until = deadline.unwrap_or(second).min(second);
        self.pass(until - self.now);
        for process in asking {
            self.send_keepalive(process, false, false);
        }
        Ok(())
    }

    fn heal(&mut self) {
        let primary = self.primary();
        self.stopped = false;
        (self.is_ending, self.crashes) = (true, 0);
        self.plan.broker_faults = 0;
        self.servers[primary].state = ServerState::Up;
        for process in 0..self.processes.len() {
            let client = &mut self.processes[process];
            (client.frozen, client.cut_source, client.cut_broker) = (false, false, false);
            if client.route != primary || client.held {
                self.kill(process);
            }
            let client = &mut self.processes[process];
            client.route = primary;
            if client.relay.is_none() {
                client.start(&mut self.random, self.now, self.plan.stuck);
            }
        }
        // An old primary is taken from the network.
        for server in 0..primary {
            self.shut_down(server, outbox_core::relay::FailureKind::Unreachable);
        }
        self.poison.retain(|row| !self.broker.sees(*row));
        self.crashing.retain(|row| !self.broker.sees(*row));
        if self.plan.stuck != StuckPolicy::Halt
            && self.plan.refuses == RefusalReason::DestinationMissing
        {
            // Relays may wait for the destination.
            self.poison.clear();
        }
    }

    /// The broker is away and the server is told to go: no relay may hold it up.
    fn shut_down_without_broker(&mut self) -> Checked {
        let primary = self.primary();
        for client in &mut self.processes {
            (client.frozen, client.cut_source, client.cut_broker) = (false, false, true);
        }
        self.servers[primary].state = ServerState::Up;
        for _ in 0..20 {
            self.round()?;
        }
        self.write();
        self.begin_shut_down(primary)?;
        for _ in 0..ROUNDS_MAX {
            if self.servers[primary].state == ServerState::Down {
                return Ok(());
            }
            self.end_shut_down(primary);
            self.round()?;
            self.pass(Duration::from_millis(50));
        }
        Err(format!("a relay holds up the shutdown, {}", self.summary()))
    }

    fn final_checks(&self) -> Checked {
        let log = self.servers[self.primary()].log;
        if self.stopped {
            return Ok(());
        }
        if self.broker.has_phantoms(&self.logs, log) {
            return Err("I6: phantoms went unnoticed".into());
        }
        let visible = self.broker.visible.iter().copied();
        let table = self.logs.get(log).stuck();
        let poisoned = |row: &u32| self.poison.contains(row) || self.crashing.contains(row);
        let parked = |row: &u32| table.parked.iter().find(|parked| parked.row == *row);
        let halts = self.plan.stuck == StuckPolicy::Halt;
        if halts && self.logs.get(log).rows().any(|row| poisoned(&row)) {
            // Publishing halts before the message that the broker refuses.
            let before = self.logs.get(log).rows().take_while(|row| !poisoned(row));
            let count = self.broker.visible.len();
            return if visible.eq(before.take(count)) {
                Ok(())
            } else {
                Err("the rows before a poisonous one are not in order".into())
            };
        }
        let straight = visible.clone().filter(|row| parked(row).is_none());
        let committed = self.logs.get(log).rows();
        if !straight.eq(committed.filter(|row| parked(row).is_none())) {
            return Err(format!(
                "I1-I3: what is visible is not what is committed: {:?}, poison {:?}, {}",
                self.broker.visible,
                self.poison,
                self.summary()
            ));
        }
        for row in &table.parked {
            if self.broker.sees(row.row) != (row.state == State::Replayed) {
                return Err(format!(
                    "I1/I2: {row:?}, visible: {}",
                    self.broker.sees(row.row)
                ));
            }
        }
        self.redeliveries_came_once()?;
        self.keys_are_in_order()
    }

    /// Of each redelivery that was carried out, all came again but what was left out; the broker has
    /// refused to see any twice.
    fn redeliveries_came_once(&self) -> Checked {
        let log = self.logs.get(self.servers[self.primary()].log);
        let frontier = self.broker.newest.frontier;
        for request in &log.stuck().requests {
            let position = request.position.filter(|_| request.copies.is_some());
            if position.is_none_or(|position| position.commit_lsn >= frontier.lsn) {
                continue;
            }
            for (number, copied) in (0..).zip(request.copies.iter().flatten()) {
                let came = self.broker.again.contains(&(request.id, number));
                let is_refused = refuses_again(request.id, copied.row)
                    || self.given_up.contains(&message_id(copied.row));
                let may_be_left_out = is_refused || log.stuck().parked_once(copied.row);
                if came == copied.left_out || copied.left_out && !may_be_left_out {
                    return Err(format!(
                        "request {}: {number} {copied:?}, visible again: {came}",
                        request.id
                    ));
                }
            }
        }
        Ok(())
    }

    /// Of each key, what is visible is in commit order, whatever was set aside in between.
    fn keys_are_in_order(&self) -> Checked {
        if self.plan.stuck != StuckPolicy::ParkKey {
            return Ok(());
        }
        for of in ["a", "b", "c"] {
            let of_key = |row: &&u32| key(**row) == Some(of);
            let visible: Vec<u32> = self.broker.visible.iter().filter(of_key).copied().collect();
            if !visible.is_sorted() {
                return Err(format!("I3: key {of}: {visible:?}"));
            }
        }
        Ok(())
    }

    pub(crate) fn summary(&self) -> String {
        let primary = &self.servers[self.primary()];
        let log = self.logs.get(primary.log);
        format!(
            "{} of {} rows visible, slot {} of {}, checkpoint {}, {:?}, relays {:?}",
            self.broker.visible.len(),
            log.rows().count(),
            primary.slot.confirmed,
            log.end,
            self.broker.newest.frontier,
            primary.state,
            self.processes
                .iter()
                .map(|client| client.relay.as_ref().map(outbox_core::relay::Relay::status))
                .collect::<Vec<_>>()
        )
    }
}

const ROUNDS_MAX: u32 = 20_000;

/// How long draining may take, by the simulated clock.
const LAST_MAX: Duration = Duration::from_secs(1800);
