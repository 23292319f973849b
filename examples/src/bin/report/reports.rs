//! The business: each order and its report in one transaction.

use outbox_core::{Acceptance, Inbox};
use outbox_examples::HandlingError;
use sqlx::PgPool;
use uuid::Uuid;

use crate::order::ReportOrder;

/// Who we are in the inbox: one name for all instances.
const CONSUMER: &str = "report";

/// All reports.
#[derive(Debug)]
pub(crate) struct Reports {
    pub(crate) pool: PgPool,
    pub(crate) inbox: Inbox,
}

impl Reports {
    /// Makes a report, unless it was made before.
    pub(crate) async fn make(&self, order: &ReportOrder) -> Result<(), HandlingError> {
        let mut tx = self.pool.begin().await?;
        let acceptance = self
            .inbox
            .accept(&mut tx, CONSUMER, order.message_id)
            .await?;
        if acceptance == Acceptance::Duplicate {
            tracing::info!(message_id = %order.message_id, "a duplicate");
            tx.rollback().await?;
            return Ok(());
        }
        sqlx::query(
            "insert into report (report_id, message_id, customer, month, text)
             values ($1, $2, $3, $4, $5)",
        )
        .bind(order.report_id)
        .bind(Uuid::from(order.message_id))
        .bind(&order.customer)
        .bind(&order.month)
        .bind(format!("Policies of {} in {}", order.customer, order.month))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }
}
