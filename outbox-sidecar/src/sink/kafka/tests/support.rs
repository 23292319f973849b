//! Relays with names of their own, and batches for them.

use bytes::Bytes;
use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::{Batch, Delivery, Outcome, Sink};
use outbox_core::{
    Frontier, Lsn, MessageId, OutboxRow, Position, SystemId, TimelineHistory, TimelineId, Timestamp,
};
use std::time::{Duration, Instant, SystemTime};

use super::broker::Broker;
use crate::sink::kafka::admin::{Admin, TopicToCreate};
use crate::sink::kafka::properties::Properties;
use crate::sink::kafka::{KafkaAdministration, KafkaSettings, KafkaSink};

/// How long a broker may take to do what a test waits for.
pub(super) const SOON: Duration = Duration::from_secs(90);

/// One relay of one test, with topics of its own.
pub(super) struct Relay {
    pub(super) settings: KafkaSettings,
    pub(super) topic: String,
}

impl Relay {
    /// A relay whose checkpoint topic exists and holds its genesis, and a topic of 3 partitions.
    pub(super) fn new(broker: &Broker) -> Self {
        let relay = Self::without_genesis(broker);
        relay
            .administration()
            .write_genesis(&relay.checkpoint(0))
            .unwrap();
        relay
    }

    pub(super) fn without_genesis(broker: &Broker) -> Self {
        let relay = Self::without_topics(broker);
        assert!(relay.administration().create_checkpoint_topic().unwrap());
        relay.create_topic(&relay.topic, 3, &[]);
        relay
    }

    pub(super) fn without_topics(broker: &Broker) -> Self {
        Self::at(&broker.bootstrap())
    }

    /// A relay to a cluster of which it has seen nothing yet.
    pub(super) fn at(bootstrap: &str) -> Self {
        let unique = MessageId::generate().to_string();
        let properties = [
            ("bootstrap.servers", bootstrap.to_owned()),
            ("transaction.timeout.ms", "6000".to_owned()),
        ];
        Self {
            settings: KafkaSettings {
                relay: format!("relay-{unique}"),
                properties: properties
                    .map(|(name, value)| (name.to_owned(), value))
                    .into(),
                password_file: None,
                checkpoint_topic: format!("checkpoints-{unique}"),
                create_topics: false,
                partitions: 2,
                replication_factor: 1,
                message_bytes_max: 1024 * 1024,
            },
            topic: format!("topic-{unique}"),
        }
    }

    pub(super) fn create_topic(&self, name: &str, partitions: u32, configuration: &[(&str, &str)]) {
        let properties = Properties::new(&self.settings).unwrap();
        let admin = Admin::connect(&properties.plain_producer().unwrap());
        let topic = TopicToCreate {
            name,
            partitions,
            replication_factor: 1,
            configuration,
        };
        assert!(admin.unwrap().create_topic(&topic).unwrap());
    }

    pub(super) fn administration(&self) -> KafkaAdministration {
        KafkaAdministration::new(self.settings.clone()).unwrap()
    }

    pub(super) fn sink(&self) -> KafkaSink {
        KafkaSink::new(self.settings.clone()).unwrap()
    }

    pub(super) fn checkpoint(&self, sequence: u64) -> Checkpoint {
        Checkpoint {
            relay: self.settings.relay.clone(),
            system_id: SystemId(7),
            timeline: TimelineId(2),
            timeline_history: TimelineHistory::default(),
            frontier: Frontier::at(Lsn::new(sequence * 1000)),
            last: None,
            stuck_writes: 0,
            publication_fingerprint: "f".into(),
            sequence,
            written_at: Timestamp::from(SystemTime::now()),
        }
    }

    /// `count` messages with keys `k0` to `k9` and payloads `<sequence>.<index>`.
    pub(super) fn batch(&self, sequence: u64, count: u32) -> Batch {
        let delivery = |index| self.delivery(sequence, index);
        Batch {
            messages: (0..count).map(delivery).collect(),
            checkpoint: self.checkpoint(sequence),
        }
    }

    fn delivery(&self, sequence: u64, index: u32) -> Delivery {
        let now = Timestamp::from(SystemTime::now());
        Delivery {
            position: Position {
                commit_lsn: Lsn::new(sequence * 1000 - 8),
                index,
            },
            xid: 700,
            commit_time: now,
            replay: None,
            row: OutboxRow {
                id: MessageId::generate(),
                destination: self.topic.as_str().into(),
                key: Some(format!("k{}", index % 10).into()),
                message_type: "PolicyIssued".into(),
                content_type: "application/json".into(),
                payload: Some(Bytes::from(format!("{sequence}.{index}"))),
                headers: "{}".into(),
                created_at: now,
            },
        }
    }
}

/// The payloads of a batch made by [`Relay::batch`].
pub(super) fn payloads(batches: &[(u64, u32)]) -> Vec<String> {
    let of = |(sequence, count): &(u64, u32)| {
        let sequence = *sequence;
        (0..*count).map(move |index| format!("{sequence}.{index}"))
    };
    batches.iter().flat_map(of).collect()
}

/// Goes the way of a relay: the same batch again after `Retry` and `Abort`, the checkpoint decides
/// after anything else. Returns once the batch is durable: whether with the producer that was there.
pub(super) fn publish_surely(sink: &mut KafkaSink, batch: &Batch) -> bool {
    let deadline = Instant::now() + SOON;
    let (mut held, mut stayed) = (true, true);
    while Instant::now() < deadline {
        if !held {
            match sink.acquire(1) {
                Ok(Some(found)) if found.sequence == batch.checkpoint.sequence => return false,
                Ok(Some(found)) => {
                    assert_eq!(found.sequence + 1, batch.checkpoint.sequence);
                    held = true;
                }
                Ok(None) => panic!("the checkpoint is gone"),
                Err(_) => continue,
            }
        }
        match sink.publish(batch) {
            Outcome::Durable => return stayed,
            Outcome::Retry { .. } | Outcome::Ongoing { .. } | Outcome::Abort { .. } => {}
            Outcome::Indefinite { .. } | Outcome::Fenced { .. } => (held, stayed) = (false, false),
            outcome => panic!("{outcome:?}"),
        }
    }
    panic!("the batch is not durable after {SOON:?}");
}
