use std::time::Duration;

use super::active::Active;
use super::core::{Core, Next};
use super::{FailureKind, Notice, SourceFailure, Stop, Ticket};

/// A question to the database about stuck messages, which is asked until it is answered.
#[derive(Debug)]
pub(super) enum Asking {
    Asked(Ticket),
    /// It failed; again then.
    Waiting {
        until: Duration,
    },
}

impl Asking {
    pub(super) const fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Asked(_) => None,
            Self::Waiting { until } => Some(*until),
        }
    }

    pub(super) fn awaits(&self, ticket: Ticket) -> bool {
        matches!(self, Self::Asked(awaited) if *awaited == ticket)
    }

    pub(super) fn is_due(&self, now: Duration) -> bool {
        matches!(self, Self::Waiting { until } if *until <= now)
    }
}

impl Active {
    /// What follows from a question that failed: the same again later, unless the right to write has
    /// gone or the database is not what it was.
    pub(super) fn ask_later(
        &mut self,
        core: &mut Core,
        failure: SourceFailure,
    ) -> Result<Asking, Next> {
        match failure.kind {
            FailureKind::ClaimSuperseded => Err(core.fenced(failure.message)),
            FailureKind::ParkedDiffers => Err(Next::Stop(Stop::Diverged(failure.message))),
            FailureKind::ServerShutdown => Err(core.server_stops(&failure.message)),
            FailureKind::Protocol => Err(core.source_lost(failure)),
            _ => {
                let retry_in = self.backoff.fail(&mut core.random);
                core.report(Notice::SourceTrouble { failure, retry_in });
                Ok(Asking::Waiting {
                    until: core.now.monotonic + retry_in,
                })
            }
        }
    }
}
