//! What operators ask of a relay, as it carries it out in the database.
//!
//! Each step is a transaction that counts itself under the relay's claim. The relay's own statements
//! come one after the other; an operator may choose among what waits at any moment, and takes turns with
//! them.

mod redelivery;

use std::time::Duration;

use outbox_core::relay::{
    Claim, FailureKind, FinishedRequest, LeftToPublish, RefusedAgain, RequestPart, RequestPlace,
    SourceFailure,
};
use outbox_core::{Lsn, RequestId, SystemId};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, IsolationLevel, Row, Transaction};
use uuid::Uuid;

use super::claim::{COUNTED, Writer, epoch, superseded};
use super::connection::{bounded, within};
use super::stuck_rows::{column, key_after, message, number, position_of, skipped, unsigned};
use super::turn::TAKE_TURN;
use crate::failpoint::failpoint;

const CARRYING_OUT: &str = "carrying out a request";

/// What merely waits behind the messages of a request is taken along, so much of it: the rest waits
/// on, and whoever asked may ask again.
const TAKEN_ALONG_MAX: i64 = 10_000;

/// Of what is skipped so many messages are named, and so much of their texts.
const NAMED_MAX: i64 = 10_000;
/// See [`NAMED_MAX`].
const NAMED_CHARACTERS_MAX: i32 = 1000;

/// How long a statement may take on the server: a key may have a million messages that wait.
const STEP_MAX: Duration = Duration::from_secs(120);

/// How long its answer may take, and a commit.
const ANSWER_MAX: Duration = Duration::from_secs(135);

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
        let (step, writes) = self.step(client, claim).await?;
        // In this order: a transaction that has ended by now can be seen by what comes next.
        let is_running = step.is_running(place.xid).await?;
        let Some(known) = step.request(place).await? else {
            return Ok(if is_running {
                RequestPart::NotVisible
            } else {
                RequestPart::Unknown
            });
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
            include_str!("requests/messages.sql")
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
    /// last messages did not come to it. Returns how often was written.
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

    /// A transaction that counts itself, where the claim holds.
    async fn step<'c>(
        &'c self,
        client: &'c mut Client,
        claim: Claim,
    ) -> Result<(Step<'c>, u64), SourceFailure> {
        // What a statement sees must be newer than what the one before it saw.
        let transaction = client
            .build_transaction()
            .isolation_level(IsolationLevel::ReadCommitted)
            .start();
        let transaction = bounded(CARRYING_OUT, transaction).await?;
        let step = Step {
            writer: self,
            transaction,
        };
        let limit = format!("set local statement_timeout = {}", STEP_MAX.as_millis());
        bounded(CARRYING_OUT, step.transaction.batch_execute(&limit)).await?;
        let (pid, epoch) = (claim.walsender_pid, epoch(claim));
        let claim: [&(dyn ToSql + Sync); 4] = [&self.relay, &epoch, &self.slot, &pid];
        let counted = step.rows(COUNTED, &claim).await?;
        let writes = unsigned(counted.first().ok_or_else(superseded)?, 0)?;
        let schema = self.schema.quoted();
        step.rows(TAKE_TURN, &[&self.relay, &schema]).await?;
        Ok((step, writes))
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

/// What the database says of a request before a part of it is read.
struct Known {
    /// Where it was met before, if it was.
    position: Option<outbox_core::Position>,
    is_redelivery: bool,
}

/// One transaction; dropped, it is rolled back.
struct Step<'c> {
    writer: &'c Writer<'c>,
    transaction: Transaction<'c>,
}

