use std::collections::VecDeque;
use std::sync::Arc;

use super::Notice;
use super::active::Active;
use super::core::{Core, Next};
use crate::checkpoint::LastHandled;
use crate::sink::{Batch, Delivery};
use crate::{Frontier, OutboxRow};

/// What was cut off from the batch in flight; it comes before what the buffer holds.
#[derive(Debug, Default)]
pub(super) struct Rest {
    batches: VecDeque<Batch>,
    bytes: usize,
}

impl Rest {
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(super) fn first(&self) -> Option<&Delivery> {
        self.batches.front()?.messages.first()
    }

    fn push(&mut self, batch: Batch) {
        self.bytes += bytes(&batch.messages);
        self.batches.push_front(batch);
    }

    pub(super) fn pop(&mut self) -> Option<Batch> {
        let batch = self.batches.pop_front()?;
        self.bytes -= bytes(&batch.messages);
        Some(batch)
    }
}

fn bytes(messages: &[Delivery]) -> usize {
    let rows = messages.iter().map(|delivery| &delivery.row);
    rows.map(OutboxRow::memory_bytes).sum()
}

impl Active {
    /// Sends a batch that did not become durable again: whole, or its first half when the attempt
    /// took longer than the broker allows. The rest follows once that is durable. Smaller and
    /// smaller, a batch gets through a broker that is too slow for it.
    pub(super) fn send_again(
        &mut self,
        core: &mut Core,
        batch: Arc<Batch>,
        outlived: bool,
    ) -> Result<(), Next> {
        let halves = outlived.then(|| self.halves(&batch)).flatten();
        let Some((first, second)) = halves else {
            return self.publish(core, batch);
        };
        core.report(Notice::Halved {
            messages: first.messages.len(),
        });
        self.rest.push(second);
        self.publish(core, Arc::new(first))
    }

    /// Two batches instead of one, cut where a transaction ends if one does in the first half.
    fn halves(&self, batch: &Batch) -> Option<(Batch, Batch)> {
        let messages = &batch.messages;
        let half = messages.len() / 2;
        let commit_lsn = |index: usize| Some(messages.get(index)?.position.commit_lsn);
        let at_an_end = (1..=half)
            .rev()
            .find(|index| commit_lsn(index - 1) != commit_lsn(*index));
        let (first, second) = messages.split_at_checked(at_an_end.unwrap_or(half))?;
        let last = first.last()?;
        let mut checkpoint = batch.checkpoint.clone();
        checkpoint.frontier = Frontier::inside(
            last.position.commit_lsn,
            last.position.index.checked_add(1)?,
        );
        checkpoint.last = Some(LastHandled::from(last));
        self.stuck.amend(&mut checkpoint);
        Some((
            Batch {
                messages: first.to_vec(),
                checkpoint,
            },
            Batch {
                messages: second.to_vec(),
                checkpoint: batch.checkpoint.clone(),
            },
        ))
    }
}
