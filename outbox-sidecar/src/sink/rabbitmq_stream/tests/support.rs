//! Publishers with names of their own, and batches for them.

use crate::sink::at_least_once::Publisher as _;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use outbox_core::checkpoint::{Checkpoint, LastHandled};
use outbox_core::sink::{Batch, Delivery, Outcome, Refusal};
use outbox_core::{
    Frontier, HistoryEntry, Lsn, MessageId, OutboxRow, Position, SystemId, TimelineHistory,
    TimelineId, Timestamp,
};
use testbed::RabbitServer;
use tokio::runtime::Runtime;

use crate::sink::rabbitmq_stream::{StreamPublisher, StreamSettings};

/// How long a node may take to do what a test waits for.
pub(super) const SOON: Duration = Duration::from_secs(90);
/// Between the commits of two batches.
const STEP: u64 = 1_000_000;

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

/// Runs `rabbitmqctl`.
pub(super) fn control(rabbit: &RabbitServer, arguments: &[&str]) {
    runtime().block_on(rabbit.control(arguments)).unwrap();
}

/// Settings of a relay of its own.
pub(super) fn settings(rabbit: &RabbitServer) -> StreamSettings {
    StreamSettings {
        relay: format!("relay-{}", MessageId::generate()),
        url_file: None,
        urls: vec![rabbit.stream_url()],
        unconfirmed_max: 500,
        checkpoint_stream: "outbox-checkpoints".into(),
        create_streams: true,
        heartbeat: Duration::from_secs(2),
        message_bytes_max: 1024 * 1024,
        phantoms_accepted: false,
    }
}

/// A publisher that is connected.
pub(super) fn publisher(settings: &StreamSettings) -> StreamPublisher {
    let mut publisher = StreamPublisher::new(settings.clone()).unwrap();
    publisher.create_checkpoint_stream().unwrap();
    acquire_surely(&mut publisher);
    publisher
}

/// Connects, as soon as the node lets it.
pub(super) fn acquire_surely(publisher: &mut StreamPublisher) {
    let deadline = Instant::now() + SOON;
    while let Err(error) = publisher.acquire() {
        assert!(Instant::now() < deadline, "{error}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A name that no other test uses.
pub(super) fn unique(what: &str) -> String {
    format!("{what}-{}", MessageId::generate())
}

/// The seed of a test, which prints it.
pub(super) fn seed() -> u64 {
    let given = std::env::var("OUTBOX_TEST_SEED").ok();
    let seed = given.map_or_else(|| fastrand::u64(..), |text| text.parse().unwrap());
    println!("OUTBOX_TEST_SEED={seed}");
    seed
}

/// A batch with one message for each destination. Payloads are `<sequence>.<index>`.
pub(super) fn batch_to(sequence: u64, destinations: &[&str]) -> Batch {
    let last = destinations.len().checked_sub(1).map(|last| LastHandled {
        commit_lsn: Lsn::new(sequence * STEP),
        xid: 7,
        commit_time: Timestamp::default(),
        index: u32::try_from(last).unwrap(),
        message_id: MessageId::generate(),
    });
    let delivery = |(index, destination): (usize, &&str)| Delivery {
        position: Position {
            commit_lsn: Lsn::new(sequence * STEP),
            index: u32::try_from(index).unwrap(),
        },
        xid: 7,
        commit_time: Timestamp::default(),
        replay: None,
        row: OutboxRow {
            id: MessageId::generate(),
            destination: (*destination).into(),
            key: None,
            message_type: "OrderPlaced".into(),
            content_type: "text/plain".into(),
            payload: Some(Bytes::from(format!("{sequence}.{index}"))),
            headers: "{}".into(),
            created_at: Timestamp::from_unix_us(1_700_000_000_123_456),
        },
    };
    Batch {
        messages: destinations.iter().enumerate().map(delivery).collect(),
        checkpoint: Checkpoint {
            relay: "tests".into(),
            system_id: SystemId(1),
            timeline: TimelineId(1),
            timeline_history: TimelineHistory::default(),
            frontier: Frontier::at(Lsn::new((sequence + 1) * STEP)),
            last,
            stuck_writes: 0,
            publication_fingerprint: "f".into(),
            sequence,
            written_at: Timestamp::default(),
        },
    }
}

/// A batch of so many messages to one stream.
pub(super) fn batch_of(sequence: u64, stream: &str, count: usize) -> Batch {
    batch_to(sequence, &vec![stream; count])
}

/// The same messages, read on a later timeline that branched off where batch `sequence` would
/// commit.
pub(super) fn promoted(batch: &Batch, timeline: u32, sequence: u64) -> Batch {
    let mut batch = batch.clone();
    let ancestor = HistoryEntry {
        timeline: batch.checkpoint.timeline,
        switch_point: Lsn::new(sequence * STEP),
    };
    let earlier = batch.checkpoint.timeline_history.entries().to_vec();
    batch.checkpoint.timeline = TimelineId(timeline);
    batch.checkpoint.timeline_history = earlier.into_iter().chain([ancestor]).collect();
    batch
}

/// Publishes as the relay does, until the outcome is no retry; after an indefinite one with a new
/// session.
pub(super) fn publish_surely(publisher: &mut StreamPublisher, batch: &Batch) -> Outcome {
    let deadline = Instant::now() + SOON;
    loop {
        match publisher.publish(batch) {
            Outcome::Retry { reason } => assert!(Instant::now() < deadline, "{reason}"),
            Outcome::Indefinite { reason } => {
                assert!(Instant::now() < deadline, "{reason}");
                acquire_surely(publisher);
            }
            outcome => return outcome,
        }
    }
}

/// Publishes a batch that nothing speaks against.
pub(super) fn publish_all(publisher: &mut StreamPublisher, batch: &Batch) {
    assert_eq!(publish_surely(publisher, batch), Outcome::Durable);
}

/// The refusals of an outcome that has some.
pub(super) fn refusals(outcome: Outcome) -> Vec<Refusal> {
    match outcome {
        Outcome::Poison(refusals) => refusals,
        outcome => panic!("{outcome:?}"),
    }
}

/// The payloads of several batches for one destination, in their order.
pub(super) fn all_payloads<'a>(
    batches: impl IntoIterator<Item = &'a Batch>,
    destination: &str,
) -> Vec<String> {
    let batches = batches.into_iter();
    batches
        .flat_map(|batch| payloads(batch, destination))
        .collect()
}

/// The payloads of a batch for one destination, in its order.
pub(super) fn payloads(batch: &Batch, destination: &str) -> Vec<String> {
    let payload = |delivery: &Delivery| {
        String::from_utf8(delivery.row.payload.as_deref().unwrap_or_default().to_vec()).unwrap()
    };
    let meant = |delivery: &&Delivery| delivery.row.destination == destination;
    batch.messages.iter().filter(meant).map(payload).collect()
}
