use std::sync::Arc;
use std::time::Duration;

use super::backoff::Backoff;
use super::careful::Careful;
use super::core::{Core, Next};
use super::halving::Rest;
use super::intake::Intake;
use super::progress::{Progress, Violation};
use super::publishing::Flight;
use super::replay::Handling;
use super::server_shutdown::ServerShutdown;
use super::stuck::{Round, Stuck};
use super::{Action, Event, HaltedMessage, Phase, Status, Stop, Ticket};
use crate::sink::Batch;
use crate::{Lsn, Timestamp};

/// What makes the slot and the writes in PostgreSQL ours.
///
/// What is written under it is written only by the server that serves our replication connection,
/// and only while that has the slot: a server that was put back, or took another's place, or gave
/// the slot to another relay, refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The process on the server that serves our replication connection, and so has the slot.
    pub walsender_pid: i32,
    /// The relay's epoch in `outbox.relay`.
    pub epoch: u64,
}

/// The slot and the right to publish are ours.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) claim: Claim,
    pub(super) progress: Progress,
    pub(super) intake: Intake,
    pub(super) stuck: Stuck,
    pub(super) careful: Careful,
    pub(super) flight: Flight,
    pub(super) rest: Rest,
    /// What an operator asked for, while it is carried out.
    pub(super) handling: Option<Handling>,
    pub(super) backoff: Backoff,
    pub(super) shutdown: ServerShutdown,
    /// What the slot was last told.
    confirmed: Lsn,
    /// The server wants to hear that we are idle.
    pub(super) reply_wanted: bool,
    /// We want to hear of the server though nothing happens.
    wants_keepalives: bool,
    /// A question about the server's health, after the connection for SQL was lost, or about the
    /// publication.
    pub(super) health: Option<Ticket>,
    /// What the batch in flight holds in memory: it counts against the buffer's limit.
    pub(super) in_flight_bytes: usize,
    pub(super) draining: bool,
    /// What halts the relay once everything before it is durable.
    pub(super) halting: Option<HaltedMessage>,
}

impl Active {
    pub(super) fn new(
        core: &Core,
        claim: Claim,
        progress: Progress,
        intake: Intake,
        stuck: Stuck,
        careful: Careful,
        confirmed_flush: Lsn,
    ) -> Self {
        Self {
            claim,
            progress,
            intake,
            stuck,
            careful,
            flight: Flight::Free,
            rest: Rest::default(),
            handling: None,
            backoff: Backoff::new(core.settings.retry),
            shutdown: ServerShutdown::default(),
            confirmed: confirmed_flush,
            reply_wanted: false,
            wants_keepalives: false,
            health: None,
            in_flight_bytes: 0,
            draining: false,
            halting: None,
        }
    }

    pub(super) fn handle(&mut self, core: &mut Core, event: Event) -> Result<(), Next> {
        match event {
            Event::Drain => self.draining = true,
            Event::Stream(events) => {
                for event in events {
                    self.stream(core, event)?;
                }
            }
            Event::StreamEnded(failure) => return Err(core.source_lost(failure)),
            // Lost again while a question is open: its answer may be older than the loss.
            Event::ControlLost => self.ask_for_health(core),
            Event::PublicationSeen(seen) => self.publication_seen(core, seen.as_deref()),
            Event::Inspected(ticket, result) => self.inspected(core, ticket, result)?,
            Event::Acquired(ticket, result) => self.acquired(core, ticket, result)?,
            Event::Published(ticket, outcome) => self.published(core, ticket, outcome)?,
            Event::Parked(ticket, result) => self.parked(core, ticket, result)?,
            Event::TryNoted(ticket, result) => self.try_noted(core, ticket, result)?,
            Event::RequestTaken(ticket, result) => self.request_taken(core, ticket, result)?,
            Event::WasPutBack(ticket, result) => self.was_put_back(core, ticket, result)?,
            Event::RequestFinished(ticket, result) => {
                self.request_finished(core, ticket, result)?;
            }
            _ => {}
        }
        self.recover_when_due(core);
        self.ask_when_due(core)?;
        self.survived_when_due(core);
        self.go_on(core)
    }

    fn ask_for_health(&mut self, core: &mut Core) {
        let ticket = core.ticket();
        core.act(Action::Inspect(ticket));
        self.health = Some(ticket);
    }

    /// Whether it was altered is decided by an inspection: that shows the slot, too, and with it that
    /// the server is the one that serves our stream.
    fn publication_seen(&mut self, core: &mut Core, seen: Option<&str>) {
        if seen != Some(self.progress.publication_fingerprint()) && self.health.is_none() {
            self.ask_for_health(core);
        }
    }

    pub(super) fn status(&self) -> Status {
        let phase = match self.flight {
            _ if self.draining => Phase::Draining,
            Flight::Recovering { .. } => Phase::Recovering,
            _ => Phase::Active,
        };
        let batch = self.flight.batch();
        let (blocked_keys, destinations_gone) = self.stuck.counts();
        Status {
            phase,
            frontier: Some(self.progress.frontier()),
            confirmed: Some(self.confirmed),
            sequence: Some(self.progress.sequence()),
            seen: Some(self.progress.seen()),
            cluster: Some(self.progress.cluster()),
            buffer_bytes: self.intake.buffer.bytes(),
            in_flight: batch.map_or(0, |batch| batch.messages.len()),
            oldest_commit_time: self.oldest_commit_time(),
            blocked_keys,
            destinations_gone,
            unclean_ends: self.careful.unclean(),
            careful_messages: self.careful.left(),
        }
    }

