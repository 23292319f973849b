//! The business: each event and its booking in one transaction.

use outbox_core::{Acceptance, Inbox};
use outbox_examples::HandlingError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use serde_json::{Map, Value};
use sqlx::PgPool;
use uuid::Uuid;

use crate::event::OrderEvent;

/// The accounts of all customers.
#[derive(Debug)]
pub(crate) struct Settlements {
    pub(crate) pool: PgPool,
    pub(crate) inbox: Inbox,
    /// Who we are in the inbox: one name for all instances.
    pub(crate) consumer: String,
}

impl Settlements {
    /// Books an event, unless it was booked before.
    pub(crate) async fn settle(&self, event: &OrderEvent) -> Result<(), HandlingError> {
        let mut tx = self.pool.begin().await?;
        let acceptance = self
            .inbox
            .accept(&mut tx, &self.consumer, event.message_id)
            .await?;
        if acceptance == Acceptance::Duplicate {
            tracing::info!(message_id = %event.message_id, "a duplicate");
            tx.rollback().await?;
            return Ok(());
        }
        sqlx::query(
            "insert into account (customer, settled_cents) values ($1, $2)
             on conflict (customer) do update
             set settled_cents = account.settled_cents + excluded.settled_cents",
        )
        .bind(&event.customer)
        .bind(event.cents)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "insert into settlement (message_id, order_id, customer, cents)
             values ($1, $2, $3, $4)",
        )
        .bind(Uuid::from(event.message_id))
        .bind(event.order_id)
        .bind(&event.customer)
        .bind(event.cents)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Keeps an event that cannot be booked, with the reason, for somebody to look at.
    ///
    /// Not in the inbox: nothing was done about it, and when it is published again, mended and under
    /// its id, it shall be booked. Delivered twice, it is the same row, by its place in the topic.
    pub(crate) async fn park(
        &self,
        message: &BorrowedMessage<'_>,
        reason: &str,
    ) -> Result<(), HandlingError> {
        sqlx::query(
            "insert into parked_event
                 (topic, topic_partition, topic_offset, key, payload, headers, reason)
             values ($1, $2, $3, $4, $5, $6, $7)
             on conflict (topic, topic_partition, topic_offset) do nothing",
        )
        .bind(message.topic())
        .bind(message.partition())
        .bind(message.offset())
        .bind(message.key())
        .bind(message.payload())
        .bind(Value::Object(headers(message)))
        // A text of PostgreSQL cannot hold NUL.
        .bind(reason.replace('\0', "\u{fffd}"))
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

/// The headers as somebody reads them who looks at a parked event.
fn headers(message: &BorrowedMessage<'_>) -> Map<String, Value> {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    headers
        .map(|header| {
            let value = String::from_utf8_lossy(header.value.unwrap_or_default());
            let text = |text: &str| text.replace('\0', "\u{fffd}");
            (text(header.key), Value::String(text(&value)))
        })
        .collect()
}
