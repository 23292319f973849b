//! Publishers with names of their own, queues, and batches for them.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::{Batch, Delivery, Outcome};
use outbox_core::{
    Frontier, Lsn, MessageId, OutboxRow, Position, SystemId, TimelineHistory, TimelineId, Timestamp,
};
use testbed::RabbitServer;
use tokio::runtime::Runtime;

use crate::sink::at_least_once::Publisher;
use crate::sink::rabbitmq::{RabbitPublisher, RabbitSettings};

/// How long a node may take to do what a test waits for.
pub(super) const SOON: Duration = Duration::from_secs(90);

/// What runs the test's own side.
pub(super) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().unwrap())
}

/// The node that tests share which do not hurt it.
pub(super) fn shared() -> &'static RabbitServer {
    static SERVER: OnceLock<RabbitServer> = OnceLock::new();
    SERVER.get_or_init(own)
}

/// A node of the test's own.
pub(super) fn own() -> RabbitServer {
    runtime().block_on(RabbitServer::start()).unwrap()
}

/// Settings of a relay of its own.
pub(super) fn settings(rabbit: &RabbitServer) -> RabbitSettings {
    RabbitSettings {
        relay: format!("relay-{}", MessageId::generate()),
        url_file: None,
        urls: vec![rabbit.url()],
        unconfirmed_max: 500,
        create_queues: false,
        heartbeat: Duration::from_secs(1),
        routes: Vec::new(),
        message_bytes_max: 1024 * 1024,
    }
}

/// A publisher that holds the right to publish.
pub(super) fn publisher(settings: &RabbitSettings) -> RabbitPublisher {
    let mut publisher = RabbitPublisher::new(settings.clone()).unwrap();
    publisher.acquire().unwrap();
    publisher
}

/// A name that no other test uses.
pub(super) fn unique(what: &str) -> String {
    format!("{what}-{}", MessageId::generate())
}

/// A batch with one message for each key, all to the destination `queue`.
pub(in crate::sink) fn batch_of(sequence: u64, keys: &[Option<&str>]) -> Batch {
    batch_to(sequence, "queue", keys)
}

/// A batch with one message for each key. Payloads are `<sequence>.<index>`.
pub(super) fn batch_to(sequence: u64, destination: &str, keys: &[Option<&str>]) -> Batch {
    let commit_lsn = Lsn::new(sequence * 1_000_000);
    let delivery = |(index, key): (usize, &Option<&str>)| Delivery {
        position: Position {
            commit_lsn,
            index: u32::try_from(index).unwrap(),
        },
        xid: 7,
        commit_time: Timestamp::default(),
        replay: None,
        row: OutboxRow {
            id: MessageId::generate(),
            destination: destination.into(),
            key: key.map(Into::into),
            message_type: "OrderPlaced".into(),
            content_type: "text/plain".into(),
            payload: Some(Bytes::from(format!("{sequence}.{index}"))),
            headers: "{}".into(),
            created_at: Timestamp::from_unix_us(1_700_000_000_123_456),
        },
    };
    Batch {
        messages: keys.iter().enumerate().map(delivery).collect(),
        checkpoint: Checkpoint {
            relay: "tests".into(),
            system_id: SystemId(1),
            timeline: TimelineId(3),
            timeline_history: TimelineHistory::default(),
            frontier: Frontier::at(Lsn::new((sequence + 1) * 1_000_000)),
            last: None,
            stuck_writes: 0,
            publication_fingerprint: "f".into(),
            sequence,
            written_at: Timestamp::default(),
        },
    }
}

/// Publishes as the relay does, until the outcome is no retry; after an indefinite one with a new
/// session.
pub(super) fn publish_surely(publisher: &mut RabbitPublisher, batch: &Batch) -> Outcome {
    let deadline = Instant::now() + SOON;
    loop {
        match publisher.publish(batch) {
            Outcome::Retry { reason } => assert!(Instant::now() < deadline, "{reason}"),
            Outcome::Indefinite { .. } => {
                while let Err(error) = publisher.acquire() {
                    assert!(Instant::now() < deadline, "{error}");
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
            outcome => return outcome,
        }
    }
}

/// The payloads of a batch, in its order.
pub(super) fn payloads(batch: &Batch) -> Vec<String> {
    let payload = |delivery: &Delivery| {
        String::from_utf8(delivery.row.payload.as_deref().unwrap_or_default().to_vec()).unwrap()
    };
    batch.messages.iter().map(payload).collect()
}
