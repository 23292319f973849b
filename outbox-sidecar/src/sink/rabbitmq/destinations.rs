//! Whether the places that messages go to exist.

use std::collections::HashSet;

use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{Connection, ExchangeKind};
use outbox_core::sink::RefusalReason;

use super::errors::{Refused, refusal_reason};
use super::routing::Target;
use super::session::answer_of;

/// A queue of this name exists with other arguments: it is the operator's own.
const PRECONDITION_FAILED: u16 = 406;

/// The exchanges and queues that are there, until the connection ends.
#[derive(Debug, Default)]
pub(super) struct Destinations {
    exchanges: HashSet<String>,
    queues: HashSet<String>,
}

impl Destinations {
    /// Why messages for this target will not be taken, if the broker says so beforehand. A missing
    /// queue is not asked for: its messages come back as unroutable.
    ///
    /// # Errors
    /// The broker does not answer.
    pub(super) async fn look_up(
        &mut self,
        connection: &Connection,
        target: &Target,
        create_queues: bool,
    ) -> Result<Option<(RefusalReason, String)>, String> {
        if target.exchange.is_empty() {
            if create_queues && !self.queues.contains(&target.routing_key) {
                if let Some(refusal) = make_queue(connection, &target.routing_key).await? {
                    return Ok(Some(refusal));
                }
                self.queues.insert(target.routing_key.clone());
            }
            return Ok(None);
        }
        if self.exchanges.contains(&target.exchange) {
            return Ok(None);
        }
        let refusal = find_exchange(connection, &target.exchange).await?;
        // One that is missing may be made any time: it is looked up again.
        if refusal.is_none() {
            self.exchanges.insert(target.exchange.clone());
        }
        Ok(refusal)
    }

    /// Everything is looked up again.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

async fn find_exchange(
    connection: &Connection,
    name: &str,
) -> Result<Option<(RefusalReason, String)>, String> {
    let options = ExchangeDeclareOptions {
        passive: true,
        ..ExchangeDeclareOptions::default()
    };
    // A channel of its own: the broker closes the one on which it says no.
    let channel = answer_of("opening a channel", connection.create_channel())
        .await
        .map_err(|refused| refused.text)?;
    let doing = format!("looking for exchange {name:?}");
    let asking = channel.exchange_declare(
        ShortString::from(name),
        ExchangeKind::Direct,
        options,
        FieldTable::default(),
    );
    let answer = answer_of(&doing, asking).await;
    let closing = channel.close(200, "looked".into());
    let _ = answer_of("closing a channel", closing).await;
    refusal(answer)
}

async fn make_queue(
    connection: &Connection,
    name: &str,
) -> Result<Option<(RefusalReason, String)>, String> {
    let channel = answer_of("opening a channel", connection.create_channel())
        .await
        .map_err(|refused| refused.text)?;
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let mut arguments = FieldTable::default();
    let quorum = AMQPValue::LongString(LongString::from("quorum"));
    arguments.insert(ShortString::from("x-queue-type"), quorum);
    let doing = format!("making queue {name:?}");
    let making = channel.queue_declare(ShortString::from(name), options, arguments);
    let answer = answer_of(&doing, making).await;
    let closing = channel.close(200, "made".into());
    let _ = answer_of("closing a channel", closing).await;
    match answer {
        Err(Refused { code, .. }) if code == Some(PRECONDITION_FAILED) => Ok(None),
        answer => refusal(answer.map(drop)),
    }
}

fn refusal(answer: Result<(), Refused>) -> Result<Option<(RefusalReason, String)>, String> {
    match answer {
        Ok(()) => Ok(None),
        Err(Refused {
            code: Some(code),
            text,
        }) => Ok(Some((refusal_reason(code), text))),
        Err(Refused { code: None, text }) => Err(text),
    }
}
