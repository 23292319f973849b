use std::sync::Arc;
use std::time::Duration;

use super::active::Active;
use super::core::{Core, Next};
use super::earlier_ends::TriedBatch;
use super::parked_message::ParkedMessage;
use super::publishing::Flight;
use super::{FailureKind, Notice, RefusedAgain, SourceFailure, Stop, Ticket};
use crate::OutboxRow;
use crate::sink::{Batch, Delivery};

/// What the sink waits for: a question to the database, which is asked until it is answered.
#[derive(Clone, Debug)]
pub(super) enum Question {
    /// What of the batch is stuck goes into the database first.
    Park {
        batch: Arc<Batch>,
        parked: Arc<[ParkedMessage]>,
        /// Together they were refused: this one goes alone, those before it have gone.
        alone: Option<usize>,
    },
    /// What of a replay was refused again waits again first.
    PutBack {
        batch: Arc<Batch>,
        refused: Arc<[RefusedAgain]>,
    },
    /// The batch is noted before it is tried.
    NoteTry {
        batch: Arc<Batch>,
        /// When the attempt began that the sink goes on with; `None` where it begins anew.
        since: Option<Duration>,
        noted: TriedBatch,
    },
    /// What is owed to a request.
    Request,
}

#[derive(Debug)]
pub(super) enum Asking {
    Asked(Ticket),
    /// Again then: it failed, or was asked too early.
    Waiting {
        until: Duration,
    },
}

impl Question {
    pub(super) fn batch(&self) -> Option<&Arc<Batch>> {
        match self {
            Self::Park { batch, .. }
            | Self::PutBack { batch, .. }
            | Self::NoteTry { batch, .. } => Some(batch),
            Self::Request => None,
        }
    }

    /// What is to be set aside.
    pub(super) fn aside(&self) -> impl Iterator<Item = &Delivery> {
        let parked: &[ParkedMessage] = match self {
            Self::Park { parked, .. } => parked,
            _ => &[],
        };
        parked.iter().map(|parked| &parked.delivery)
    }
}

impl Asking {
    pub(super) const fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Asked(_) => None,
            Self::Waiting { until } => Some(*until),
        }
    }
}

impl Active {
    pub(super) fn ask(&mut self, core: &mut Core, question: Question) -> Result<(), Next> {
        let ticket = core.ticket();
        let action = match &question {
            Question::Park { parked, alone, .. } => Some(self.park_action(ticket, parked, *alone)),
            Question::PutBack { batch, refused } => self.put_back_action(ticket, batch, refused),
            Question::NoteTry { noted, .. } => Some(self.note_try_action(ticket, *noted)),
            Question::Request => self.request_action(ticket, &core.settings),
        };
        // Invariant: whoever asks about a request carries one out, and owes it something.
        let action = action.ok_or_else(|| {
            let reason = "a question about a request that nobody carries out".to_owned();
            Next::Stop(Stop::Invariant(reason))
        })?;
        core.act(action);
        let batch = question.batch().into_iter();
        let messages = batch.flat_map(|batch| &batch.messages);
        let rows = messages
            .chain(question.aside())
            .map(|delivery| &delivery.row);
        self.in_flight_bytes = rows.map(OutboxRow::memory_bytes).sum();
        self.flight = Flight::Asking {
            question,
            asking: Asking::Asked(ticket),
        };
        Ok(())
    }

    /// Asks again once the delay is over: what was carried out already is left as it is.
    pub(super) fn ask_when_due(&mut self, core: &mut Core) -> Result<(), Next> {
        if let Flight::Asking {
            question,
            asking: Asking::Waiting { until },
        } = &self.flight
            && *until <= core.now.monotonic
        {
            let question = question.clone();
            self.ask(core, question)?;
        }
        Ok(())
    }

    /// The question that this answers, unless nobody waits for the answer any more.
    pub(super) fn answered(&self, ticket: Ticket) -> Option<Question> {
        match &self.flight {
            Flight::Asking {
                question,
                asking: Asking::Asked(awaited),
            } if *awaited == ticket => Some(question.clone()),
            _ => None,
        }
    }

    /// Lets the same be asked again then.
    pub(super) fn ask_at(&mut self, question: Question, until: Duration) {
        self.flight = Flight::Asking {
            question,
            asking: Asking::Waiting { until },
        };
    }

    /// What follows from a question that failed: the same again later, unless the right to write has
    /// gone or the database is not what it was.
    pub(super) fn ask_later(
        &mut self,
        core: &mut Core,
        question: Question,
        failure: SourceFailure,
    ) -> Result<(), Next> {
        match failure.kind {
            FailureKind::ClaimSuperseded => Err(core.fenced(failure.message)),
            FailureKind::ParkedDiffers => Err(Next::Stop(Stop::Diverged(failure.message))),
            FailureKind::ServerShutdown => Err(core.server_stops(&failure.message)),
            FailureKind::Protocol => Err(core.source_lost(failure)),
            _ => {
                let retry_in = self.backoff.fail(&mut core.random);
                core.report(Notice::SourceTrouble { failure, retry_in });
                self.ask_at(question, core.now.monotonic + retry_in);
                Ok(())
            }
        }
    }
}