    /// When the oldest of what is not done committed.
    fn oldest_commit_time(&self) -> Option<Timestamp> {
        let in_flight = self.flight.batch().and_then(|batch| batch.messages.first());
        let aside = match &self.flight {
            Flight::Asking { question, .. } => question.aside().next(),
            _ => None,
        };
        let request = self.handling.as_ref();
        [in_flight, aside, self.rest.first()]
            .into_iter()
            .flatten()
            .map(|delivery| delivery.commit_time)
            .chain(request.map(|handling| handling.request().commit_time))
            .chain(self.intake.buffer.oldest_commit_time())
            .min()
    }

    pub(super) fn has_room(&self, buffer_bytes_max: usize) -> bool {
        let held = self.intake.buffer.bytes() + self.in_flight_bytes + self.rest.bytes();
        !self.draining && held < buffer_bytes_max
    }

    /// Gives the free sink what has gathered, and the slot what is durable.
    pub(super) fn go_on(&mut self, core: &mut Core) -> Result<(), Next> {
        self.confirm(core);
        if let Flight::Waiting {
            batch,
            until,
            since,
        } = &self.flight
            && *until <= core.now.monotonic
        {
            let (batch, since) = (Arc::clone(batch), *since);
            self.attempt(core, batch, since)?;
        }
        if matches!(self.flight, Flight::Free) {
            if self.draining {
                return Err(Next::Stop(Stop::Drained));
            }
            if self.rest.is_empty() {
                self.go_on_with_request(core)?;
            }
        }
        if matches!(self.flight, Flight::Free)
            && let Some((batch, round)) = self.next_batch(core)?
        {
            self.send(core, batch, &[], round)?;
        }
        let idle = matches!(self.flight, Flight::Free) && self.is_empty();
        if idle != self.wants_keepalives {
            self.wants_keepalives = idle;
            core.act(Action::AskForKeepalive(idle));
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        let waits =
            !self.rest.is_empty() || !self.intake.buffer.is_empty() || self.handling.is_some();
        !waits && !self.intake.buffer.in_transaction()
    }

    /// Until when the free sink waits for a fuller batch.
    fn lingers_until(&self, core: &Core) -> Option<Duration> {
        let settings = &core.settings;
        let is_worth_it = self.intake.buffer.is_worth_waiting(
            &self.careful.limits(settings.batch),
            settings.buffer_bytes_max,
        );
        let until = self.intake.linger.until(core.now.monotonic);
        until.filter(|_| is_worth_it)
    }

    fn next_batch(&mut self, core: &mut Core) -> Result<Option<(Batch, Round)>, Next> {
        if self.progress.owes_timeline() || self.careful.owes_checkpoint() {
            let batch = self.progress.empty_batch(core.now);
            return Ok(Some((batch, Round::First)));
        }
        if let Some(rest) = self.rest.pop() {
            let batch = self.progress.renewed(rest, core.now)?;
            return Ok(Some((batch, Round::Again)));
        }
        if self.lingers_until(core).is_some() {
            return Ok(None);
        }
        let limits = self.careful.limits(core.settings.batch);
        let now = core.now.monotonic;
        if let Some(taken) = self
            .intake
            .buffer
            .take(&limits, core.settings.buffer_bytes_max, now)
        {
            self.intake.linger.end();
            let batch = self.progress.batch(taken, core.now)?;
            return Ok(Some((batch, Round::First)));
        }
        if let Some(request) = self.intake.buffer.take_request() {
            self.begin_request(core, request)?;
            return Ok(None);
        }
        let may_move = self.is_empty() && self.intake.catch_up.has_passed();
        let owes = may_move && self.progress.owes_idle_checkpoint(self.reply_wanted, now);
        Ok(owes.then(|| (self.progress.idle_batch(core.now), Round::First)))
    }

    /// Invariant: what is confirmed is durable, and nothing is confirmed before the stream has
    /// passed the frontier and thereby shown that it is the log we know.
    pub(super) fn confirm(&mut self, core: &mut Core) {
        let frontier = self.progress.frontier().lsn;
        if self.intake.catch_up.has_passed() && frontier > self.confirmed {
            self.confirmed = frontier;
            core.act(Action::Confirm(frontier));
        }
    }

    pub(super) fn deadline(&self, core: &Core) -> Option<Duration> {
        match &self.flight {
            Flight::Publishing { .. } => self.careful.deadline(),
            Flight::Waiting { until, .. } => Some(*until),
            Flight::Recovering { recovery, .. } => recovery.deadline(),
            Flight::Asking { asking, .. } => asking.deadline(),
            Flight::Free if self.is_empty() => self
                .intake
                .catch_up
                .has_passed()
                .then(|| self.progress.idle_deadline()),
            Flight::Free => self
                .lingers_until(core)
                .or_else(|| self.intake.buffer.cut_at(&core.settings.batch)),
        }
    }
}

impl From<Violation> for Next {
    fn from(violation: Violation) -> Self {
        Self::Stop(Stop::Invariant(violation.0))
    }
}
