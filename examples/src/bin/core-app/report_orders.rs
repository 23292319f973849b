//! The business: each order and its message in one transaction.

use outbox_core::{EnqueueError, Message, MessageError, Outbox};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Under a lock, because several instances may start at once. One script is one transaction.
const TABLE: &str = "
    select pg_advisory_xact_lock(hashtextextended('table of the report orders', 0));
    create table if not exists report_order (
        report_id uuid primary key,
        customer  text not null,
        month     text not null
    );";

/// Makes the table if it is not there yet.
pub(crate) async fn migrate(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::raw_sql(TABLE).execute(connection).await?;
    Ok(())
}

/// What a customer wants to read.
#[derive(Debug, Deserialize)]
pub(crate) struct Wish {
    customer: String,
    month: String,
}

/// What was ordered, and the id under which the report service gets it.
#[derive(Debug, Serialize)]
pub(crate) struct Ordered {
    report_id: Uuid,
    message_id: String,
}

/// The message's payload.
#[derive(Debug, Serialize)]
struct ReportOrdered<'a> {
    report_id: Uuid,
    customer: &'a str,
    month: &'a str,
}

/// Why nothing was ordered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportOrderError {
    #[error("the order is no valid message")]
    Message(#[from] MessageError),
    #[error("the order was not stored for the report service")]
    Enqueue(#[from] EnqueueError),
    #[error("the database refused")]
    Database(#[from] sqlx::Error),
}

/// The orders of all customers.
#[derive(Debug, Clone)]
pub(crate) struct ReportOrders {
    pub(crate) pool: PgPool,
    pub(crate) outbox: Outbox,
    /// The queue of the report service.
    pub(crate) destination: String,
}

impl ReportOrders {
    /// Orders a report.
    pub(crate) async fn order(&self, wish: &Wish) -> Result<Ordered, ReportOrderError> {
        let report_id = Uuid::now_v7();
        let mut tx = self.pool.begin().await?;
        sqlx::query("insert into report_order (report_id, customer, month) values ($1, $2, $3)")
            .bind(report_id)
            .bind(&wish.customer)
            .bind(&wish.month)
            .execute(&mut *tx)
            .await?;
        let payload = ReportOrdered {
            report_id,
            customer: &wish.customer,
            month: &wish.month,
        };
        let message = Message::new(&*self.destination, "ReportOrdered")
            .key(&wish.customer)
            .json(&payload)?;
        let message_id = self.outbox.enqueue(&mut tx, message).await?;
        tx.commit().await?;
        Ok(Ordered {
            report_id,
            message_id: message_id.to_string(),
        })
    }

    /// Whether the database answers.
    pub(crate) async fn health(&self) -> Result<(), ReportOrderError> {
        sqlx::query("select 1").execute(&self.pool).await?;
        Ok(())
    }
}
