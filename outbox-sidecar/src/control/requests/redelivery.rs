//! The steps of a request that publishes once more what had been published.
//!
//! Its messages are copies of its own: nobody else asks for them, no key waits for them, and one that
//! is refused is left out without any consequence for the others.

use outbox_core::relay::{FinishedRequest, RefusedAgain, SourceFailure};
use uuid::Uuid;

use super::refused_columns;
use super::step::Step;
use crate::control::stuck_rows::{column, unsigned};

impl Step<'_> {
    /// Whether the request is one.
    pub(super) async fn is_redelivery(&self, id: Uuid) -> Result<bool, SourceFailure> {
        let sql = "select kind = 'redeliver' from {schema}.request where id = $1";
        let rows = self.rows(sql, &[&id]).await?;
        rows.first().map_or(Ok(false), |row| column(row, 0))
    }

    /// Leaves out what has been set aside by now, or was when it was asked for: it was never published.
    pub(super) async fn leave_out_set_aside(&self, id: Uuid) -> Result<(), SourceFailure> {
        let sql = include_str!("redelivery/leave_out_set_aside.sql");
        self.change(sql, &[&id, &self.writer.relay]).await
    }

    /// Leaves out what was refused; says which messages up to `through` are still to be published.
    pub(super) async fn leave_out_refused(
        &self,
        id: Uuid,
        refused: &[RefusedAgain],
        through: u32,
    ) -> Result<Vec<u32>, SourceFailure> {
        let (numbers, reasons, errors) = refused_columns(refused);
        let sql = include_str!("redelivery/leave_out_refused.sql");
        self.change(sql, &[&id, &numbers, &reasons, &errors])
            .await?;
        let left = "select number from {schema}.redelivery
                    where request = $1 and reason is null and number <= $2";
        self.numbers(left, id, through).await
    }

    /// Notes what became of it, and forgets what is published.
    pub(super) async fn finish_redelivery(
        &self,
        id: Uuid,
    ) -> Result<FinishedRequest, SourceFailure> {
        let sql = include_str!("redelivery/finish.sql");
        self.change(sql, &[&id]).await?;
        let counts = "select published, returned from {schema}.request where id = $1";
        let counts = self.rows(counts, &[&id]).await?;
        let count = |index| counts.first().map_or(Ok(0), |row| unsigned(row, index));
        Ok(FinishedRequest {
            is_redelivery: true,
            published: count(0)?,
            returned: count(1)?,
            ..FinishedRequest::default()
        })
    }
}
