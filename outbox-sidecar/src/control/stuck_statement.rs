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
                let loaded = name_lock_holders(client, (writer.schema, writer.relay), loaded).await;
                let is_of_use = answered(&loaded);
                (Event::ParkedLoaded(ticket, loaded), is_of_use)
            }
            What::Park {
                cluster: (system_id, timeline),
                messages,
            } => {
                let table = ParkedTable { writer, system_id };
                let parked = table.insert(client, claim, timeline, &messages).await;
                let parked = name_lock_holders(client, (writer.schema, writer.relay), parked).await;
                let is_of_use = answered(&parked);
                (Event::Parked(ticket, parked), is_of_use)
            }
            What::Try { batch } => {
                let noted = writer.try_batch(client, claim, batch).await;
                let is_of_use = answered(&noted);
                (Event::TryNoted(ticket, noted), is_of_use)
            }
            What::Take {
                system_id,
                place,
                limits,
            } => {
                let taken = writer.take(client, claim, system_id, place, limits).await;
                let taken = name_lock_holders(client, (writer.schema, writer.relay), taken).await;
                let is_of_use = answered(&taken);
                (Event::RequestTaken(ticket, taken), is_of_use)
            }
            What::PutBack {
                request,
                refused,
                through,
            } => {
                let left = writer.put_back(client, claim, request, &refused, through);
                let left = left.await;
                let left = name_lock_holders(client, (writer.schema, writer.relay), left).await;
                let is_of_use = answered(&left);
                (Event::WasPutBack(ticket, left), is_of_use)
            }
            What::Finish { request } => {
                let finished = writer.finish(client, claim, request).await;
                let finished =
                    name_lock_holders(client, (writer.schema, writer.relay), finished).await;
                let is_of_use = answered(&finished);
                (Event::RequestFinished(ticket, finished), is_of_use)
            }
        }
    }
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
