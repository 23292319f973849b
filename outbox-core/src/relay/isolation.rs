use std::sync::Arc;

use super::active::Active;
use super::buffer::Taken;
use super::core::{Core, Next};
use super::halving::Rest;
use super::publishing::Flight;
use super::stuck::Round;
use super::{HaltedMessage, Stop, StuckPolicy};
use crate::Frontier;
use crate::sink::{Batch, Refusal};

impl Active {
    /// The broker refused messages for themselves: they are set aside and the rest is published, or
    /// the relay halts.
    pub(super) fn isolate(
        &mut self,
        core: &mut Core,
        batch: Arc<Batch>,
        refusals: &[Refusal],
    ) -> Result<(), Next> {
        let unknown = |refusal: &Refusal| refusal.batch_index >= batch.messages.len();
        if refusals.is_empty() || refusals.iter().any(unknown) {
            return Err(refused_what_it_was_not_given());
        }
        if batch.request().is_some() {
            return self.let_wait_again(core, batch, refusals);
        }
        match self.stuck.policy() {
            StuckPolicy::Halt => self.halt(core, &batch, refusals),
            StuckPolicy::Park | StuckPolicy::ParkKey
                if self.stuck.waits_for_destination(&batch, refusals) =>
            {
                self.wait_for_destination(core, batch, refusals);
                Ok(())
            }
            StuckPolicy::Park | StuckPolicy::ParkKey => {
                self.flight = Flight::Free;
                self.send(core, Arc::unwrap_or_clone(batch), refusals, Round::Again)
            }
        }
    }

    /// So much is set aside for a destination that is gone that the relay waits until it is back.
    fn wait_for_destination(&mut self, core: &mut Core, batch: Arc<Batch>, refusals: &[Refusal]) {
        let first = refusals.first();
        let error = first.map_or("", |refusal| refusal.error.as_str());
        let reason = format!("waiting for a destination that is gone: {error}");
        self.wait(core, batch, None, "destination-gone", reason);
    }

    /// Everything before the first refused message is published; then the relay halts.
    fn halt(&mut self, core: &mut Core, batch: &Batch, refusals: &[Refusal]) -> Result<(), Next> {
        let first = refusals.iter().min_by_key(|refusal| refusal.batch_index);
        let Some((refusal, before, refused)) = first.and_then(|refusal| {
            let (before, rest) = batch.messages.split_at_checked(refusal.batch_index)?;
            Some((refusal, before, rest.first()?))
        }) else {
            return Err(refused_what_it_was_not_given());
        };
        let halted = HaltedMessage::new(refused, refusal.reason, refusal.error.clone());
        if before.is_empty() {
            return Err(Next::Held(halted));
        }
        let taken = Taken {
            messages: before.to_vec(),
            frontier: Frontier::inside(refused.position.commit_lsn, refused.position.index),
        };
        let mut batch = self.progress.batch(taken, core.now)?;
        // What was cut off from the batch stands behind the message, too.
        self.rest = Rest::default();
        self.stuck.amend(&mut batch.checkpoint);
        self.halting = Some(halted);
        self.publish(core, Arc::new(batch))
    }
}

fn refused_what_it_was_not_given() -> Next {
    Next::Stop(Stop::Invariant(
        "the sink refused a message that it was not given".into(),
    ))
}
