use std::sync::Arc;
use std::time::Duration;

use super::active::Active;
use super::compare::same_publication;
use super::core::{Core, Next};
use super::publishing::Flight;
use super::{Action, FailureKind, Inspection, Notice, SourceFailure, Stop, Ticket};
use crate::checkpoint::Checkpoint;
use crate::sink::AcquireError;

/// Finding out what became of a batch: is the slot still ours, then ask the checkpoint, then the slot
/// once more.
///
/// The slot comes first. A process that was frozen while another took over must not fence it. And it
/// comes last: frozen in between, we may have fenced who has set messages of ours aside meanwhile.
#[derive(Debug)]
pub(super) enum Recovery {
    Inspecting(Ticket),
    Acquiring(Ticket),
    InspectingAgain(Ticket, Box<Checkpoint>),
    Waiting { until: Duration },
}

impl Recovery {
    pub(super) fn start(core: &mut Core) -> Self {
        let ticket = core.ticket();
        core.act(Action::Inspect(ticket));
        Self::Inspecting(ticket)
    }

    pub(super) const fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Waiting { until } => Some(*until),
            Self::Inspecting(_) | Self::Acquiring(_) | Self::InspectingAgain(..) => None,
        }
    }
}

impl Active {
    fn recovery(&mut self) -> Option<&mut Recovery> {
        match &mut self.flight {
            Flight::Recovering { recovery, .. } => Some(recovery),
            _ => None,
        }
    }

    /// Looks again at the slot once the delay after a failed attempt is over.
    pub(super) fn recover_when_due(&mut self, core: &mut Core) {
        let now = core.now.monotonic;
        if let Some(recovery) = self.recovery()
            && matches!(recovery, Recovery::Waiting { until } if *until <= now)
        {
            *recovery = Recovery::start(core);
        }
    }

    pub(super) fn inspected(
        &mut self,
        core: &mut Core,
        ticket: Ticket,
        result: Result<Inspection, SourceFailure>,
    ) -> Result<(), Next> {
        let for_recovery =
            matches!(self.recovery(), Some(Recovery::Inspecting(awaited)) if *awaited == ticket);
        let found = match self.recovery() {
            Some(Recovery::InspectingAgain(awaited, found)) if *awaited == ticket => {
                Some(Checkpoint::clone(found))
            }
            _ => None,
        };
        let for_health = self.health == Some(ticket);
        if for_health {
            self.health = None;
        }
        if !for_recovery && !for_health && found.is_none() {
            return Ok(());
        }
        let inspection = result.map_err(|failure| match failure.kind {
            FailureKind::ServerShutdown => core.server_stops(&failure.message),
            _ => core.source_lost(failure),
        })?;
        self.require_slot(core, &inspection)?;
        same_publication(&inspection, self.progress.publication_fingerprint())?;
        if for_recovery {
            let ticket = core.ticket();
            core.act(Action::Acquire(ticket, self.claim.epoch));
            if let Some(recovery) = self.recovery() {
                *recovery = Recovery::Acquiring(ticket);
            }
        }
        found.map_or(Ok(()), |found| self.found(core, &found))
    }

    fn require_slot(&self, core: &mut Core, inspection: &Inspection) -> Result<(), Next> {
        let holder = inspection.slot.as_ref().and_then(|slot| slot.holder);
        if holder.is_some_and(|holder| holder.pid == self.claim.walsender_pid) {
            return Ok(());
        }
        core.act(Action::ReconnectSql);
        Err(core.source_lost(SourceFailure {
            kind: FailureKind::Unreachable,
            message: "the slot is no longer held by our replication connection".to_owned(),
        }))
    }

    pub(super) fn acquired(
        &mut self,
        core: &mut Core,
        ticket: Ticket,
        result: Result<Option<Checkpoint>, AcquireError>,
    ) -> Result<(), Next> {
        let Flight::Recovering { recovery, .. } = &mut self.flight else {
            return Ok(());
        };
        if !matches!(recovery, Recovery::Acquiring(awaited) if *awaited == ticket) {
            return Ok(());
        }
        let found = match result {
            Ok(Some(found)) => found,
            Ok(None) => return Err(Next::Stop(checkpoint_gone())),
            Err(AcquireError::Unavailable(reason)) => {
                let retry_in = self.backoff.fail(&mut core.random);
                *recovery = Recovery::Waiting {
                    until: core.now.monotonic + retry_in,
                };
                core.report(Notice::SinkTrouble {
                    kind: "unavailable",
                    reason,
                    retry_in,
                });
                return Ok(());
            }
            Err(error) => return Err(core.acquire_failed(error)),
        };
        let ticket = core.ticket();
        core.act(Action::Inspect(ticket));
        *recovery = Recovery::InspectingAgain(ticket, Box::new(found));
        Ok(())
    }

    /// The checkpoint has the last word: at the batch's end it is durable, at its start it is not.
    /// Anything else was written by somebody else.
    fn found(&mut self, core: &mut Core, found: &Checkpoint) -> Result<(), Next> {
        let Flight::Recovering {
            batch, outlived, ..
        } = &self.flight
        else {
            return Ok(());
        };
        let (batch, outlived) = (Arc::clone(batch), *outlived);
        let written = &batch.checkpoint;
        if found == written {
            core.report(Notice::Recovered { durable: true });
            return self.durable(core, batch);
        }
        let at_start =
            found.sequence == self.progress.sequence() && found.sequence < written.sequence;
        if at_start {
            core.report(Notice::Recovered { durable: false });
            return self.send_again(core, batch, outlived);
        }
        Err(core.fenced(format!(
            "the checkpoint is number {} at {}, ours was number {} at {}",
            found.sequence, found.frontier, written.sequence, written.frontier
        )))
    }
}

pub(super) fn checkpoint_gone() -> Stop {
    Stop::CheckpointMissing("the broker holds none for this relay though `init` wrote one".into())
}
