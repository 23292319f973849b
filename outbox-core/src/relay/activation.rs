mod proving;

use std::time::Duration;

use super::active::Claim;
use super::backoff::Backoff;
use super::catch_up::CatchUp;
use super::compare::{compare, same_cluster};
use super::compared::Compared;
use super::core::{Core, Next};
use super::intake::Intake;
use super::progress::Progress;
use super::recovery::checkpoint_gone;
use super::standby::require_set_up;
use super::{Action, Event, FailureKind, Identity, Inspection, Notice, Phantoms, Stop, Ticket};
use crate::checkpoint::Checkpoint;
use crate::sink::AcquireError;

/// Becoming active, step by step; the order keeps a healthy relay of the same name unharmed.
///
/// 1. Identify the server and read the checkpoint; compare cluster and timeline.
/// 2. Start the copy: the slot is the lock. Then read the slot again: only these values count.
/// 3. Compare, and read the stream up to the checkpoint: a copy of the database has a slot of its own,
///    and whoever it was copied from is not to be disturbed by it.
/// 4. Where the stream had to be read, read the slot once more: that may have taken long. Claim the
///    epoch, the fence for what we write in PostgreSQL, where the slot is still ours.
/// 5. Acquire the sink: fences whoever published before, and yields the checkpoint that counts. Is it
///    a newer one than the stream was compared with, everything begins again.
/// 6. Read the slot once more, which must still be ours, and compare everything.
/// 7. Read what was set aside before; the database must know of all that the checkpoint counts.
#[derive(Debug)]
pub(super) struct Activation {
    step: Step,
    identity: Option<Identity>,
    /// What the stream is compared with before the sink is acquired.
    peeked: Option<Checkpoint>,
    /// What the stream has brought meanwhile.
    intake: Option<Intake>,
    epoch: Option<u64>,
    compared: Option<Compared>,
    backoff: Backoff,
}

#[derive(Debug)]
enum Step {
    Connecting(Ticket),
    Peeking(Ticket),
    PeekingAgain { at: Duration },
    Starting(Ticket),
    Inspecting(Ticket),
    Proving,
    Claiming(Ticket),
    Acquiring(Ticket),
    Comparing(Ticket, Box<Checkpoint>),
    LoadingParked(Ticket),
    AcquiringAgain { at: Duration },
    ListingPhantoms(Ticket, Box<Phantoms>),
}

impl Activation {
    pub(super) fn start(core: &mut Core) -> Self {
        core.report(Notice::Activating);
        let ticket = core.ticket();
        core.act(Action::Connect(ticket));
        Self {
            step: Step::Connecting(ticket),
            identity: None,
            peeked: None,
            intake: None,
            epoch: None,
            compared: None,
            backoff: Backoff::new(core.settings.retry),
        }
    }

    /// What the database was told that this process holds the relay under, if it was.
    pub(super) fn claim(&self) -> Option<Claim> {
        self.compared.as_ref().map(|compared| compared.claim)
    }

    pub(super) const fn deadline(&self) -> Option<Duration> {
        match self.step {
            Step::PeekingAgain { at } | Step::AcquiringAgain { at } => Some(at),
            _ => None,
        }
    }

    /// Whether more of the stream may be handed in: as long as the log is to prove itself.
    pub(super) const fn has_room(&self) -> bool {
        matches!(self.step, Step::Proving)
    }

    pub(super) fn handle(&mut self, core: &mut Core, event: Event) -> Result<(), Next> {
        let is_listing = matches!(self.step, Step::ListingPhantoms(..));
        match self.advance(core, event) {
            Err(Next::Stop(Stop::Phantoms(phantoms))) if !is_listing => {
                let ticket = core.ticket();
                core.act(Action::ListPhantoms(ticket, phantoms.clone()));
                self.step = Step::ListingPhantoms(ticket, phantoms);
                Ok(())
            }
            step => step,
        }
    }

