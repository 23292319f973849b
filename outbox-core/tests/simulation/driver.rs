//! Takes on what a relay asks for, and checks what it may not ask for.

use std::sync::Arc;

use outbox_core::relay::{Action, Notice, Stop};
use outbox_core::{Frontier, Lsn};

use super::names::{notice_name, stop_name};
use super::process::Lane;
use super::world::{Checked, World};

impl World {
    /// Takes on what the relay asks for.
    pub(crate) fn act(&mut self, process: usize, action: Action) -> Checked {
        if self.trace {
            eprintln!("{:?} r{process} -> {action:?}", self.now);
        }
        self.check_reasons(&action)?;
        let broker = &self.broker;
        let client = &mut self.processes[process];
        let log = client
            .connection
            .as_ref()
            .map_or(0, |connection| connection.log);
        match action {
            Action::Inspect(_)
            | Action::ClaimEpoch(..)
            | Action::TerminateHolder(..)
            | Action::LoadParked { .. }
            | Action::Park { .. }
            | Action::NoteTry { .. }
            | Action::NoteSurvival
            | Action::TakeRequest { .. }
            | Action::PutBack { .. }
            | Action::FinishRequest { .. } => {
                client.sql.queue.push_back((action, log));
            }
            Action::Connect(_) | Action::StartReplication(_) => {
                client.replication.queue.push_back((action, log));
            }
            Action::Acquire(..)
                if client
                    .connection
                    .as_ref()
                    .is_none_or(|connection| !connection.started) =>
            {
                return Err("a relay that never had the slot fences whoever has it".into());
            }
            Action::PeekCheckpoint(_)
            | Action::ListPhantoms(..)
            | Action::Acquire(..)
            | Action::Publish(..)
            | Action::ReleaseSink => client.sink.queue.push_back((action, log)),
            Action::Confirm(lsn) => {
                let behind = broker.newest_log == log && lsn > broker.newest.frontier.lsn;
                if behind {
                    return Err(format!(
                        "I4: {lsn} is confirmed, the checkpoint stands at {}",
                        broker.newest.frontier
                    ));
                }
                if let Some(connection) = &mut client.connection {
                    connection.status = connection.status.max(Some(lsn.as_u64()));
                }
            }
            Action::AskForKeepalive(ask) => client.asking = ask,
            // Each statement goes where the name leads here.
            Action::ReconnectSql => {}
            Action::NoteEnd {
                claim,
                forget_tries,
            } => self.note_end(process, claim, forget_tries),
            Action::CloseStream => self.close_stream(process),
            Action::RecordHold(stop) => {
                let server = &mut self.servers[client.route];
                if server.refusal(client.cut_source).is_none() {
                    self.ever_held = true;
                    server.held = Some((stop.exit_code(), stop.to_string()));
                }
            }
            Action::Report(Notice::Halted(message)) => {
                client.held = true;
                self.check_halted(&message)?;
            }
            Action::Report(notice) => self.saw(notice_name(&notice)),
            Action::Stop(stop) => return self.stopped(process, &stop),
        }
        Ok(())
    }

    fn close_stream(&mut self, process: usize) {
        let client = &mut self.processes[process];
        client.replication = Lane::default();
        client.asking = false;
        if let Some(connection) = client.connection.take()
            && !client.cut_source
        {
            let server = &mut self.servers[connection.server];
            if let Some(lsn) = connection.status
                && server
                    .walsender(connection.pid)
                    .is_some_and(|sender| sender.streaming)
            {
                server.confirm(lsn);
            }
            // The server may notice at once, or when it next looks.
            if self.random.bool() {
                server
                    .walsenders
                    .retain(|sender| sender.pid != connection.pid);
            }
        }
    }

    /// The process ends: for a reason that this world gave it?
    fn stopped(&mut self, process: usize, stop: &Stop) -> Checked {
        let client = &self.processes[process];
        let log = client.log;
        let broker = &self.broker;
        let common = Frontier::at(Lsn::new(self.logs.put_back(broker.proven_log, log)));
        let phantoms = broker.has_phantoms(&self.logs, log);
        let differs = phantoms || common < broker.newest.frontier;
        let legitimate = match stop {
            Stop::Drained => true,
            Stop::Phantoms(_) => {
                // The checkpoint does not say whether its last message was published or set aside.
                let parted = self.logs.common(broker.newest_log, log);
                let last = broker.newest.last;
                phantoms || last.is_some_and(|last| last.commit_lsn.as_u64() >= parted)
            }
            Stop::OtherTimeline { .. } => {
                !self.logs.descends(log, broker.newest_log)
                    || !self.logs.get(log).comes_from(broker.newest.timeline.0)
            }
            Stop::LogSetBack { .. } | Stop::Diverged(_) => differs,
            Stop::StuckWritesMissing { .. } => {
                self.logs.get(log).stuck().writes < broker.newest.stuck_writes
            }
            Stop::SlotMissing => self.slot_dropped,
            Stop::SlotAhead { .. } => self.slot_moved,
            Stop::HeldEarlier { .. } => self.ever_held,
            _ => false,
        };
        if !legitimate {
            return Err(format!("r{process} stopped without a reason: {stop:?}"));
        }
        self.stopped |= *stop != Stop::Drained;
        self.saw(stop_name(stop));
        self.kill(process);
        Ok(())
    }

    /// The process is gone; what it sent may still arrive.
    pub(crate) fn kill(&mut self, process: usize) {
        self.note_death(process);
        // What it had sent to the server may still be carried out.
        let client = &self.processes[process];
        if let Some((action, _)) = client.sql.queue.front()
            && client.sql.answer.is_none()
            && !client.cut_source
            && self.random.bool()
        {
            let action = action.clone();
            let _ = self.statement(process, &action);
        }
        let sends_nothing = match self.processes[process].sink.queue.front() {
            Some((Action::Publish(_, batch), _)) => self.crashes_over(batch),
            _ => false,
        };
        let random = &mut self.random;
        let client = &mut self.processes[process];
        client.relay = None;
        client.held = false;
        client.frozen = false;
        if let Some((Action::Publish(_, batch), log)) = client.sink.queue.front()
            && client.sink.answer.is_none()
            && !sends_nothing
            && let Some(epoch) = client.epoch
            && !batch.messages.iter().any(|sent| self.broker.refuses(sent))
        {
            self.broker.undecided.push((epoch, Arc::clone(batch), *log));
        }
        client.sql = Lane::default();
        client.sink = Lane::default();
        client.epoch = None;
        if random.bool() {
            self.close_stream(process);
        } else {
            client.replication = Lane::default();
            client.connection = None;
        }
    }
}
