//! What the service tells the world.

use outbox_core::{Message, MessageError};
use serde::Serialize;
use uuid::Uuid;

/// Something happened to an order.
#[derive(Debug, Serialize)]
pub(crate) struct OrderEvent<'a> {
    pub(crate) order_id: Uuid,
    pub(crate) customer: &'a str,
    pub(crate) product: &'a str,
    pub(crate) premium_cents: i64,
    /// Counts the events of a customer from 1, without holes: a consumer can check the order.
    pub(crate) version: i64,
}

impl OrderEvent<'_> {
    /// The message of type `OrderPlaced`.
    pub(crate) fn placed(&self, destination: &str) -> Result<Message, MessageError> {
        self.message(destination, "OrderPlaced")
    }

    /// The message of type `OrderCancelled`.
    pub(crate) fn cancelled(&self, destination: &str) -> Result<Message, MessageError> {
        self.message(destination, "OrderCancelled")
    }

    /// The key is the customer: what happens to one customer arrives in order.
    fn message(&self, destination: &str, event: &str) -> Result<Message, MessageError> {
        let message = Message::new(destination, event).key(self.customer);
        Ok(message.json(self)?.header("service", "orders"))
    }
}