    fn advance(&mut self, core: &mut Core, event: Event) -> Result<(), Next> {
        match (event, &self.step) {
            (Event::Drain, _) => return Err(Next::Stop(Stop::Drained)),
            (Event::StreamEnded(failure), _) => return Err(core.source_lost(failure)),
            // What was handed in with the event that proved the log belongs to us, too.
            (Event::Stream(events), _) => self.stream(core, events)?,
            // Once the copy has started the server waits for us before it goes down; an answer
            // that was under way may still say that all is well.
            (
                Event::ControlLost,
                Step::Inspecting(_)
                | Step::Proving
                | Step::Claiming(_)
                | Step::Acquiring(_)
                | Step::AcquiringAgain { .. }
                | Step::Comparing(..)
                | Step::LoadingParked(_)
                | Step::ListingPhantoms(..),
            ) => {
                return Err(core.server_stops("the connection for SQL was lost"));
            }
            (Event::Connected(ticket, result), Step::Connecting(awaited)) if ticket == *awaited => {
                self.identity = Some(result.map_err(|failure| core.source_lost(failure))?);
                self.peek(core);
            }
            (Event::Peeked(ticket, result), Step::Peeking(awaited)) if ticket == *awaited => {
                self.peeked(core, result)?;
            }
            (Event::Streaming(ticket, result), Step::Starting(awaited)) if ticket == *awaited => {
                result.map_err(|failure| match failure.kind {
                    FailureKind::SlotBusy => core.beaten(failure.message),
                    _ => core.source_lost(failure),
                })?;
                self.inspect(core);
            }
            (Event::Inspected(ticket, result), Step::Inspecting(awaited)) if ticket == *awaited => {
                let inspection = result.map_err(|failure| core.source_lost(failure))?;
                self.inspected(core, &inspection)?;
            }
            (Event::Inspected(ticket, result), Step::Comparing(awaited, checkpoint))
                if ticket == *awaited =>
            {
                let inspection = result.map_err(|failure| core.source_lost(failure))?;
                let checkpoint = Checkpoint::clone(checkpoint);
                self.compared(core, &inspection, checkpoint)?;
            }
            (Event::ParkedLoaded(ticket, result), Step::LoadingParked(awaited))
                if ticket == *awaited =>
            {
                let earlier = result.map_err(|failure| core.source_lost(failure))?;
                if let Some(compared) = self.compared.take() {
                    return Err(compared.become_active(core, earlier));
                }
            }
            (Event::PhantomsListed(ticket, list), Step::ListingPhantoms(awaited, phantoms))
                if ticket == *awaited =>
            {
                let phantoms = Phantoms::clone(phantoms);
                return Err(Next::Stop(Stop::Phantoms(Box::new(Phantoms {
                    list,
                    ..phantoms
                }))));
            }
            (Event::EpochClaimed(ticket, result), Step::Claiming(awaited))
                if ticket == *awaited =>
            {
                let epoch = result.map_err(|failure| match failure.kind {
                    FailureKind::ClaimSuperseded => core.beaten(failure.message),
                    _ => core.source_lost(failure),
                })?;
                self.epoch = Some(epoch);
                self.acquire(core, epoch);
            }
            (Event::Acquired(ticket, result), Step::Acquiring(awaited)) if ticket == *awaited => {
                self.acquired(core, result)?;
            }
            _ => {}
        }
        match self.step {
            Step::PeekingAgain { at } if at <= core.now.monotonic => self.peek(core),
            // Whoever was frozen meanwhile must not fence who has taken over: the slot first.
            Step::AcquiringAgain { at } if at <= core.now.monotonic => self.inspect(core),
            _ => {}
        }
        Ok(())
    }

    fn peek(&mut self, core: &mut Core) {
        let ticket = core.ticket();
        core.act(Action::PeekCheckpoint(ticket));
        self.step = Step::Peeking(ticket);
    }

    fn inspect(&mut self, core: &mut Core) {
        let ticket = core.ticket();
        core.act(Action::Inspect(ticket));
        self.step = Step::Inspecting(ticket);
    }

    fn acquire(&mut self, core: &mut Core, epoch: u64) {
        let ticket = core.ticket();
        core.act(Action::Acquire(ticket, epoch));
        self.step = Step::Acquiring(ticket);
    }

    fn require_slot(&self, core: &mut Core, inspection: &Inspection) -> Result<(), Next> {
        let holder = require_set_up(inspection)?;
        let ours = self
            .identity
            .as_ref()
            .map(|identity| identity.walsender_pid);
        if holder.map(|holder| holder.pid) == ours {
            Ok(())
        } else {
            // Another has it, or SQL is asked of another server than the one that serves our stream.
            core.act(Action::ReconnectSql);
            Err(core.beaten("the slot is not held by our connection".to_owned()))
        }
    }

