//! How SQL, the replication connection and the sink answer.

use std::sync::Arc;
use std::time::Duration;

use outbox_core::relay::{Action, Event, FailureKind, Holder, Identity, PhantomList};
use outbox_core::sink::{AcquireError, Batch, Delivery, Outcome, Refusal};
use outbox_core::{SystemId, TimelineId};

use super::log::row_number;
use super::process::Connection;
use super::server::{Walsender, failure, timestamp};
use super::world::{Checked, World};
impl World {
    /// PostgreSQL carries out one statement, or its answer arrives.
    pub(crate) fn sql(&mut self, process: usize) -> Result<bool, String> {
        let client = &mut self.processes[process];
        if let Some(answer) = client.sql.answer.take_if(|_| !client.frozen) {
            client.sql.queue.pop_front();
            self.handle(process, answer)?;
            return Ok(true);
        }
        let Some((action, _)) = client
            .sql
            .queue
            .front()
            .filter(|_| client.sql.answer.is_none())
        else {
            return Ok(false);
        };
        let (action, route, cut) = (action.clone(), client.route, client.cut_source);
        let refused = self.servers[route].refusal(cut);
        let client = &mut self.processes[process];
        let was_connected = std::mem::replace(&mut client.sql_connected, refused.is_none());
        if action == Action::NoteSurvival {
            client.sql.queue.pop_front();
            self.survive(process);
            // Nothing answers, so that only the connection's end tells.
            if was_connected && refused.is_some() {
                self.handle(process, Event::ControlLost)?;
            }
            return Ok(true);
        }
        if !cut && let Some(answer) = self.statement(process, &action)? {
            self.processes[process].sql.answer = Some(answer);
            return Ok(true);
        }
        if self.processes[process].owes_survival {
            self.survive(process);
        }
        let client = &self.processes[process];
        let server = &mut self.servers[client.route];
        let answer = match action {
            Action::Inspect(ticket) => Event::Inspected(
                ticket,
                refused.map_or_else(|| Ok(server.inspection(&self.logs)), Err),
            ),
            Action::ClaimEpoch(ticket, pid) => {
                let claimed = refused.map_or_else(|| server.claim_epoch(pid), Err);
                Event::EpochClaimed(ticket, claimed)
            }
            Action::LoadParked { ticket, .. } => Event::ParkedLoaded(ticket, Err(unreachable())),
            Action::NoteTry { ticket, .. } => Event::TryNoted(ticket, Err(unreachable())),
            Action::Park { ticket, .. } => Event::Parked(ticket, Err(unreachable())),
            Action::TakeRequest { ticket, .. } => Event::RequestTaken(ticket, Err(unreachable())),
            Action::PutBack { ticket, .. } => Event::WasPutBack(ticket, Err(unreachable())),
            Action::FinishRequest { ticket, .. } => {
                Event::RequestFinished(ticket, Err(unreachable()))
            }
            Action::TerminateHolder(ticket, holder) => {
                if refused.is_none() {
                    let route = client.route;
                    self.terminate(route, holder)?;
                }
                Event::HolderTerminated(ticket, Ok(()))
            }
            _ => return Ok(false),
        };
        self.processes[process].sql.answer = Some(answer);
        Ok(true)
    }

    /// Ends a walsender, if it still is exactly the one that was seen.
    fn terminate(&mut self, server: usize, holder: Holder) -> Checked {
        let exactly = |sender: &Walsender| {
            sender.pid == holder.pid
                && Some(timestamp(sender.started)) == holder.backend_start
                && Some(timestamp(sender.reply)) == holder.reply_time
        };
        let named = self.servers[server]
            .walsenders
            .iter()
            .find(|sender| exactly(sender));
        if let Some(sender) = named {
            let healthy = self.processes[sender.client].hears_source()
                && self.processes[sender.client]
                    .connection
                    .as_ref()
                    .is_some_and(|connection| connection.pid == sender.pid);
            if healthy && self.now - sender.reply < Duration::from_secs(4) {
                return Err("a healthy holder is terminated".into());
            }
            self.end_walsenders(server, FailureKind::Unreachable, exactly);
        }
        Ok(())
    }

    /// The same for the replication connection.
    pub(crate) fn replication(&mut self, process: usize) -> Result<bool, String> {
        let client = &mut self.processes[process];
        let lane = &mut client.replication;
        if let Some(answer) = lane.answer.take_if(|_| !client.frozen) {
            lane.queue.pop_front();
            self.handle(process, answer)?;
            return Ok(true);
        }
        let Some((action, _)) = lane.queue.front().filter(|_| lane.answer.is_none()) else {
            return Ok(false);
        };
        let server = &mut self.servers[client.route];
        let refused = server.refusal(client.cut_source);
        lane.answer = Some(match action.clone() {
            Action::Connect(ticket) => {
                if let Some(refused) = refused {
                    lane.answer = Some(Event::Connected(ticket, Err(refused)));
                    return Ok(true);
                }
                self.pids += 1;
                server.walsenders.push(Walsender {
                    pid: self.pids,
                    client: process,
                    started: self.now,
                    reply: self.now,
                    streaming: false,
                    next: 0,
                    within: 0,
                    sent: 0,
                });
                client.log = server.log;
                client.connection = Some(Connection {
                    server: client.route,
                    log: server.log,
                    pid: self.pids,
                    inbound: Default::default(),
                    broken: None,
                    started: false,
                    status: None,
                });
                let log = self.logs.get(server.log);
                let identity = Identity {
                    system_id: SystemId(1),
                    timeline: TimelineId(log.timeline),
                    history: log.history(),
                    walsender_pid: self.pids,
                };
                Event::Connected(ticket, Ok(identity))
            }
            Action::StartReplication(ticket) => {
                let started = self.start_replication(process);
                if let Some(connection) = &mut self.processes[process].connection {
                    connection.started |= started.is_ok();
                }
                self.processes[process].replication.answer =
                    Some(Event::Streaming(ticket, started));
                return Ok(true);
            }
            _ => return Ok(false),
        });
        Ok(true)
    }

