use std::sync::Arc;
use std::time::Duration;

use super::active::Active;
use super::asking::Question;
use super::core::{Core, Next};
use super::earlier_ends::{EarlierEnds, EarlierTries, TriedBatch};
use super::settings::{CAREFUL_MESSAGES_MAX, CRASH_MAX, TRIES_MAX, UNCLEAN_ENDS_MAX};
use super::{Action, BatchLimits, Notice, SourceFailure, Ticket};
use crate::Frontier;
use crate::sink::{Batch, Refusal, RefusalReason};

/// Publishing with care, after processes that ended without a word: one of the next messages may be
/// what ended them.
///
/// Messages go in small batches, and those of a batch over which a process ended go alone. Each batch
/// is noted in the database before it is tried. A process that lives on takes its note back; a message
/// that stays noted by several, alone, is what kills them.
///
/// A checkpoint without messages goes first: what has to be done before the first of them takes long, and who
/// is killed meanwhile is not killed by a message.
#[derive(Debug)]
pub(super) struct Careful {
    /// So many messages are published with care; 0 in ordinary running, which notes nothing.
    left: usize,
    /// The checkpoint is still to be published that goes first.
    owes_checkpoint: bool,
    /// So many of them alone.
    alone: usize,
    /// So many processes in a row ended without a word; 0 once messages got past that.
    unclean: u32,
    /// What others tried last.
    earlier: Option<EarlierTries>,
    /// What is noted is being tried; by then it has not ended the process.
    survived_at: Option<Duration>,
}

impl Careful {
    /// A batch may hold `messages`: what ended a process is among so many.
    pub(super) fn new(ends: EarlierEnds, frontier: Frontier, messages: usize) -> Self {
        let earlier = ends
            .tried
            .filter(|tried| tried.count > 0 && !frontier.covers(tried.batch.position));
        let alone = earlier.map_or(0, |earlier| earlier.batch.messages);
        let alone = usize::try_from(alone).unwrap_or(usize::MAX);
        let is_needed = earlier.is_some() || ends.unclean >= UNCLEAN_ENDS_MAX;
        Self {
            left: if is_needed {
                messages.max(alone).max(1)
            } else {
                0
            },
            owes_checkpoint: is_needed,
            alone,
            unclean: ends.unclean,
            earlier,
            survived_at: None,
        }
    }

    pub(super) const fn left(&self) -> usize {
        self.left
    }

    pub(super) const fn owes_checkpoint(&self) -> bool {
        self.owes_checkpoint
    }

    pub(super) const fn unclean(&self) -> u32 {
        self.unclean
    }

    /// What others tried last, if it is still to be published.
    pub(super) const fn earlier(&self) -> Option<EarlierTries> {
        self.earlier
    }

    pub(super) fn limits(&self, batch: BatchLimits) -> BatchLimits {
        let messages_max = match (self.left, self.alone) {
            (0, _) => batch.messages_max,
            (_, 0) => batch.messages_max.min(CAREFUL_MESSAGES_MAX),
            _ => 1,
        };
        BatchLimits {
            messages_max,
            ..batch
        }
    }

    /// When what is being tried counts as survived.
    pub(super) const fn deadline(&self) -> Option<Duration> {
        self.survived_at
    }

    /// What is noted before a batch is tried.
    fn notes(&self, batch: &Batch) -> Option<TriedBatch> {
        let first = batch.messages.first().filter(|_| self.left > 0)?;
        Some(TriedBatch {
            position: first.position,
            id: first.row.id,
            messages: u32::try_from(batch.messages.len()).unwrap_or(u32::MAX),
        })
    }

    /// What has ended every process that tried it alone is not tried once more.
    fn refuses(&self, batch: &Batch) -> Option<Refusal> {
        let earlier = self
            .earlier
            .filter(|earlier| earlier.count >= TRIES_MAX && earlier.batch.messages == 1)?;
        let known = (earlier.batch.position, earlier.batch.id);
        let mut messages = batch.messages.iter();
        let batch_index =
            messages.position(|delivery| (delivery.position, delivery.row.id) == known)?;
        Some(Refusal {
            batch_index,
            reason: RefusalReason::Crashes,
            error: format!(
                "not tried any more: {} times in a row the process ended while it published this \
                 message, and nothing else",
                earlier.count
            ),
        })
    }

    /// So many messages are published or set aside; whether these were the last.
    fn passed(&mut self, messages: usize) -> bool {
        let was_on = self.left > 0;
        self.owes_checkpoint = false;
        self.left = self.left.saturating_sub(messages);
        self.alone = self.alone.saturating_sub(messages);
        if self.left == 0 && messages > 0 {
            self.unclean = 0;
        }
        was_on && self.left == 0
    }
}

impl Active {
    /// Publishes a batch, or goes on with the attempt that began `since` then; first it is noted, where
    /// messages are published with care.
    pub(super) fn attempt(
        &mut self,
        core: &mut Core,
        batch: Arc<Batch>,
        since: Option<Duration>,
    ) -> Result<(), Next> {
        if let Some(refusal) = self.careful.refuses(&batch) {
            return self.isolate(core, batch, &[refusal]);
        }
        let Some(noted) = self.careful.notes(&batch) else {
            self.hand_over(core, batch, since);
            return Ok(());
        };
        self.ask(
            core,
            Question::NoteTry {
                batch,
                since,
                noted,
            },
        )
    }

    pub(super) fn note_try_action(&self, ticket: Ticket, noted: TriedBatch) -> Action {
        Action::NoteTry {
            ticket,
            claim: self.claim,
            batch: noted,
        }
    }

    pub(super) fn try_noted(
        &mut self,
        core: &mut Core,
        ticket: Ticket,
        result: Result<(), SourceFailure>,
    ) -> Result<(), Next> {
        let Some(question) = self.answered(ticket) else {
            return Ok(());
        };
        let Question::NoteTry { batch, since, .. } = &question else {
            return Ok(());
        };
        let (batch, since) = (Arc::clone(batch), *since);
        match result {
            Ok(()) => {
                self.careful.survived_at = Some(core.now.monotonic + CRASH_MAX);
                self.hand_over(core, batch, since);
            }
            Err(failure) => return self.ask_later(core, question, failure),
        }
        Ok(())
    }

    /// What is being tried has not ended the process: whatever does so from now on is not its fault.
    pub(super) fn survived(&mut self, core: &mut Core) {
        if self.careful.survived_at.take().is_some() {
            core.act(Action::NoteSurvival);
        }
    }

    /// The same, of what takes its time.
    pub(super) fn survived_when_due(&mut self, core: &mut Core) {
        let at = self.careful.survived_at;
        if at.is_some_and(|at| at <= core.now.monotonic) {
            self.survived(core);
        }
    }

    /// Messages are durable: the next note takes the place of theirs.
    pub(super) fn passed(&mut self, core: &mut Core, messages: usize) {
        self.careful.survived_at = None;
        if self.careful.passed(messages) {
            core.report(Notice::InFullBatchesAgain);
        }
    }
}