impl Step<'_> {
    /// Whether a transaction has not ended for everybody: one that waits for a standby is decoded
    /// before anyone sees what it wrote, and holds the lock of its id until they do.
    async fn is_running(&self, xid: u32) -> Result<bool, SourceFailure> {
        let sql = "select exists (select from pg_catalog.pg_locks
                                  where locktype = 'transactionid'
                                    and transactionid = $1::text::pg_catalog.xid)";
        let rows = self.rows(sql, &[&xid.to_string()]).await?;
        rows.first().map_or(Ok(false), |row| column(row, 0))
    }

    /// What is known of the request; `None` when there is none of this transaction: whoever may emit
    /// logical messages may name any request.
    async fn request(&self, place: RequestPlace) -> Result<Option<Known>, SourceFailure> {
        let sql = "select commit_lsn::text, index, kind = 'redeliver' from {schema}.request
                   where id = $1 and relay = $2 and xid::text::numeric % 4294967296 = $3::int8
                   for update";
        let (id, xid) = (uuid(place.id), i64::from(place.xid));
        let rows = self.rows(sql, &[&id, &self.writer.relay, &xid]).await?;
        let known = |row| {
            Ok(Known {
                position: position_of(row, 0)?,
                is_redelivery: column(row, 2)?,
            })
        };
        rows.first().map(known).transpose()
    }

    async fn begin(
        &self,
        system_id: SystemId,
        place: RequestPlace,
        is_redelivery: bool,
    ) -> Result<(), SourceFailure> {
        let id = uuid(place.id);
        let messages = if is_redelivery {
            self.leave_out_set_aside(id).await?;
            "redelivery"
        } else {
            self.begin_with_set_aside(id).await?;
            "parked"
        };
        let begun = format!(
            "update {{schema}}.request
             set state = 'begun', system_id = $2, commit_lsn = $3::text::pg_lsn, index = $4,
                 taken = (select count(*) from {{schema}}.{messages} where request = $1)
             where id = $1"
        );
        let lsn = place.position.commit_lsn.to_string();
        let index = i64::from(place.position.index);
        let system_id = system_id.0.to_string();
        self.change(&begun, &[&id, &system_id, &lsn, &index]).await
    }

    /// What must wait on returned, what waits behind the others taken along.
    async fn begin_with_set_aside(&self, id: Uuid) -> Result<(), SourceFailure> {
        self.change(include_str!("requests/return_early.sql"), &[&id])
            .await?;
        self.change(
            include_str!("requests/take_along.sql"),
            &[&id, &TAKEN_ALONG_MAX],
        )
        .await?;
        self.change(include_str!("requests/hold_back.sql"), &[&id])
            .await
    }

    /// Says which messages up to `through` are still to be published.
    async fn put_back(
        &self,
        id: Uuid,
        refused: &[RefusedAgain],
        through: u32,
    ) -> Result<Vec<u32>, SourceFailure> {
        let (numbers, reasons, errors) = refused_columns(refused);
        let again: [&(dyn ToSql + Sync); 4] = [&id, &numbers, &reasons, &errors];
        self.change(include_str!("requests/put_back.sql"), &again)
            .await?;
        let behind = include_str!("requests/put_back_behind.sql");
        self.change(behind, &[&id, &numbers]).await?;
        let left = "select request_index from {schema}.parked
                    where request = $1 and state = 'replaying' and request_index <= $2";
        let left = self.rows(left, &[&id, &i64::from(through)]).await?;
        left.iter().map(|row| number(row, 0)).collect()
    }

    async fn messages(
        &self,
        id: RequestId,
        sql: &str,
        limits: PartLimits,
    ) -> Result<(Vec<outbox_core::relay::ReplayedMessage>, Option<u32>), SourceFailure> {
        let bounded = |max: usize| i64::try_from(max).unwrap_or(i64::MAX);
        let from = i64::from(limits.from);
        let (count, bytes) = (bounded(limits.messages_max), bounded(limits.bytes_max));
        let rows = self.rows(sql, &[&uuid(id), &from, &count, &bytes]).await?;
        let messages = rows.iter().map(message).collect::<Result<Vec<_>, _>>()?;
        let Some((last, row)) = messages.last().zip(rows.last()) else {
            return Ok((messages, None));
        };
        let next = (last.number < number(row, 13)?).then_some(last.number + 1);
        Ok((messages, next))
    }

    async fn finish(&self, id: Uuid) -> Result<FinishedRequest, SourceFailure> {
        if self.is_redelivery(id).await? {
            return self.finish_redelivery(id).await;
        }
        let given_up = "select p.id, p.commit_lsn::text, p.index, left(p.destination, $2),
                               left(p.key, $2), p.reason
                        from {schema}.parked as p join {schema}.request as r on r.id = p.request
                        where r.id = $1 and r.kind = 'skip' and p.state = 'replaying'
                          and p.request_index < r.chosen
                        order by p.request_index limit $3";
        let given_up = self
            .rows(given_up, &[&id, &NAMED_CHARACTERS_MAX, &NAMED_MAX])
            .await?;
        self.change(include_str!("requests/settle.sql"), &[&id])
            .await?;
        self.change(include_str!("requests/finish.sql"), &[&id])
            .await?;
        let counts = "select published, skipped, returned from {schema}.request where id = $1";
        let counts = self.rows(counts, &[&id]).await?;
        let count = |index| counts.first().map_or(Ok(0), |row| unsigned(row, index));
        let keys = self.rows(include_str!("requests/keys.sql"), &[&id]).await?;
        Ok(FinishedRequest {
            is_redelivery: false,
            published: count(0)?,
            skipped: count(1)?,
            skipped_messages: given_up.iter().map(skipped).collect::<Result<_, _>>()?,
            returned: count(2)?,
            keys: keys.iter().map(key_after).collect::<Result<_, _>>()?,
        })
    }

    async fn rows(
        &self,
        template: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, SourceFailure> {
        let sql = self.writer.sql(template);
        let answer = self.transaction.query(&sql, values);
        within(ANSWER_MAX, CARRYING_OUT, answer).await
    }

    async fn change(
        &self,
        template: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<(), SourceFailure> {
        let sql = self.writer.sql(template);
        let changed = self.transaction.execute(&sql, values);
        within(ANSWER_MAX, CARRYING_OUT, changed).await.map(drop)
    }

    async fn commit(self) -> Result<(), SourceFailure> {
        within(ANSWER_MAX, CARRYING_OUT, self.transaction.commit()).await
    }
}

fn uuid(id: RequestId) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

#[cfg(test)]
mod tests;
