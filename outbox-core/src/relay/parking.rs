use std::sync::Arc;
use std::time::Duration;

use super::active::Active;
use super::core::{Core, Next};
use super::parked_message::ParkedMessage;
use super::publishing::Flight;
use super::stuck::{Sorted, Unsortable};
use super::{Action, FailureKind, HaltedMessage, Notice, SourceFailure, Stop, Ticket};
use crate::OutboxRow;
use crate::sink::{Batch, Delivery, Refusal, RefusalReason};

/// Messages on their way into the database, before the rest of their batch is published.
#[derive(Debug)]
pub(super) enum Parking {
    Asked(Ticket),
    Waiting { until: Duration },
}

impl Parking {
    pub(super) const fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Asked(_) => None,
            Self::Waiting { until } => Some(*until),
        }
    }
}

impl Active {
    /// Publishes a batch without what is to be set aside of it. That is set aside first: once the
    /// checkpoint covers it, it must be found.
    pub(super) fn send(
        &mut self,
        core: &mut Core,
        batch: Batch,
        refused: &[Refusal],
    ) -> Result<(), Next> {
        let Sorted { batch, parked } =
            self.stuck
                .sort(batch, refused)
                .map_err(|error| match error {
                    Unsortable::Diverged(reason) => Next::Stop(Stop::Diverged(reason)),
                    Unsortable::TooManyKeys(delivery) => Next::Held(halted(
                        &delivery,
                        "more keys wait than a relay remembers: replay or skip some first",
                    )),
                })?;
        let batch = Arc::new(batch);
        if parked.is_empty() {
            self.publish(core, batch);
        } else {
            self.park(core, batch, parked.into());
        }
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
            parking: Parking::Asked(ticket),
        };
    }

    /// Asks again once the delay after a failed attempt is over: what is there already is left.
    pub(super) fn park_when_due(&mut self, core: &mut Core) {
        if let Flight::Parking {
            batch,
            parked,
            parking: Parking::Waiting { until },
        } = &self.flight
            && *until <= core.now.monotonic
        {
            let (batch, parked) = (Arc::clone(batch), Arc::clone(parked));
            self.park(core, batch, parked);
        }
    }

    pub(super) fn parked(
        &mut self,
        core: &mut Core,
        ticket: Ticket,
        result: Result<(), SourceFailure>,
    ) -> Result<(), Next> {
        let Flight::Parking {
            batch,
            parked,
            parking,
        } = &mut self.flight
        else {
            return Ok(());
        };
        if !matches!(parking, Parking::Asked(awaited) if *awaited == ticket) {
            return Ok(());
        }
        let Err(failure) = result else {
            let batch = Arc::clone(batch);
            self.backoff.succeed();
            core.report(Notice::Parked {
                messages: Arc::clone(parked),
            });
            self.publish(core, batch);
            return Ok(());
        };
        match failure.kind {
            FailureKind::ClaimSuperseded => Err(core.fenced(failure.message)),
            FailureKind::ParkedDiffers => Err(Next::Stop(Stop::Diverged(failure.message))),
            FailureKind::ValueRefused => {
                let first = parked.first().map(|parked| &parked.delivery);
                let first = first.map(|delivery| halted(delivery, &failure.message));
                Err(first.map_or_else(|| core.source_lost(failure), Next::Held))
            }
            FailureKind::ServerShutdown => Err(core.server_stops(&failure.message)),
            _ => {
                let retry_in = self.backoff.fail(&mut core.random);
                *parking = Parking::Waiting {
                    until: core.now.monotonic + retry_in,
                };
                core.report(Notice::SourceTrouble { failure, retry_in });
                Ok(())
            }
        }
    }
}

/// A message that cannot even be set aside.
fn halted(delivery: &Delivery, error: &str) -> HaltedMessage {
    HaltedMessage::new(delivery, RefusalReason::Rejected, error.to_owned())
}
