//! What a record says.

use outbox_core::MessageId;
use outbox_examples::HandlingError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use serde::Deserialize;
use uuid::Uuid;

/// The headers that the relay writes.
const ID: &str = "outbox-id";
const TYPE: &str = "outbox-type";

/// An event for us, or none.
#[derive(Debug, PartialEq)]
pub(crate) enum Received {
    Settle(OrderEvent),
    /// Not ours; the text says why.
    Skip(&'static str),
}

/// Money that an order moves.
#[derive(Debug, PartialEq)]
pub(crate) struct OrderEvent {
    pub(crate) message_id: MessageId,
    pub(crate) order_id: Uuid,
    pub(crate) customer: String,
    /// Negative when the order was cancelled.
    pub(crate) cents: i64,
}

/// What the orders service writes, as far as we need it.
#[derive(Debug, Deserialize)]
struct Payload {
    order_id: Uuid,
    customer: String,
    premium_cents: i64,
}

/// Reads a record.
pub(crate) fn read(message: &BorrowedMessage<'_>) -> Result<Received, HandlingError> {
    let header = |name| {
        let mut headers = message.headers()?.iter();
        let value = headers.find(|header| header.key == name)?.value?;
        std::str::from_utf8(value).ok()
    };
    interpret(header(ID), header(TYPE), message.payload())
}

fn interpret(
    id: Option<&str>,
    event_type: Option<&str>,
    payload: Option<&[u8]>,
) -> Result<Received, HandlingError> {
    let Some(payload) = payload else {
        return Ok(Received::Skip("a tombstone"));
    };
    let event_type =
        event_type.ok_or_else(|| HandlingError::poison(format!("it has no header {TYPE}")))?;
    let sign = match event_type {
        "OrderPlaced" => 1,
        "OrderCancelled" => -1,
        _ => return Ok(Received::Skip("an unknown type")),
    };
    // Without an id nobody can tell whether it came before.
    let id = id.ok_or_else(|| HandlingError::poison(format!("it has no header {ID}")))?;
    let message_id: MessageId = id
        .parse()
        .map_err(|error| HandlingError::poison(format!("its header {ID}: {error}")))?;
    let payload: Payload = serde_json::from_slice(payload)
        .map_err(|error| HandlingError::poison(format!("its payload is no order: {error}")))?;
    if payload.premium_cents <= 0 {
        return Err(HandlingError::poison("its premium is not positive"));
    }
    Ok(Received::Settle(OrderEvent {
        message_id,
        order_id: payload.order_id,
        customer: payload.customer,
        cents: sign * payload.premium_cents,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID_TEXT: &str = "01932c07-5d4f-7a3b-8f0e-2f1f6d3f0f11";

    fn payload(premium_cents: &str) -> Vec<u8> {
        format!(
            r#"{{"order_id":"{ID_TEXT}","customer":"ann","premium_cents":{premium_cents},"new":1}}"#
        )
        .into_bytes()
    }

    #[test]
    fn a_cancellation_takes_back_what_an_order_brought() {
        for (event_type, expected) in [("OrderPlaced", 900), ("OrderCancelled", -900)] {
            let received = interpret(Some(ID_TEXT), Some(event_type), Some(&payload("900")));
            let Ok(Received::Settle(event)) = received else {
                panic!("{received:?}");
            };
            assert_eq!((event.customer.as_str(), event.cents), ("ann", expected));
        }
    }

    #[test]
    fn what_is_not_ours_is_skipped_and_what_is_broken_is_poison() {
        let skipped = [
            interpret(Some(ID_TEXT), Some("OrderPlaced"), None),
            interpret(Some(ID_TEXT), Some("OrderAudited"), Some(b"no JSON")),
        ];
        for received in skipped {
            assert!(matches!(received, Ok(Received::Skip(_))), "{received:?}");
        }
        let good = payload("1");
        for (id, event_type, payload) in [
            (Some(ID_TEXT), None, &good),
            (None, Some("OrderPlaced"), &good),
            (Some("4711"), Some("OrderPlaced"), &good),
            (Some(ID_TEXT), Some("OrderPlaced"), &payload("0")),
            (Some(ID_TEXT), Some("OrderPlaced"), &payload("1e300")),
            (Some(ID_TEXT), Some("OrderPlaced"), &Vec::new()),
        ] {
            let received = interpret(id, event_type, Some(payload));
            let Err(HandlingError::Poison { .. }) = received else {
                panic!("{received:?}");
            };
        }
    }
}
