use std::sync::Arc;

use super::active::Active;
use super::asking::Question;
use super::core::{Core, Next};
use super::gone::NewlyGone;
use super::parked_message::ParkedMessage;
use super::publishing::Flight;
use super::stuck::{Round, Sorted, Unsortable};
use super::{Action, FailureKind, HaltedMessage, Notice, SourceFailure, Stop, Ticket};
use crate::sink::{Batch, Delivery, Refusal, RefusalReason};

impl Active {
    /// Publishes a batch without what is to be set aside of it. That is set aside first: once the
    /// checkpoint covers it, it must be found. What is published on request is not held back again.
    pub(super) fn send(
        &mut self,
        core: &mut Core,
        batch: Batch,
        refused: &[Refusal],
        round: Round,
    ) -> Result<(), Next> {
        if batch.request().is_some() {
            return self.publish(core, Arc::new(batch));
        }
        let Sorted {
            batch,
            parked,
            gone,
        } = self
            .stuck
            .sort(batch, refused, round, core.now.monotonic)
            .map_err(|error| match error {
                Unsortable::Diverged(reason) => Next::Stop(Stop::Diverged(reason)),
                Unsortable::TooManyKeys(delivery) => Next::Held(halted(
                    &delivery,
                    "more keys wait than a relay remembers: replay or skip some first",
                )),
            })?;
        for NewlyGone {
            destination,
            reason,
            error,
        } in gone
        {
            core.report(Notice::DestinationGone {
                destination,
                reason,
                error,
            });
        }
        let batch = Arc::new(batch);
        if parked.is_empty() {
            return self.publish(core, batch);
        }
        let parked = parked.into();
        let alone = None;
        let question = Question::Park {
            batch,
            parked,
            alone,
        };
        self.ask(core, question)
    }

    pub(super) fn park_action(
        &self,
        ticket: Ticket,
        parked: &Arc<[ParkedMessage]>,
        alone: Option<usize>,
    ) -> Action {
        let single = alone.and_then(|number| parked.get(number));
        Action::Park {
            ticket,
            claim: self.claim,
            cluster: self.progress.cluster(),
            messages: single.map_or_else(|| Arc::clone(parked), |single| [single.clone()].into()),
        }
    }

    pub(super) fn parked(
        &mut self,
        core: &mut Core,
        ticket: Ticket,
        result: Result<u64, SourceFailure>,
    ) -> Result<(), Next> {
        let Some(Question::Park {
            mut batch,
            parked,
            alone,
        }) = self.answered(ticket)
        else {
            return Ok(());
        };
        let next_alone = match (&result, alone) {
            (Ok(_), Some(number)) => Some(number + 1).filter(|next| *next < parked.len()),
            (Err(failure), None) if failure.kind == FailureKind::ValueRefused => {
                Some(0).filter(|_| parked.len() > 1)
            }
            _ => None,
        };
        if next_alone.is_some() {
            let question = Question::Park {
                batch,
                parked,
                alone: next_alone,
            };
            return self.ask(core, question);
        }
        match result {
            Ok(writes) => {
                self.flight = Flight::Free;
                self.backoff.succeed();
                self.progress.wrote(writes);
                Arc::make_mut(&mut batch).checkpoint.stuck_writes = writes;
                self.passed(core, parked.len());
                core.report(Notice::Parked { messages: parked });
                self.publish(core, batch)
            }
            Err(failure) if failure.kind == FailureKind::ValueRefused => {
                let culprit = parked.get(alone.unwrap_or(0));
                let culprit = culprit.map(|parked| halted(&parked.delivery, &failure.message));
                Err(culprit.map_or_else(|| core.source_lost(failure), Next::Held))
            }
            Err(failure) => {
                let question = Question::Park {
                    batch,
                    parked,
                    alone,
                };
                self.ask_later(core, question, failure)
            }
        }
    }
}

/// A message that cannot even be set aside.
fn halted(delivery: &Delivery, error: &str) -> HaltedMessage {
    HaltedMessage::new(delivery, RefusalReason::Rejected, error.to_owned())
}
