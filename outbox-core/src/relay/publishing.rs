use std::sync::Arc;
use std::time::Duration;

use super::active::Active;
use super::asking::{Asking, Question};
use super::core::{Core, Next};
use super::recovery::Recovery;
use super::{Action, Notice, Stop, Ticket};
use crate::OutboxRow;
use crate::sink::{Batch, Outcome};

/// What the sink is doing. One batch at a time; the next fills meanwhile.
#[derive(Debug)]
pub(super) enum Flight {
    Free,
    Publishing {
        ticket: Ticket,
        batch: Arc<Batch>,
        /// When this attempt at it began.
        since: Duration,
    },
    /// The same batch goes out again then.
    Waiting {
        batch: Arc<Batch>,
        until: Duration,
        /// When the attempt began that the sink goes on with; `None` where it begins anew.
        since: Option<Duration>,
    },
    /// The database is asked first.
    Asking {
        question: Question,
        asking: Asking,
    },
    /// Nobody knows what became of it.
    Recovering {
        batch: Arc<Batch>,
        recovery: Recovery,
        /// The attempt took longer than the broker allows.
        outlived: bool,
    },
}

impl Flight {
    pub(super) fn batch(&self) -> Option<&Batch> {
        match self {
            Self::Free => None,
            Self::Asking { question, .. } => question.batch().map(Arc::as_ref),
            Self::Publishing { batch, .. }
            | Self::Waiting { batch, .. }
            | Self::Recovering { batch, .. } => Some(batch),
        }
    }
}

/// A batch on its way, from the request to what became of it.
impl Active {
    pub(super) fn publish(&mut self, core: &mut Core, batch: Arc<Batch>) -> Result<(), Next> {
        self.attempt(core, batch, None)
    }

    /// Asks the sink to begin with a batch, or to go on with the attempt that began `since` then.
    pub(super) fn hand_over(
        &mut self,
        core: &mut Core,
        batch: Arc<Batch>,
        since: Option<Duration>,
    ) {
        let rows = batch.messages.iter().map(|delivery| &delivery.row);
        self.in_flight_bytes = rows.map(OutboxRow::memory_bytes).sum();
        let ticket = core.ticket();
        core.act(Action::Publish(ticket, Arc::clone(&batch)));
        self.flight = Flight::Publishing {
            ticket,
            batch,
            since: since.unwrap_or(core.now.monotonic),
        };
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
            since,
        } = &self.flight
        else {
            return Ok(());
        };
        if *awaited != ticket {
            return Ok(());
        }
        let (batch, since) = (Arc::clone(batch), *since);
        if outcome != Outcome::Durable {
            self.survived(core);
        }
        match outcome {
            Outcome::Durable => self.durable(core, batch),
            Outcome::Retry { reason } => {
                self.wait(core, batch, Some(since), "retry", reason);
                Ok(())
            }
            Outcome::Ongoing { progress } => {
                core.report(Notice::SinkAtWork { progress });
                self.attempt(core, batch, Some(since))
            }
            Outcome::Abort { reason } => {
                self.wait(core, batch, None, "abort", reason);
                Ok(())
            }
            Outcome::Indefinite { reason } => {
                core.report(Notice::Recovering { reason });
                let recovery = Recovery::start(core);
                let took = core.now.monotonic.saturating_sub(since);
                self.flight = Flight::Recovering {
                    batch,
                    recovery,
                    outlived: took >= core.settings.attempt_max,
                };
                Ok(())
            }
            Outcome::Poison(refusals) => self.isolate(core, batch, &refusals),
            Outcome::Fenced { reason } => Err(core.fenced(reason)),
            Outcome::Diverged { reason } => Err(Next::Stop(Stop::Diverged(reason))),
            Outcome::Fatal { reason } => Err(core.sink_refused(reason)),
        }
    }

    pub(super) fn durable(&mut self, core: &mut Core, batch: Arc<Batch>) -> Result<(), Next> {
        self.progress.durable(&batch, core.now.monotonic)?;
        self.stuck.covered(self.progress.frontier());
        for destination in self.stuck.published(&batch.messages) {
            core.report(Notice::DestinationBack { destination });
        }
        self.backoff.succeed();
        core.sink_backoff.succeed();
        core.source_backoff.succeed();
        // Answered only if everything is covered that the server had shown when it asked.
        self.reply_wanted &= self.progress.frontier().lsn < self.progress.seen();
        self.shutdown.answered();
        self.flight = Flight::Free;
        self.in_flight_bytes = 0;
        self.passed(core, batch.messages.len());
        core.report(Notice::Durable { batch });
        match self.halting.take_if(|_| self.rest.is_empty()) {
            Some(halted) => {
                self.confirm(core);
                Err(Next::Held(halted))
            }
            None => Ok(()),
        }
    }

    pub(super) fn wait(
        &mut self,
        core: &mut Core,
        batch: Arc<Batch>,
        since: Option<Duration>,
        kind: &'static str,
        reason: String,
    ) {
        let retry_in = self.backoff.fail(&mut core.random);
        self.flight = Flight::Waiting {
            batch,
            until: core.now.monotonic + retry_in,
            since,
        };
        core.report(Notice::SinkTrouble {
            kind,
            reason,
            retry_in,
        });
    }
}
