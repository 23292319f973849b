//! What operators ask of a relay, as it carries it out in the database.
//!
//! Each step is a transaction that counts itself under the relay's claim. The relay's own statements
//! come one after the other; an operator may choose among what waits at any moment, and takes turns with
//! them.

mod redelivery;
mod set_aside;
mod step;

use outbox_core::relay::{
    Claim, FailureKind, FinishedRequest, LeftToPublish, RefusedAgain, RequestPart, RequestPlace,
    SourceFailure,
};
use outbox_core::{Lsn, RequestId, SystemId};
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::claim::{Writer, epoch, superseded};
use super::connection::bounded;
use super::stuck_rows::column;
use crate::failpoint::failpoint;

const CARRYING_OUT: &str = "carrying out a request";

/// Whether a transaction has not ended for everybody: one that waits for a standby is decoded before anyone
/// sees what it wrote, and holds the lock of its id until they do. No row where the claim does not hold.
const RUNNING: &str = "
    select exists (select from pg_catalog.pg_locks
                   where locktype = 'transactionid' and transactionid = $5::text::pg_catalog.xid)
    from {schema}.relay as r where {claim}";

/// A request of this relay, by its id and its transaction's: whoever may emit logical messages may name any.
const KNOWN: &str = "
    select commit_lsn::text, index, kind = 'redeliver' from {schema}.request
    where id = $1 and relay = $2 and xid::text::numeric % 4294967296 = $3::int8";

/// How much of a request is read at once.
#[derive(Clone, Copy)]
pub(crate) struct PartLimits {
    pub(crate) from: u32,
    pub(crate) messages_max: usize,
    pub(crate) bytes_max: usize,
}

impl Writer<'_> {
    /// The messages of a request that are to be published next. The first time its position is noted,
    /// what must wait on returned, and what waits behind its messages taken along.
    pub(super) async fn take(
        &self,
        client: &mut Client,
        claim: Claim,
        system_id: SystemId,
        place: RequestPlace,
        limits: PartLimits,
    ) -> Result<RequestPart, SourceFailure> {
        // Anyone may name requests that there are not: that costs two questions, and no write.
        if let Some(none) = self.none_such(client, claim, place).await? {
            return Ok(none);
        }
        let (step, writes) = self.step(client, claim).await?;
        let Some(known) = step.request(place).await? else {
            return Ok(RequestPart::Unknown);
        };
        match known.position {
            None => step.begin(system_id, place, known.is_redelivery).await?,
            Some(position) if position == place.position => {}
            Some(position) => {
                return Err(SourceFailure {
                    kind: FailureKind::ParkedDiffers,
                    message: format!(
                        "{CARRYING_OUT}: {} was met at {position} before, and stands at {} now: the \
                         log was set back and written anew",
                        place.id, place.position
                    ),
                });
            }
        }
        let sql = if known.is_redelivery {
            include_str!("requests/redelivery/messages.sql")
        } else {
            include_str!("requests/set_aside/messages.sql")
        };
        let (messages, next) = step.messages(place.id, sql, limits).await?;
        failpoint("replay-before-take-commits");
        step.commit().await?;
        failpoint("replay-taken");
        Ok(RequestPart::Messages {
            messages,
            next,
            writes,
        })
    }

    /// Why nothing can be taken, if nobody sees such a request: not yet, or there is none.
    async fn none_such(
        &self,
        client: &Client,
        claim: Claim,
        place: RequestPlace,
    ) -> Result<Option<RequestPart>, SourceFailure> {
        let (pid, epoch) = (claim.walsender_pid, epoch(claim));
        let of_claim: [&(dyn ToSql + Sync); 5] = [
            &self.relay,
            &epoch,
            &self.slot,
            &pid,
            &place.xid.to_string(),
        ];
        let sql = self.sql(RUNNING);
        let running = bounded(CARRYING_OUT, client.query_opt(&sql, &of_claim)).await?;
        let is_running: bool = column(&running.ok_or_else(superseded)?, 0)?;
        // In this order: a transaction that has ended by now can be seen by what comes next.
        let (id, xid) = (uuid(place.id), i64::from(place.xid));
        let of_request: [&(dyn ToSql + Sync); 3] = [&id, &self.relay, &xid];
        let sql = self.sql(KNOWN);
        let known = bounded(CARRYING_OUT, client.query_opt(&sql, &of_request)).await?;
        Ok(match (known, is_running) {
            (Some(_), _) => None,
            (None, true) => Some(RequestPart::NotVisible),
            (None, false) => Some(RequestPart::Unknown),
        })
    }

    /// Lets messages wait again that were refused again, and what stands behind them. Of a redelivery
    /// leaves out what was refused.
    pub(super) async fn put_back(
        &self,
        client: &mut Client,
        claim: Claim,
        request: RequestId,
        refused: &[RefusedAgain],
        through: u32,
    ) -> Result<LeftToPublish, SourceFailure> {
        let (step, writes) = self.step(client, claim).await?;
        let id = uuid(request);
        let numbers = if step.is_redelivery(id).await? {
            step.leave_out_refused(id, refused, through).await?
        } else {
            step.put_back(id, refused, through).await?
        };
        failpoint("replay-before-put-back-commits");
        step.commit().await?;
        failpoint("replay-put-back");
        Ok(LeftToPublish { numbers, writes })
    }

    /// Notes what became of a request whose messages are published.
    pub(super) async fn finish(
        &self,
        client: &mut Client,
        claim: Claim,
        request: RequestId,
    ) -> Result<FinishedRequest, SourceFailure> {
        failpoint("replay-published");
        let (step, _) = self.step(client, claim).await?;
        let outcome = step.finish(uuid(request)).await?;
        failpoint("replay-before-finish-commits");
        step.commit().await?;
        failpoint("replay-finished");
        Ok(outcome)
    }

    /// Notes of requests that lie behind the frontier what became of them: whoever published their
    /// last messages did not come to it.
    pub(super) async fn finish_passed(
        &self,
        client: &mut Client,
        claim: Claim,
        system_id: SystemId,
        frontier: Lsn,
    ) -> Result<(), SourceFailure> {
        let (step, _) = self.step(client, claim).await?;
        let passed = "select id from {schema}.request
                      where relay = $1 and system_id = $2 and state = 'begun'
                        and commit_lsn < $3::text::pg_lsn
                      order by commit_lsn";
        let (system_id, frontier) = (system_id.0.to_string(), frontier.to_string());
        let passed = step
            .rows(passed, &[&self.relay, &system_id, &frontier])
            .await?;
        for row in &passed {
            step.finish(column::<Uuid>(row, 0)?).await?;
        }
        if passed.is_empty() {
            return Ok(());
        }
        step.commit().await
    }
}

/// What was refused again, as a statement takes it: numbers, reasons, errors.
fn refused_columns(refused: &[RefusedAgain]) -> (Vec<i64>, Vec<&'static str>, Vec<String>) {
    let number = |again: &RefusedAgain| i64::from(again.number);
    // A text of PostgreSQL has no such character.
    let error = |again: &RefusedAgain| again.error.replace('\0', "\u{fffd}");
    (
        refused.iter().map(number).collect(),
        refused.iter().map(|again| again.reason.as_str()).collect(),
        refused.iter().map(error).collect(),
    )
}

fn uuid(id: RequestId) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

#[cfg(test)]
mod tests;
