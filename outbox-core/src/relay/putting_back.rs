use std::collections::HashSet;
use std::sync::Arc;

use super::active::Active;
use super::asking::Asking;
use super::core::{Core, Next};
use super::halving::Rest;
use super::publishing::Flight;
use super::{Action, LeftToPublish, Notice, RefusedAgain, SourceFailure, Stop, Ticket};
use crate::OutboxRow;
use crate::sink::{Batch, Refusal};

/// Messages that were refused again when they were replayed: they wait again, and so does what
/// stands behind them in their keys. The database says so before the rest of the batch is published.
impl Active {
    pub(super) fn put_back(&mut self, core: &mut Core, batch: Arc<Batch>, refusals: &[Refusal]) {
        // What was cut off from the batch may stand behind what is refused: the database knows.
        if !self.rest.is_empty()
            && let Some(handling) = &mut self.handling
            && let Some(last) = batch.messages.last()
            && let Some(number) = handling.request().number_at(last.position)
        {
            handling.read_again(number.saturating_add(1));
            self.rest = Rest::default();
        }
        let refused: Arc<[RefusedAgain]> = refusals
            .iter()
            .filter_map(|refusal| self.refused_again(&batch, refusal))
            .collect();
        self.ask_to_put_back(core, batch, refused);
    }

    fn refused_again(&self, batch: &Batch, refusal: &Refusal) -> Option<RefusedAgain> {
        let delivery = batch.messages.get(refusal.batch_index)?;
        let request = self.handling.as_ref()?.request();
        Some(RefusedAgain {
            number: request.number_at(delivery.position)?,
            id: delivery.row.id,
            position: delivery.replay.as_ref()?.origin.map(|(_, at)| at),
            destination: delivery.row.destination.clone(),
            key: delivery.row.key.clone(),
            reason: refusal.reason,
            error: refusal.error.clone(),
        })
    }

    fn ask_to_put_back(
        &mut self,
        core: &mut Core,
        batch: Arc<Batch>,
        refused: Arc<[RefusedAgain]>,
    ) {
        let Some(handling) = &self.handling else {
            return;
        };
        let request = handling.request();
        let last = batch.messages.last();
        let through = last.and_then(|last| request.number_at(last.position));
        let rows = batch.messages.iter().map(|delivery| &delivery.row);
        self.in_flight_bytes = rows.map(OutboxRow::memory_bytes).sum();
        let ticket = core.ticket();
        core.act(Action::PutBack {
            ticket,
            claim: self.claim,
            request: request.id,
            refused: Arc::clone(&refused),
            through: through.unwrap_or(u32::MAX),
        });
        self.flight = Flight::PuttingBack {
            batch,
            refused,
            asking: Asking::Asked(ticket),
        };
    }

    /// Asks again once the delay after a failed attempt is over.
    pub(super) fn put_back_when_due(&mut self, core: &mut Core) {
        if let Flight::PuttingBack {
            batch,
            refused,
            asking,
        } = &self.flight
            && asking.is_due(core.now.monotonic)
        {
            let (batch, refused) = (Arc::clone(batch), Arc::clone(refused));
            self.ask_to_put_back(core, batch, refused);
        }
    }

    pub(super) fn was_put_back(
        &mut self,
        core: &mut Core,
        ticket: Ticket,
        result: Result<LeftToPublish, SourceFailure>,
    ) -> Result<(), Next> {
        let Flight::PuttingBack {
            batch,
            refused,
            asking,
        } = &self.flight
        else {
            return Ok(());
        };
        if !asking.awaits(ticket) {
            return Ok(());
        }
        let (mut batch, refused) = (Arc::clone(batch), Arc::clone(refused));
        let Some(handling) = &self.handling else {
            return Ok(());
        };
        match result {
            Ok(LeftToPublish { numbers, writes }) => {
                let request = handling.request();
                let left: HashSet<u32> = numbers.into_iter().collect();
                if refused.iter().any(|again| left.contains(&again.number)) {
                    return Err(Next::Stop(Stop::Invariant(format!(
                        "what was refused of request {} does not wait again",
                        request.id
                    ))));
                }
                self.flight = Flight::Free;
                self.backoff.succeed();
                self.progress.wrote(writes);
                let sent = Arc::make_mut(&mut batch);
                sent.checkpoint.stuck_writes = writes;
                sent.messages.retain(|delivery| {
                    let number = request.number_at(delivery.position);
                    number.is_some_and(|number| left.contains(&number))
                });
                core.report(Notice::PutBack { messages: refused });
                return self.publish(core, batch);
            }
            Err(failure) => {
                let asking = self.ask_later(core, failure)?;
                self.flight = Flight::PuttingBack {
                    batch,
                    refused,
                    asking,
                };
            }
        }
        Ok(())
    }
}