    fn peeked(
        &mut self,
        core: &mut Core,
        result: Result<Option<Checkpoint>, AcquireError>,
    ) -> Result<(), Next> {
        match result {
            Ok(found) => {
                let checkpoint = found.ok_or_else(|| Next::Stop(checkpoint_gone()))?;
                if let Some(identity) = &self.identity {
                    same_cluster(identity, &checkpoint)?;
                }
                let acquired = core.acquired.take();
                let newer = acquired.filter(|known| known.sequence > checkpoint.sequence);
                self.peeked = Some(newer.unwrap_or(checkpoint));
                let ticket = core.ticket();
                core.act(Action::StartReplication(ticket));
                self.step = Step::Starting(ticket);
                Ok(())
            }
            Err(AcquireError::Unavailable(reason)) => {
                self.step = Step::PeekingAgain {
                    at: self.retry_at(core, reason),
                };
                Ok(())
            }
            Err(error) => Err(core.acquire_failed(error)),
        }
    }

    fn inspected(&mut self, core: &mut Core, inspection: &Inspection) -> Result<(), Next> {
        self.require_slot(core, inspection)?;
        if let Some(epoch) = self.epoch {
            // The slot has been ours since it was claimed, so nobody has claimed another.
            self.acquire(core, epoch);
            return Ok(());
        }
        if self.intake.is_some() {
            // The log has proven itself, and the slot is ours still.
            self.claim_epoch(core);
            return Ok(());
        }
        self.prove(core, inspection)
    }

    fn claim_epoch(&mut self, core: &mut Core) {
        let Some(identity) = &self.identity else {
            return;
        };
        let ticket = core.ticket();
        core.act(Action::ClaimEpoch(ticket, identity.walsender_pid));
        self.step = Step::Claiming(ticket);
    }

    fn acquired(
        &mut self,
        core: &mut Core,
        result: Result<Option<Checkpoint>, AcquireError>,
    ) -> Result<(), Next> {
        match result {
            Ok(found) => {
                let checkpoint = found.ok_or_else(|| Next::Stop(checkpoint_gone()))?;
                let ticket = core.ticket();
                core.act(Action::Inspect(ticket));
                self.step = Step::Comparing(ticket, Box::new(checkpoint));
                Ok(())
            }
            Err(AcquireError::Unavailable(reason)) => {
                self.step = Step::AcquiringAgain {
                    at: self.retry_at(core, reason),
                };
                Ok(())
            }
            Err(error) => Err(core.acquire_failed(error)),
        }
    }

    /// What was read of the server before the checkpoint proves nothing against it: we may have
    /// been frozen in between, the slot another's, and the log longer by now.
    fn compared(
        &mut self,
        core: &mut Core,
        inspection: &Inspection,
        checkpoint: Checkpoint,
    ) -> Result<(), Next> {
        self.require_slot(core, inspection)?;
        let known = self.identity.take().zip(self.epoch);
        let Some(((identity, epoch), slot)) = known.zip(inspection.slot.as_ref()) else {
            return Err(Next::Stop(Stop::Invariant(
                "the sink was acquired before the server was known".to_owned(),
            )));
        };
        let resume = compare(&identity, inspection, slot, &checkpoint)?;
        let intake = match self.intake.take() {
            Some(intake) if self.peeked.as_ref() == Some(&checkpoint) => intake,
            // The stream was compared with an older one, and cannot be read a second time.
            Some(intake) if intake.has_begun() => {
                core.acquired = Some(checkpoint);
                return Err(Next::Activate);
            }
            _ => {
                let catch_up = CatchUp::new(resume.frontier, resume.last, slot.confirmed_flush);
                Intake::new(catch_up)
            }
        };
        let claim = Claim {
            walsender_pid: identity.walsender_pid,
            epoch,
        };
        let progress = Progress::new(identity, checkpoint, resume, core.now.monotonic);
        let ticket = core.ticket();
        core.act(Action::LoadParked {
            ticket,
            claim,
            system_id: progress.cluster().0,
            frontier: progress.frontier(),
            stuck_writes: progress.stuck_writes(),
            sequence: progress.sequence(),
        });
        self.compared = Some(Compared {
            claim,
            progress,
            intake,
            confirmed_flush: slot.confirmed_flush,
        });
        self.step = Step::LoadingParked(ticket);
        Ok(())
    }

    fn retry_at(&mut self, core: &mut Core, reason: String) -> Duration {
        let retry_in = self.backoff.fail(&mut core.random);
        core.report(Notice::SinkTrouble {
            kind: "unavailable",
            reason,
            retry_in,
        });
        core.now.monotonic + retry_in
    }
}

impl From<Stop> for Next {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}