    fn start_replication(
        &mut self,
        process: usize,
    ) -> Result<(), outbox_core::relay::SourceFailure> {
        let client = &self.processes[process];
        let connection = client.connection.as_ref().ok_or_else(unreachable)?;
        let server = &mut self.servers[connection.server];
        if client.cut_source || connection.broken.is_some() {
            return Err(unreachable());
        }
        if server.slot.dropped {
            return Err(failure(FailureKind::SlotMissing));
        }
        if server.holder().is_some() {
            return Err(failure(FailureKind::SlotBusy));
        }
        let transactions = &self.logs.get(server.log).transactions;
        let confirmed = server.slot.confirmed;
        let next = transactions.partition_point(|txn| txn.commit_lsn < confirmed);
        // What is sent first is found again from an older place: the position falls back.
        let back = self.random.u64(..200);
        let sent = confirmed.saturating_sub(back);
        let sender = server.walsender(connection.pid).ok_or_else(unreachable)?;
        (sender.streaming, sender.next, sender.sent) = (true, next, sent);
        Ok(())
    }

    /// The same for the broker.
    pub(crate) fn sink(&mut self, process: usize) -> Result<bool, String> {
        let client = &mut self.processes[process];
        let lane = &mut client.sink;
        if let Some(answer) = lane.answer.take_if(|_| !client.frozen) {
            lane.queue.pop_front();
            self.handle(process, answer)?;
            return Ok(true);
        }
        let Some((action, log)) = lane.queue.front().filter(|_| lane.answer.is_none()) else {
            return Ok(false);
        };
        let (action, log) = (action.clone(), *log);
        if matches!(&action, Action::Publish(_, batch) if self.crashes_over(batch)) {
            return self.crash_over(process);
        }
        let client = &mut self.processes[process];
        let cut = client.cut_broker;
        let unavailable = cut || self.random.u32(..100) < self.plan.broker_faults;
        let broker = &mut self.broker;
        let answer = match action {
            Action::PeekCheckpoint(ticket) => {
                let late = self.random.u32(..10) == 0;
                let found = if late { &broker.before } else { &broker.newest };
                let found = if unavailable {
                    Err(AcquireError::Unavailable(String::new()))
                } else {
                    Ok(Some(found.clone()))
                };
                Event::Peeked(ticket, found)
            }
            Action::ListPhantoms(ticket, _) => {
                Event::PhantomsListed(ticket, PhantomList::default())
            }
            // An attempt that the client gave up may have fenced all the same.
            Action::Acquire(ticket, _) if unavailable => {
                if !cut && self.random.bool() {
                    broker.raise_epoch();
                }
                client.epoch = None;
                Event::Acquired(ticket, Err(AcquireError::Unavailable(String::new())))
            }
            Action::Acquire(ticket, _) => {
                client.epoch = Some(broker.raise_epoch());
                Event::Acquired(ticket, Ok(Some(broker.newest.clone())))
            }
            Action::Publish(ticket, batch) => {
                let outcome = self.publish(process, &batch, log, unavailable)?;
                Event::Published(ticket, outcome)
            }
            _ => {
                client.epoch = None;
                client.sink.queue.pop_front();
                return Ok(true);
            }
        };
        self.processes[process].sink.answer = Some(answer);
        Ok(true)
    }

    fn publish(
        &mut self,
        process: usize,
        batch: &Arc<Batch>,
        log: usize,
        trouble: bool,
    ) -> Result<Outcome, String> {
        let cut = self.processes[process].cut_broker;
        let reason = String::new();
        let Some(epoch) = self.processes[process].epoch else {
            return Err("a batch is published without the right to".into());
        };
        if epoch != self.broker.epoch && !cut {
            return Ok(Outcome::Fenced { reason });
        }
        let refused = |delivery: &Delivery| match delivery.redelivered() {
            Some(_) => self.broker.refuses(delivery),
            None => self.poison.contains(&row_number(delivery.row.id)),
        };
        let mut refusals: Vec<_> = (0..batch.messages.len())
            .filter(|index| refused(&batch.messages[*index]))
            .map(|batch_index| Refusal {
                batch_index,
                reason: self.plan.refuses,
                error: String::new(),
            })
            .collect();
        if !refusals.is_empty() && !cut {
            if self.random.bool() {
                // A broker may name only the first that it meets.
                refusals.truncate(1);
            }
            return Ok(Outcome::Poison(refusals));
        }
        if !trouble {
            self.broker.commit(&self.logs, log, batch)?;
            return Ok(Outcome::Durable);
        }
        Ok(match self.random.u32(..7) {
            _ if cut && self.plan.patient_sink => Outcome::Retry { reason },
            0 => Outcome::Retry { reason },
            6 => Outcome::Ongoing { progress: reason },
            1 => Outcome::Abort { reason },
            2 if !cut => {
                self.broker.commit(&self.logs, log, batch)?;
                Outcome::Indefinite { reason }
            }
            3 => Outcome::Indefinite { reason },
            _ if cut => Outcome::Indefinite { reason },
            _ => {
                self.broker.undecided.push((epoch, Arc::clone(batch), log));
                Outcome::Indefinite { reason }
            }
        })
    }
}

fn unreachable() -> outbox_core::relay::SourceFailure {
    failure(FailureKind::Unreachable)
}
