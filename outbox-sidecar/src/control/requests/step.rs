use std::time::Duration;

use outbox_core::RequestId;
use outbox_core::relay::{Claim, FinishedRequest, ReplayedMessage, RequestPlace, SourceFailure};
use outbox_core::{Position, SystemId};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, IsolationLevel, Row, Transaction};
use uuid::Uuid;

use super::{CARRYING_OUT, KNOWN, PartLimits, uuid};
use crate::control::claim::{COUNTED, Writer, epoch, superseded};
use crate::control::connection::{bounded, within};
use crate::control::stuck_rows::{column, message, number, position_of, unsigned};
use crate::control::turn::TAKE_TURN;

/// How long a statement may take on the server: a key may have a million messages that wait.
const STEP_MAX: Duration = Duration::from_secs(120);

/// How long its answer may take, and a commit.
const ANSWER_MAX: Duration = Duration::from_secs(135);

/// What the database says of a request before a part of it is read.
pub(super) struct Known {
    /// Where it was met before, if it was.
    pub(super) position: Option<Position>,
    pub(super) is_redelivery: bool,
}

/// One transaction; dropped, it is rolled back.
pub(super) struct Step<'c> {
    pub(super) writer: &'c Writer<'c>,
    transaction: Transaction<'c>,
}

impl Step<'_> {
    /// What is known of the request; `None` when there is none of this transaction.
    pub(super) async fn request(
        &self,
        place: RequestPlace,
    ) -> Result<Option<Known>, SourceFailure> {
        let (id, xid) = (uuid(place.id), i64::from(place.xid));
        let sql = format!("{KNOWN} for update");
        let rows = self.rows(&sql, &[&id, &self.writer.relay, &xid]).await?;
        let known = |row| {
            Ok(Known {
                position: position_of(row, 0)?,
                is_redelivery: column(row, 2)?,
            })
        };
        rows.first().map(known).transpose()
    }

    pub(super) async fn begin(
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

    pub(super) async fn finish(&self, id: Uuid) -> Result<FinishedRequest, SourceFailure> {
        if self.is_redelivery(id).await? {
            self.finish_redelivery(id).await
        } else {
            self.finish_set_aside(id).await
        }
    }

    pub(super) async fn messages(
        &self,
        id: RequestId,
        sql: &str,
        limits: PartLimits,
    ) -> Result<(Vec<ReplayedMessage>, Option<u32>), SourceFailure> {
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

    /// The numbers of a request's messages, as far as `through`, that a statement finds.
    pub(super) async fn numbers(
        &self,
        template: &str,
        id: Uuid,
        through: u32,
    ) -> Result<Vec<u32>, SourceFailure> {
        let found = self.rows(template, &[&id, &i64::from(through)]).await?;
        found.iter().map(|row| number(row, 0)).collect()
    }

    pub(super) async fn rows(
        &self,
        template: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, SourceFailure> {
        let sql = self.writer.sql(template);
        let answer = self.transaction.query(&sql, values);
        within(ANSWER_MAX, CARRYING_OUT, answer).await
    }

    pub(super) async fn change(
        &self,
        template: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<(), SourceFailure> {
        let sql = self.writer.sql(template);
        let changed = self.transaction.execute(&sql, values);
        within(ANSWER_MAX, CARRYING_OUT, changed).await.map(drop)
    }

    pub(super) async fn commit(self) -> Result<(), SourceFailure> {
        within(ANSWER_MAX, CARRYING_OUT, self.transaction.commit()).await
    }
}

impl Writer<'_> {
    /// A transaction that counts itself, where the claim holds.
    pub(super) async fn step<'c>(
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
