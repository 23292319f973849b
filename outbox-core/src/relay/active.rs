use std::sync::Arc;
use std::time::Duration;

use super::backoff::Backoff;
use super::buffer::{Buffer, Disorder};
use super::catch_up::{CatchUp, Verdict};
use super::machine::{Core, Next};
use super::progress::{Progress, Violation};
use super::recovery::Recovery;
use super::server_shutdown::ServerShutdown;
use super::{Action, HaltedMessage, Held, Notice, Stop, StreamEvent, Ticket};
use crate::sink::{Batch, Outcome};
use crate::{Lsn, OutboxRow};

/// The slot and the right to publish are ours.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) walsender_pid: i32,
    pub(super) progress: Progress,
    pub(super) buffer: Buffer,
    pub(super) flight: Flight,
    pub(super) backoff: Backoff,
    catch_up: CatchUp,
    shutdown: ServerShutdown,
    /// What the slot was last told.
    confirmed: Lsn,
    /// The server wants to hear that we are idle.
    asked: bool,
    asking: bool,
    /// A question about the server's health, after the connection for SQL was lost.
    pub(super) health: Option<Ticket>,
    /// What the batch in flight holds in memory: it counts against the buffer's limit.
    in_flight_bytes: usize,
    pub(super) draining: bool,
    /// What halts the relay once everything before it is durable.
    pub(super) halting: Option<HaltedMessage>,
}

/// What the sink is doing. One batch at a time; the next fills meanwhile.
#[derive(Debug)]
pub(super) enum Flight {
    Free,
    Publishing {
        ticket: Ticket,
        batch: Arc<Batch>,
    },
    /// The same batch goes out again then.
    Waiting {
        batch: Arc<Batch>,
        until: Duration,
    },
    /// Nobody knows what became of it.
    Recovering {
        batch: Arc<Batch>,
        recovery: Recovery,
    },
}

impl Active {
    pub(super) fn new(
        core: &Core,
        walsender_pid: i32,
        progress: Progress,
        catch_up: CatchUp,
        confirmed_flush: Lsn,
    ) -> Self {
        Self {
            walsender_pid,
            progress,
            buffer: Buffer::new(),
            flight: Flight::Free,
            backoff: Backoff::new(core.settings.retry),
            catch_up,
            shutdown: ServerShutdown::default(),
            confirmed: confirmed_flush,
            asked: false,
            asking: false,
            health: None,
            in_flight_bytes: 0,
            draining: false,
            halting: None,
        }
    }

    pub(super) const fn confirmed(&self) -> Lsn {
        self.confirmed
    }

    pub(super) fn has_room(&self, buffer_bytes_max: usize) -> bool {
        !self.draining && self.buffer.bytes() + self.in_flight_bytes < buffer_bytes_max
    }

    /// Takes in what the stream said; what follows from it is decided by [`Active::go_on`].
    pub(super) fn stream(&mut self, core: &mut Core, event: StreamEvent) -> Result<(), Next> {
        match event {
            StreamEvent::Begin {
                commit_lsn,
                commit_time,
                xid,
            } => {
                self.catch_up.begin(commit_lsn).map_err(diverged)?;
                self.buffer
                    .begin(commit_lsn, commit_time, xid, core.now.monotonic)?;
            }
            StreamEvent::Row(row) => self.row(row)?,
            // No release has sent a request yet; other subscribers' messages are not ours.
            StreamEvent::LogicalMessage { .. } => {}
            StreamEvent::Commit {
                commit_lsn,
                end_lsn,
            } => {
                self.buffer.commit(commit_lsn, end_lsn)?;
                self.reached(end_lsn)?;
            }
            StreamEvent::Keepalive {
                wal_end,
                reply_requested,
            } => {
                if !self.buffer.in_transaction() {
                    self.buffer.pass(wal_end);
                    self.reached(wal_end)?;
                }
                if reply_requested {
                    let behind = self.progress.frontier().lsn < wal_end;
                    self.asked |= behind;
                    if behind && self.shutdown.is_stopping(wal_end, core.now.monotonic) {
                        return Err(core.server_stops("it waits for a confirmation"));
                    }
                }
            }
        }
        Ok(())
    }

    fn row(&mut self, row: OutboxRow) -> Result<(), Next> {
        let (position, xid) = self.buffer.next_position()?;
        match self
            .catch_up
            .message(position, xid, row.id)
            .map_err(diverged)?
        {
            Verdict::Known => {}
            Verdict::New => self.buffer.push(position, row)?,
        }
        Ok(())
    }

    fn reached(&mut self, end: Lsn) -> Result<(), Next> {
        self.progress.see(end);
        self.catch_up.reached(end).map_err(diverged)
    }

