//! Messages that end the process which hands them to the broker.

use outbox_core::relay::{Action, EarlierEnds, HaltedMessage, ParkReason, StuckPolicy};
use outbox_core::sink::{Batch, RefusalReason};
use outbox_core::{Frontier, MessageId};

use super::log::message_id;
use super::process::Process;
use super::world::{Checked, World};

impl World {
    pub(crate) fn crashes_over(&self, batch: &Batch) -> bool {
        let mut messages = batch.messages.iter();
        let crashes = |id| self.crashing.iter().any(|row| message_id(*row) == id);
        messages.any(|message| crashes(message.row.id))
    }

    /// The process ends before anything of its batch has left it.
    pub(crate) fn crash_over(&mut self, process: usize) -> Result<bool, String> {
        if self.processes[process].frozen {
            return Ok(false);
        }
        self.saw("crashed over a message");
        self.kill(process);
        self.crashes += 1;
        let allowed = self.crashes_allowed();
        if self.is_ending && self.crashes > allowed {
            return Err(format!(
                "I8: {} crashes over {:?}",
                self.crashes, self.crashing
            ));
        }
        Ok(true)
    }

    /// Six ends at most for each message, and for each time that its replay is asked for; each relay
    /// that halts begins anew; and some for what was going on when faults stopped.
    fn crashes_allowed(&self) -> u32 {
        let messages = self.crashing.len() as u32;
        let log = self.logs.get(self.servers[self.primary()].log);
        let requests = log.stuck().requests.len() as u32;
        let relays = match self.plan.stuck {
            StuckPolicy::Halt => self.processes.len() as u32,
            StuckPolicy::Park | StuckPolicy::ParkKey => 1,
        };
        6 * messages * (relays + requests) + 2
    }

    /// A process ends: if its note is still there it must have been trying the message, or have had no
    /// way to take the note back.
    pub(crate) fn note_death(&mut self, process: usize) {
        let client = &self.processes[process];
        let server = &self.servers[client.route];
        let is_noted = server.starts.tried_by.contains(&client.run);
        let mut asked = client.sink.queue.iter();
        let tries = asked.any(|(action, _)| matches!(action, Action::Publish(..)));
        let is_writing = !client.sql.queue.is_empty();
        let cannot_write = client.owes_survival || server.refusal(client.cut_source).is_some();
        if is_noted && !tries && !is_writing && !cannot_write {
            self.idle_deaths.push(client.run);
        }
    }

    /// What is to be set aside for its crashes was tried by processes that really ended, or cannot
    /// say that they live.
    pub(crate) fn check_tries(
        &mut self,
        server: usize,
        ends: EarlierEnds,
        frontier: Frontier,
    ) -> Checked {
        let Some(tried) = ends
            .tried
            .filter(|tried| tried.count >= 3 && tried.batch.messages == 1)
        else {
            return Ok(());
        };
        if frontier.covers(tried.batch.position) {
            return Ok(());
        }
        let has_changed_place =
            self.seen.contains_key("disk put back") || self.seen.contains_key("failover");
        let by = &self.servers[server].starts.tried_by;
        // Who lost the slot and does not know it yet cannot have said so.
        let knows = |client: &Process| match &client.connection {
            Some(connection) => connection.broken.is_none(),
            None => true,
        };
        let lives = |run: &&u32| {
            self.processes.iter().any(|client| {
                client.run == **run
                    && client.hears_source()
                    && knows(client)
                    && !client.owes_survival
                    && client.route == server
            })
        };
        if !has_changed_place && by.iter().any(|run| lives(&run)) {
            return Err(format!(
                "{:?} counts as tried by {by:?}, of which some live",
                tried.batch
            ));
        }
        if !has_changed_place && by.iter().any(|run| self.idle_deaths.contains(run)) {
            return Err(format!(
                "{:?} counts as tried by {by:?}, of which some ended while nothing was tried",
                tried.batch
            ));
        }
        self.given_up.push(tried.batch.id);
        Ok(())
    }

    /// Only what was given up is set aside for its crashes.
    pub(crate) fn check_reasons(&mut self, action: &Action) -> Checked {
        let crashes = RefusalReason::Crashes;
        let ids: Vec<MessageId> = match action {
            Action::Park { messages, .. } => messages
                .iter()
                .filter(|parked| parked.reason == ParkReason::Refused(crashes))
                .map(|parked| parked.delivery.row.id)
                .collect(),
            Action::PutBack { refused, .. } => refused
                .iter()
                .filter(|again| again.reason == crashes)
                .map(|again| again.id)
                .collect(),
            _ => return Ok(()),
        };
        for id in ids {
            self.saw("set aside for its crashes");
            if !self.given_up.contains(&id) {
                return Err(format!(
                    "message {id} is set aside for crashes it never made"
                ));
            }
        }
        Ok(())
    }

    /// A message halts its relay: the broker refuses it, or it is given up.
    pub(crate) fn check_halted(&mut self, message: &HaltedMessage) -> Checked {
        let is = |row: &u32| message_id(*row) == message.id;
        let known = if message.reason == RefusalReason::Crashes {
            self.saw("halted by its crashes");
            self.given_up.contains(&message.id)
        } else {
            self.poison.iter().any(is)
        };
        if !known {
            return Err(format!("held by {}", message.id));
        }
        if !self.poison.iter().chain(&self.crashing).any(is) {
            // Killed by chance, three times, while it was tried: from here on as good as refused.
            let bytes = message.id.as_bytes();
            let row = u32::from_be_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
            self.poison.push(row);
        }
        Ok(())
    }
}
