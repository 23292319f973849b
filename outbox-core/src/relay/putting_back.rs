use std::collections::HashSet;
use std::sync::Arc;

use super::active::Active;
use super::asking::Question;
use super::core::{Core, Next};
use super::halving::Rest;
use super::publishing::Flight;
use super::{Action, LeftToPublish, Notice, RefusedAgain, SourceFailure, Stop, Ticket};
use crate::sink::{Batch, Refusal};

/// Messages that were refused again when they were replayed: they wait again, and so does what
/// stands behind them in their keys. The database says so before the rest of the batch is published.
impl Active {
    pub(super) fn let_wait_again(
        &mut self,
        core: &mut Core,
        batch: Arc<Batch>,
        refusals: &[Refusal],
    ) -> Result<(), Next> {
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
        self.ask(core, Question::PutBack { batch, refused })
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

    /// Only what belongs to the request is asked for: there is one.
    pub(super) fn put_back_action(
        &self,
        ticket: Ticket,
        batch: &Batch,
        refused: &Arc<[RefusedAgain]>,
    ) -> Option<Action> {
        let request = self.handling.as_ref()?.request();
        let last = batch.messages.last();
        let through = last.and_then(|last| request.number_at(last.position));
        Some(Action::PutBack {
            ticket,
            claim: self.claim,
            request: request.id,
            refused: Arc::clone(refused),
            through: through.unwrap_or(u32::MAX),
        })
    }

    pub(super) fn was_put_back(
        &mut self,
        core: &mut Core,
        ticket: Ticket,
        result: Result<LeftToPublish, SourceFailure>,
    ) -> Result<(), Next> {
        let Some(Question::PutBack { mut batch, refused }) = self.answered(ticket) else {
            return Ok(());
        };
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
                self.publish(core, batch)
            }
            Err(failure) => self.ask_later(core, Question::PutBack { batch, refused }, failure),
        }
    }
}
