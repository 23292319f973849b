//! The business: each change and its event in one transaction.

use outbox_core::{EnqueueError, Message, MessageError, MessageId, Outbox};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::events::OrderEvent;

/// What a customer asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct NewOrder {
    pub(crate) customer: String,
    pub(crate) product: String,
    pub(crate) premium_cents: i64,
}

/// What was done, and the id under which the event is published.
#[derive(Debug, Serialize)]
pub(crate) struct Done {
    pub(crate) order_id: Uuid,
    pub(crate) message_id: String,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    #[error("a premium must be positive")]
    Premium,
    #[error("{customer} would owe {open_premium_cents} cents, more than the limit")]
    OverLimit {
        customer: String,
        open_premium_cents: i64,
        /// Enqueued, and rolled back with the order: nobody will ever see them.
        message_ids: Vec<MessageId>,
    },
    #[error("there is no such order")]
    Unknown,
    #[error("the order is cancelled already")]
    Cancelled,
    #[error("the event is no valid message")]
    Message(#[from] MessageError),
    #[error("the event was not stored")]
    Enqueue(#[from] EnqueueError),
    #[error("the database refused")]
    Database(#[from] sqlx::Error),
}

/// The orders of all customers.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    pub(crate) pool: PgPool,
    pub(crate) outbox: Outbox,
    /// Where events go.
    pub(crate) destination: String,
    /// What a customer may owe in all.
    pub(crate) open_premium_cents_max: i64,
}

/// An order in the books, but not committed yet.
struct Booked {
    order_id: Uuid,
    message: Message,
    customer: String,
    /// What the customer owes now.
    open_premium_cents: i64,
}

impl Orders {
    /// Takes one order.
    pub(crate) async fn place(&self, order: &NewOrder) -> Result<Done, OrderError> {
        let mut tx = self.pool.begin().await?;
        let booked = self.book(&mut tx, order).await?;
        let message_id = self.outbox.enqueue(&mut tx, booked.message).await?;
        // Judged last: the rollback takes the order, the debt and the message back.
        if booked.open_premium_cents > self.open_premium_cents_max {
            tx.rollback().await?;
            return Err(OrderError::OverLimit {
                customer: booked.customer,
                open_premium_cents: booked.open_premium_cents,
                message_ids: vec![message_id],
            });
        }
        tx.commit().await?;
        Ok(Done::new(booked.order_id, message_id))
    }

    /// Takes all orders, or none.
    pub(crate) async fn place_all(
        &self,
        mut orders: Vec<NewOrder>,
    ) -> Result<Vec<Done>, OrderError> {
        // Everybody locks customers in one order: no deadlock.
        orders.sort();
        let mut tx = self.pool.begin().await?;
        let mut over_limit = None;
        let mut order_ids = Vec::with_capacity(orders.len());
        let mut messages = Vec::with_capacity(orders.len());
        for order in &orders {
            let booked = self.book(&mut tx, order).await?;
            if booked.open_premium_cents > self.open_premium_cents_max {
                over_limit = Some((booked.customer, booked.open_premium_cents));
            }
            order_ids.push(booked.order_id);
            messages.push(booked.message);
        }
        let message_ids = self.outbox.enqueue_all(&mut tx, messages).await?;
        if let Some((customer, open_premium_cents)) = over_limit {
            tx.rollback().await?;
            return Err(OrderError::OverLimit {
                customer,
                open_premium_cents,
                message_ids,
            });
        }
        tx.commit().await?;
        let done = order_ids.into_iter().zip(message_ids);
        Ok(done
            .map(|(order, message)| Done::new(order, message))
            .collect())
    }

    /// Cancels an open order.
    pub(crate) async fn cancel(&self, order_id: Uuid) -> Result<Done, OrderError> {
        let mut tx = self.pool.begin().await?;
        let found: Option<(String, String, i64, String)> = sqlx::query_as(
            "select customer, product, premium_cents, state from insurance_order
             where id = $1 for update",
        )
        .bind(order_id)
        .fetch_optional(&mut *tx)
        .await?;
        let (customer, product, premium_cents, state) = found.ok_or(OrderError::Unknown)?;
        if state != "open" {
            return Err(OrderError::Cancelled);
        }
        sqlx::query("update insurance_order set state = 'cancelled' where id = $1")
            .bind(order_id)
            .execute(&mut *tx)
            .await?;
        let (version, _) = charge(&mut tx, &customer, -premium_cents).await?;
        let event = OrderEvent {
            order_id,
            customer: &customer,
            product: &product,
            premium_cents,
            version,
        };
        let message = event.cancelled(&self.destination)?;
        let message_id = self.outbox.enqueue(&mut tx, message).await?;
        tx.commit().await?;
        Ok(Done::new(order_id, message_id))
    }

    /// Whether the database answers.
    pub(crate) async fn health(&self) -> Result<(), OrderError> {
        sqlx::query("select 1").execute(&self.pool).await?;
        Ok(())
    }

    async fn book(
        &self,
        tx: &mut Transaction<'_, Postgres>,
        order: &NewOrder,
    ) -> Result<Booked, OrderError> {
        if order.premium_cents <= 0 {
            return Err(OrderError::Premium);
        }
        let (version, open_premium_cents) =
            charge(tx, &order.customer, order.premium_cents).await?;
        let order_id = Uuid::now_v7();
        sqlx::query(
            "insert into insurance_order (id, customer, product, premium_cents, state)
             values ($1, $2, $3, $4, 'open')",
        )
        .bind(order_id)
        .bind(&order.customer)
        .bind(&order.product)
        .bind(order.premium_cents)
        .execute(&mut **tx)
        .await?;
        let event = OrderEvent {
            order_id,
            customer: &order.customer,
            product: &order.product,
            premium_cents: order.premium_cents,
            version,
        };
        Ok(Booked {
            order_id,
            message: event.placed(&self.destination)?,
            customer: order.customer.clone(),
            open_premium_cents,
        })
    }
}

/// Changes what a customer owes; returns the version of the customer and the new sum.
///
/// The row stays locked until the end of the transaction. So the events of one customer commit in
/// the order of their versions, and the relay keeps that order for their key.
async fn charge(
    tx: &mut Transaction<'_, Postgres>,
    customer: &str,
    premium_cents: i64,
) -> sqlx::Result<(i64, i64)> {
    sqlx::query_as(
        "insert into customer (name, open_premium_cents, version) values ($1, $2, 1)
         on conflict (name) do update
         set open_premium_cents = customer.open_premium_cents + excluded.open_premium_cents,
             version = customer.version + 1
         returning version, open_premium_cents",
    )
    .bind(customer)
    .bind(premium_cents)
    .fetch_one(&mut **tx)
    .await
}

impl Done {
    fn new(order_id: Uuid, message_id: MessageId) -> Self {
        Self {
            order_id,
            message_id: message_id.to_string(),
        }
    }
}
