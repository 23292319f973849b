//! The service's queue. It is its own: whoever orders needs its name only.

use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};

/// An order that so many deliveries did not get done goes to the dead-letter queue: one that brings
/// the program down each time would otherwise do so for ever. RabbitMQ 4 has a limit of 20 by default
/// and drops what exceeds it where there is no dead-letter queue.
const DELIVERY_LIMIT: i32 = 100;

/// Makes the queue and its dead-letter queue, or finds them there.
///
/// Both are durable quorum queues. Dead letters go at least once, too: by default they would be lost
/// when the node fails on the way; that asks for publishers to be refused, rather than old messages
/// dropped, when a queue is full.
pub(crate) async fn declare(channel: &Channel, name: &str) -> lapin::Result<()> {
    let dead = format!("{name}.dead");
    declare_quorum(channel, &dead, &[]).await?;
    let arguments = [
        ("x-delivery-limit", AMQPValue::LongInt(DELIVERY_LIMIT)),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(&dead)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ];
    declare_quorum(channel, name, &arguments).await
}

async fn declare_quorum(
    channel: &Channel,
    name: &str,
    arguments: &[(&'static str, AMQPValue)],
) -> lapin::Result<()> {
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), text("quorum"));
    for (key, value) in arguments {
        table.insert((*key).into(), value.clone());
    }
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    channel.queue_declare(name.into(), options, table).await?;
    Ok(())
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}