    /// Gives the free sink what has gathered, and the slot what is durable.
    pub(super) fn go_on(&mut self, core: &mut Core) -> Result<(), Next> {
        self.confirm(core);
        if let Flight::Waiting { batch, until } = &self.flight
            && *until <= core.now.monotonic
        {
            let batch = Arc::clone(batch);
            self.publish(core, batch);
        }
        if matches!(self.flight, Flight::Free) {
            if self.draining {
                return Err(Next::Stop(Stop::Drained));
            }
            if let Some(batch) = self.next_batch(core)? {
                self.publish(core, Arc::new(batch));
            }
        }
        let idle = matches!(self.flight, Flight::Free) && self.is_empty();
        if idle != self.asking {
            self.asking = idle;
            core.act(Action::AskForKeepalive(idle));
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.buffer.is_empty() && !self.buffer.in_transaction()
    }

    fn next_batch(&mut self, core: &Core) -> Result<Option<Batch>, Next> {
        if self.progress.owes_timeline() {
            return Ok(Some(self.progress.timeline_batch(core.now)));
        }
        let limits = &core.settings.batch;
        let now = core.now.monotonic;
        if let Some(taken) = self
            .buffer
            .take(limits, core.settings.buffer_bytes_max, now)
        {
            return Ok(Some(self.progress.batch(taken, core.now)?));
        }
        let may_move = self.is_empty() && self.catch_up.has_passed();
        let owes = may_move && self.progress.owes_idle_checkpoint(self.asked, now);
        Ok(owes.then(|| self.progress.idle_batch(core.now)))
    }

    pub(super) fn publish(&mut self, core: &mut Core, batch: Arc<Batch>) {
        let rows = batch.messages.iter().map(|delivery| &delivery.row);
        self.in_flight_bytes = rows.map(OutboxRow::memory_bytes).sum();
        let ticket = core.ticket();
        core.act(Action::Publish(ticket, Arc::clone(&batch)));
        self.flight = Flight::Publishing { ticket, batch };
    }

    /// Invariant: what is confirmed is durable, and nothing is confirmed before the stream has
    /// passed the frontier and thereby shown that it is the log we know.
    pub(super) fn confirm(&mut self, core: &mut Core) {
        let frontier = self.progress.frontier().lsn;
        if self.catch_up.has_passed() && frontier > self.confirmed {
            self.confirmed = frontier;
            core.act(Action::Confirm(frontier));
        }
    }

    pub(super) fn published(
        &mut self,
        core: &mut Core,
        ticket: Ticket,
        outcome: Outcome,
    ) -> Result<(), Next> {
        let Flight::Publishing {
            ticket: awaited,
            batch,
        } = &self.flight
        else {
            return Ok(());
        };
        if *awaited != ticket {
            return Ok(());
        }
        let batch = Arc::clone(batch);
        match outcome {
            Outcome::Durable => self.durable(core, batch),
            Outcome::Retry { reason } => {
                self.wait(core, batch, "retry", reason);
                Ok(())
            }
            Outcome::Abort { reason } => {
                self.wait(core, batch, "abort", reason);
                Ok(())
            }
            Outcome::Indefinite { reason } => {
                core.report(Notice::Recovering { reason });
                let recovery = Recovery::start(core);
                self.flight = Flight::Recovering { batch, recovery };
                Ok(())
            }
            Outcome::Poison(refusals) => self.isolate(core, &batch, &refusals),
            Outcome::Fenced { reason } => Err(core.fenced(reason)),
            Outcome::Fatal { reason } => Err(Next::Held(Held::Sink(reason))),
        }
    }

    pub(super) fn durable(&mut self, core: &mut Core, batch: Arc<Batch>) -> Result<(), Next> {
        self.progress.durable(&batch, core.now.monotonic)?;
        self.backoff.succeed();
        // Answered only if everything is covered that the server had shown when it asked.
        self.asked &= self.progress.frontier().lsn < self.progress.seen();
        self.shutdown.answered();
        self.flight = Flight::Free;
        self.in_flight_bytes = 0;
        core.report(Notice::Durable { batch });
        match self.halting.take() {
            Some(halted) => {
                self.confirm(core);
                Err(Next::Held(Held::Message(halted)))
            }
            None => Ok(()),
        }
    }

    fn wait(&mut self, core: &mut Core, batch: Arc<Batch>, kind: &'static str, reason: String) {
        let retry_in = self.backoff.fail(&mut core.random);
        self.flight = Flight::Waiting {
            batch,
            until: core.now.monotonic + retry_in,
        };
        core.report(Notice::SinkTrouble {
            kind,
            reason,
            retry_in,
        });
    }

    pub(super) fn deadline(&self, core: &Core) -> Option<Duration> {
        match &self.flight {
            Flight::Publishing { .. } => None,
            Flight::Waiting { until, .. } => Some(*until),
            Flight::Recovering { recovery, .. } => recovery.deadline(),
            Flight::Free if self.is_empty() => self
                .catch_up
                .has_passed()
                .then(|| self.progress.idle_deadline()),
            Flight::Free => self.buffer.cut_at(&core.settings.batch),
        }
    }
}

fn diverged(reason: String) -> Next {
    Next::Stop(Stop::Diverged(reason))
}

impl From<Disorder> for Next {
    fn from(disorder: Disorder) -> Self {
        Self::Stop(Stop::Protocol(disorder.0.to_owned()))
    }
}

impl From<Violation> for Next {
    fn from(violation: Violation) -> Self {
        Self::Stop(Stop::Invariant(violation.0))
    }
}
