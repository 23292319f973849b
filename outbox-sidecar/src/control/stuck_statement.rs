use std::sync::Arc;

use outbox_core::relay::{
    Claim, Event, FailureKind, ParkedMessage, RefusedAgain, RequestPlace, SourceFailure, Ticket,
    TriedBatch,
};
use outbox_core::{Frontier, RequestId, SystemId, TimelineId};
use tokio_postgres::Client;

use super::claim::Writer;
use super::lock_holders::name_lock_holders;
use super::parked::ParkedTable;
use super::requests::PartLimits;

/// What the relay asks about stuck messages, under its claim.
pub(crate) struct StuckStatement {
    pub(crate) ticket: Ticket,
    pub(crate) claim: Claim,
    pub(crate) what: What,
}

/// See the actions of the same names.
pub(crate) enum What {
    Load {
        system_id: SystemId,
        frontier: Frontier,
        stuck_writes: u64,
        sequence: u64,
    },
    Park {
        cluster: (SystemId, TimelineId),
        messages: Arc<[ParkedMessage]>,
    },
    Try {
        batch: TriedBatch,
    },
    Take {
        system_id: SystemId,
        place: RequestPlace,
        limits: PartLimits,
    },
    PutBack {
        request: RequestId,
        refused: Arc<[RefusedAgain]>,
        through: u32,
    },
    Finish {
        request: RequestId,
    },
}

impl StuckStatement {
    /// Whether it writes down what this process does.
    pub(super) const fn notes_this_process(&self) -> bool {
        matches!(self.what, What::Load { .. } | What::Try { .. })
    }

    /// Carries it out, if there is a connection; says whether that still is of use.
    pub(super) async fn carry_out(
        self,
        client: Result<&mut Client, SourceFailure>,
        writer: Writer<'_>,
    ) -> (Event, bool) {
        let Self {
            ticket,
            claim,
            what,
        } = self;
        let client = match client {
            Ok(client) => client,
            Err(failure) => return (what.failed(ticket, failure), false),
        };
        match what {
            What::Load {
                system_id,
                frontier,
                stuck_writes,
                sequence,
            } => {
                let table = ParkedTable { writer, system_id };
                let loaded = table.read(client, claim, (frontier, sequence), stuck_writes);
                let loaded = loaded.await;
                concluded(client, writer, ticket, loaded, Event::ParkedLoaded).await
            }
            What::Park {
                cluster: (system_id, timeline),
                messages,
            } => {
                let table = ParkedTable { writer, system_id };
                let parked = table.insert(client, claim, timeline, &messages).await;
                concluded(client, writer, ticket, parked, Event::Parked).await
            }
            What::Try { batch } => {
                let noted = writer.try_batch(client, claim, batch).await;
                concluded(client, writer, ticket, noted, Event::TryNoted).await
            }
            What::Take {
                system_id,
                place,
                limits,
            } => {
                let taken = writer.take(client, claim, system_id, place, limits).await;
                concluded(client, writer, ticket, taken, Event::RequestTaken).await
            }
            What::PutBack {
                request,
                refused,
                through,
            } => {
                let left = writer.put_back(client, claim, request, &refused, through);
                let left = left.await;
                concluded(client, writer, ticket, left, Event::WasPutBack).await
            }
            What::Finish { request } => {
                let finished = writer.finish(client, claim, request).await;
                concluded(client, writer, ticket, finished, Event::RequestFinished).await
            }
        }
    }
}

/// What the relay hears of it, who holds a lock named; and whether the connection still is of use.
async fn concluded<T>(
    client: &Client,
    writer: Writer<'_>,
    ticket: Ticket,
    answer: Result<T, SourceFailure>,
    event: fn(Ticket, Result<T, SourceFailure>) -> Event,
) -> (Event, bool) {
    let answer = match answer {
        Ok(answer) => Ok(answer),
        Err(failure) => {
            let of = (writer.schema, writer.relay);
            Err(name_lock_holders(client, of, failure).await)
        }
    };
    let is_of_use = answered(&answer);
    (event(ticket, answer), is_of_use)
}

impl What {
    fn failed(&self, ticket: Ticket, failure: SourceFailure) -> Event {
        match self {
            Self::Load { .. } => Event::ParkedLoaded(ticket, Err(failure)),
            Self::Park { .. } => Event::Parked(ticket, Err(failure)),
            Self::Try { .. } => Event::TryNoted(ticket, Err(failure)),
            Self::Take { .. } => Event::RequestTaken(ticket, Err(failure)),
            Self::PutBack { .. } => Event::WasPutBack(ticket, Err(failure)),
            Self::Finish { .. } => Event::RequestFinished(ticket, Err(failure)),
        }
    }
}

/// A connection on which an answer did not come is not asked again.
pub(super) fn answered<T>(answer: &Result<T, SourceFailure>) -> bool {
    answer
        .as_ref()
        .err()
        .is_none_or(|failure| failure.kind != FailureKind::Unreachable)
}
