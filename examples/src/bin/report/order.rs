//! What a message says.

use lapin::BasicProperties;
use lapin::message::Delivery;
use outbox_core::MessageId;
use outbox_examples::HandlingError;
use serde::Deserialize;
use uuid::Uuid;

/// An order for a report.
#[derive(Debug, PartialEq)]
pub(crate) struct ReportOrder {
    pub(crate) message_id: MessageId,
    pub(crate) report_id: Uuid,
    pub(crate) customer: String,
    pub(crate) month: String,
}

/// What `core-app` writes.
#[derive(Debug, Deserialize)]
struct Payload {
    report_id: Uuid,
    customer: String,
    month: String,
}

/// Reads a message.
pub(crate) fn read(delivery: &Delivery) -> Result<ReportOrder, HandlingError> {
    interpret(&delivery.properties, &delivery.data)
}

fn interpret(properties: &BasicProperties, data: &[u8]) -> Result<ReportOrder, HandlingError> {
    match properties.kind().as_ref().map(|kind| kind.as_str()) {
        Some("ReportOrdered") => {}
        Some(other) => {
            return Err(HandlingError::poison(format!(
                "its type {other:?} is unknown"
            )));
        }
        None => return Err(HandlingError::poison("it has no type")),
    }
    // Without an id nobody can tell whether it came before.
    let message_id = properties.message_id().as_ref();
    let message_id = message_id.ok_or_else(|| HandlingError::poison("it has no message_id"))?;
    let message_id: MessageId = message_id
        .as_str()
        .parse()
        .map_err(|error| HandlingError::poison(format!("its message_id: {error}")))?;
    // A tombstone, which has no payload, is no order either.
    let payload: Payload = serde_json::from_slice(data)
        .map_err(|error| HandlingError::poison(format!("its payload is no order: {error}")))?;
    Ok(ReportOrder {
        message_id,
        report_id: payload.report_id,
        customer: payload.customer,
        month: payload.month,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01932c07-5d4f-7a3b-8f0e-2f1f6d3f0f11";

    fn properties(kind: &str) -> BasicProperties {
        let properties = BasicProperties::default().with_message_id(ID.into());
        properties.with_type(kind.into())
    }

    #[test]
    fn an_order_is_read() {
        let data = format!(r#"{{"report_id":"{ID}","customer":"ann","month":"2026-10"}}"#);
        let order = interpret(&properties("ReportOrdered"), data.as_bytes()).unwrap();
        assert_eq!(order.message_id.to_string(), ID);
        assert_eq!(
            (order.customer.as_str(), order.month.as_str()),
            ("ann", "2026-10")
        );
    }

    #[test]
    fn everything_else_is_poison() {
        let data = format!(r#"{{"report_id":"{ID}","customer":"ann","month":"2026-10"}}"#);
        for (properties, data) in [
            (properties("ReportCancelled"), data.as_bytes()),
            (properties("ReportOrdered"), b""),
            (properties("ReportOrdered"), b"{}"),
            (
                BasicProperties::default().with_message_id(ID.into()),
                data.as_bytes(),
            ),
            (
                BasicProperties::default().with_type("ReportOrdered".into()),
                data.as_bytes(),
            ),
            (
                properties("ReportOrdered").with_message_id("4711".into()),
                data.as_bytes(),
            ),
        ] {
            let read = interpret(&properties, data);
            assert!(
                matches!(read, Err(HandlingError::Poison { .. })),
                "{read:?}"
            );
        }
    }
}
