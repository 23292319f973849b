use std::time::Duration;

use super::compare::publication_missing;
use super::core::{Core, Next};
use super::settings::{HOLDER_SILENCE_MAX, STANDBY_INTERVAL};
use super::{Action, Event, FailureKind, Holder, Inspection, Notice, SourceFailure, Stop, Ticket};

/// Not active: looking at the slot now and then.
#[derive(Debug)]
pub(super) struct Standby {
    look_at: Duration,
    asked: Option<Ticket>,
    watched: Option<Watched>,
    reason: Option<String>,
}

/// The holder of the slot, and since when it has not been heard of, by our own clock.
#[derive(Debug)]
struct Watched {
    holder: Holder,
    since: Duration,
}

impl Standby {
    pub(super) const fn starting_at(look_at: Duration) -> Self {
        Self {
            look_at,
            asked: None,
            watched: None,
            reason: None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.asked.is_none().then_some(self.look_at)
    }

    pub(super) fn handle(&mut self, core: &mut Core, event: Event) -> Result<(), Next> {
        match event {
            Event::Drain => return Err(Next::Stop(Stop::Drained)),
            Event::Inspected(ticket, result) if self.asked == Some(ticket) => {
                self.asked = None;
                self.inspected(core, result)?;
            }
            _ => {}
        }
        if self.asked.is_none() && self.look_at <= core.now.monotonic {
            let ticket = core.ticket();
            core.act(Action::Inspect(ticket));
            self.asked = Some(ticket);
        }
        Ok(())
    }

    fn inspected(
        &mut self,
        core: &mut Core,
        result: Result<Inspection, SourceFailure>,
    ) -> Result<(), Next> {
        let inspection = match result {
            Ok(inspection) => inspection,
            Err(failure)
                if core.ever_inspected && failure.kind == FailureKind::AuthenticationRefused =>
            {
                return Err(core.retry_inspection(failure));
            }
            Err(failure) => return Err(core.inspection_failed(failure)),
        };
        core.ever_inspected = true;
        core.inspection_backoff.succeed();
        if inspection.in_recovery {
            self.stand_by(core, "the server is a standby".to_owned());
            return Ok(());
        }
        match require_set_up(&inspection)? {
            Some(holder) => {
                self.watch(core, holder);
                self.stand_by(
                    core,
                    format!("the slot is held by walsender {}", holder.pid),
                );
                Ok(())
            }
            None => Err(Next::Activate),
        }
    }

    fn stand_by(&mut self, core: &mut Core, reason: String) {
        self.look_at = core.now.monotonic + core.jitter(STANDBY_INTERVAL);
        if self.reason.as_ref() != Some(&reason) {
            core.report(Notice::StandingBy {
                reason: reason.clone(),
            });
            self.reason = Some(reason);
        }
    }

    /// Ends a holder whose client has not been heard of for too long. What counts is that its
    /// reply time stands still while our own clock runs: clocks of two machines are not compared.
    fn watch(&mut self, core: &mut Core, holder: Holder) {
        let now = core.now.monotonic;
        match &self.watched {
            Some(watched) if watched.holder == holder => {
                let silent = now.saturating_sub(watched.since) >= HOLDER_SILENCE_MAX;
                if silent && holder.reply_time.is_some() && holder.backend_start.is_some() {
                    core.report(Notice::TerminatingHolder { pid: holder.pid });
                    let ticket = core.ticket();
                    core.act(Action::TerminateHolder(ticket, holder));
                    self.watched = None;
                }
            }
            _ => self.watched = Some(Watched { holder, since: now }),
        }
    }
}

/// Whether everything `init` made is there; then who holds the slot.
pub(super) fn require_set_up(inspection: &Inspection) -> Result<Option<Holder>, Next> {
    let stop = |stop| Err(Next::Stop(stop));
    let Some(relay) = &inspection.relay else {
        return stop(Stop::NotInitialised(
            "outbox.relay has no row of its name".to_owned(),
        ));
    };
    if let Some((exit_code, reason)) = relay.held.clone() {
        return stop(Stop::HeldEarlier { exit_code, reason });
    }
    if !relay.genesis_written {
        return stop(Stop::NotInitialised(
            "`init` did not come to its end".to_owned(),
        ));
    }
    let Some(slot) = &inspection.slot else {
        return stop(Stop::SlotMissing);
    };
    if let Some(fault) = slot.fault.clone() {
        return stop(Stop::SlotLost(fault));
    }
    if inspection.publication_fingerprint.is_none() {
        return stop(publication_missing());
    }
    if let Some(fault) = inspection.publication_fault.clone() {
        return stop(Stop::PublicationDiffers(fault));
    }
    Ok(slot.holder)
}
