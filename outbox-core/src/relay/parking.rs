use std::sync::Arc;

use super::active::Active;
use super::asking::Asking;
use super::core::{Core, Next};
use super::gone::NewlyGone;
use super::parked_message::ParkedMessage;
use super::publishing::Flight;
use super::stuck::{Round, Sorted, Unsortable};
use super::{Action, FailureKind, HaltedMessage, Notice, SourceFailure, Stop, Ticket};
use crate::OutboxRow;
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
        self.park(core, batch, parked.into());
        Ok(())
    }

    fn park(&mut self, core: &mut Core, batch: Arc<Batch>, parked: Arc<[ParkedMessage]>) {
        let aside = parked.iter().map(|parked| &parked.delivery.row);
        let rows = batch.messages.iter().map(|delivery| &delivery.row);
        self.in_flight_bytes = rows.chain(aside).map(OutboxRow::memory_bytes).sum();
        let ticket = core.ticket();
        core.act(Action::Park {
            ticket,
            claim: self.claim,
            cluster: self.progress.cluster(),
            messages: Arc::clone(&parked),
        });
        self.flight = Flight::Parking {
            batch,
            parked,
            asking: Asking::Asked(ticket),
        };
    }

    /// Asks again once the delay after a failed attempt is over: what is there already is left.
    pub(super) fn park_when_due(&mut self, core: &mut Core) {
        if let Flight::Parking {
            batch,
            parked,
            asking,
        } = &self.flight
            && asking.is_due(core.now.monotonic)
        {
            let (batch, parked) = (Arc::clone(batch), Arc::clone(parked));
            self.park(core, batch, parked);
        }
    }

    pub(super) fn parked(
        &mut self,
        core: &mut Core,
        ticket: Ticket,
        result: Result<u64, SourceFailure>,
    ) -> Result<(), Next> {
        let Flight::Parking {
            batch,
            parked,
            asking,
        } = &self.flight
        else {
            return Ok(());
        };
        if !asking.awaits(ticket) {
            return Ok(());
        }
        let (mut batch, parked) = (Arc::clone(batch), Arc::clone(parked));
        match result {
            Ok(writes) => {
                self.flight = Flight::Free;
                self.backoff.succeed();
                self.progress.wrote(writes);
                Arc::make_mut(&mut batch).checkpoint.stuck_writes = writes;
                self.passed(core, parked.len());
                core.report(Notice::Parked { messages: parked });
                return self.publish(core, batch);
            }
            Err(failure) if failure.kind == FailureKind::ValueRefused => {
                let first = parked.first().map(|parked| &parked.delivery);
                let first = first.map(|delivery| halted(delivery, &failure.message));
                return Err(first.map_or_else(|| core.source_lost(failure), Next::Held));
            }
            Err(failure) => {
                let asking = self.ask_later(core, failure)?;
                self.flight = Flight::Parking {
                    batch,
                    parked,
                    asking,
                };
            }
        }
        Ok(())
    }
}

/// A message that cannot even be set aside.
fn halted(delivery: &Delivery, error: &str) -> HaltedMessage {
    HaltedMessage::new(delivery, RefusalReason::Rejected, error.to_owned())
}
