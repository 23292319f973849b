//! Faults in what a broker holds, planted in the form in which the relay publishes.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::{Batch, Delivery, Outcome};
use outbox_core::{MessageId, OutboxRow, Position, Timestamp};
use outbox_sidecar::sink::at_least_once::Publisher;
use outbox_sidecar::sink::rabbitmq_stream::{StreamPublisher, StreamSettings};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use testbed::history::Record;
use tokio_postgres::Client;

use crate::scenario::DEADLINE;
use crate::target::Topic;

/// Empties a topic: every record of it is deleted.
pub(super) async fn empty(topic: &Topic, partitions: i32) {
    let consumer: BaseConsumer = topic.address.client_config().create().unwrap();
    let mut ends = TopicPartitionList::new();
    for partition in 0..partitions {
        let (_, end) = consumer
            .fetch_watermarks(&topic.name, partition, DEADLINE)
            .unwrap();
        ends.add_partition_offset(&topic.name, partition, Offset::Offset(end))
            .unwrap();
    }
    let admin: AdminClient<DefaultClientContext> = topic.address.client_config().create().unwrap();
    let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(30)));
    admin.delete_records(&ends, &options).await.unwrap();
}

/// Writes a record as the relay would have, into the partition that it was in.
pub(super) fn write(topic: &Topic, producer: &BaseProducer, record: &Record) {
    let mut headers = OwnedHeaders::new();
    for (key, value) in &record.headers {
        let value = Some(value.as_slice());
        headers = headers.insert(Header { key, value });
    }
    let mut written: BaseRecord<'_, str, [u8]> = BaseRecord::to(&topic.name)
        .partition(record.partition)
        .headers(headers);
    written.key = record.key.as_deref();
    written.payload = record.payload.as_deref();
    producer.send(written).map_err(|(error, _)| error).unwrap();
}

/// The places of a key's records, in their order.
pub(super) fn of_key(records: &[Record], key: &str) -> Vec<usize> {
    let is_of = |(_, record): &(usize, &Record)| record.key.as_deref() == Some(key);
    let places = records.iter().enumerate().filter(is_of);
    places.map(|(at, _)| at).collect()
}

/// One fault of each kind, in what a broker shows, and the ids that must be found.
pub(super) struct Faults {
    pub(super) records: Vec<Record>,
    pub(super) expected: BTreeMap<String, Vec<String>>,
    /// Of the message that now stands behind its successor.
    pub(super) position: String,
}

/// Removes, doubles, alters one message, and swaps two of one key; keys of their own.
pub(super) fn with_faults(mut records: Vec<Record>, random: &mut fastrand::Rng) -> Faults {
    let mut pick = |key| {
        let places = of_key(&records, key);
        let at = random.usize(0..places.len() - 1);
        (places[at], places[at + 1])
    };
    let (removed, doubled, altered) = (pick("k0").0, pick("k1").0, pick("k3").0);
    let (earlier, later) = pick("k2");
    let id = |at: usize| vec![records[at].id.unwrap().to_string()];
    let expected = BTreeMap::from([
        ("missing".to_owned(), id(removed)),
        ("duplicated".to_owned(), id(doubled)),
        ("out_of_order".to_owned(), id(earlier)),
        ("altered".to_owned(), id(altered)),
    ]);
    records.swap(earlier, later);
    records[altered].payload.as_mut().unwrap().push(b'!');
    let position = records[later].header("outbox-position").unwrap();
    let mut faulty = Vec::new();
    for (at, record) in records.into_iter().enumerate() {
        if at == doubled {
            faulty.push(record.clone());
        }
        if at != removed {
            faulty.push(record);
        }
    }
    Faults {
        records: faulty,
        expected,
        position,
    }
}

/// The rows of the table, by their id.
pub(super) async fn rows(client: &Client) -> HashMap<MessageId, OutboxRow> {
    let sql = "select id, destination, key, type, content_type, payload, headers::text, \
               (extract(epoch from created_at) * 1000000)::int8 from outbox.message";
    let rows = client.query(sql, &[]).await.unwrap();
    let rows = rows.iter().map(|row| {
        let text = |at: usize| ByteString::from(row.get::<_, String>(at));
        let id = MessageId::from(row.get::<_, uuid::Uuid>(0));
        let row = OutboxRow {
            id,
            destination: text(1),
            key: row.get::<_, Option<String>>(2).map(ByteString::from),
            message_type: text(3),
            content_type: text(4),
            payload: row.get::<_, Option<Vec<u8>>>(5).map(Bytes::from),
            headers: text(6),
            created_at: Timestamp::from_unix_us(row.get(7)),
        };
        (id, row)
    });
    rows.collect()
}

/// The records as the relay would publish them, in runs of growing positions.
pub(super) fn runs(records: &[Record], rows: &HashMap<MessageId, OutboxRow>) -> Vec<Vec<Delivery>> {
    let mut runs: Vec<Vec<Delivery>> = vec![Vec::new()];
    for record in records {
        let position = record.header("outbox-position").unwrap();
        let parts: Vec<&str> = position.split(':').collect();
        let position = Position {
            commit_lsn: parts[1].parse().unwrap(),
            index: parts[2].parse().unwrap(),
        };
        let mut row = rows[&record.id.unwrap().into()].clone();
        if row.payload.is_some() {
            row.payload = record.payload.clone().map(Bytes::from);
        }
        let delivery = Delivery {
            position,
            xid: 1,
            commit_time: row.created_at,
            row,
            replay: None,
        };
        let last = runs.last().and_then(|run| run.last());
        if last.is_some_and(|last| last.position >= position) {
            runs.push(Vec::new());
        }
        runs.last_mut().unwrap().push(delivery);
    }
    runs
}

/// Publishes each run under a relay's name of its own: the broker drops what does not grow.
pub(super) fn publish(url: &str, runs: Vec<Vec<Delivery>>, checkpoint: &Checkpoint) {
    for messages in runs {
        let relay = testbed::unique::name("planter");
        let mut publisher = StreamPublisher::new(StreamSettings {
            checkpoint_stream: "outbox-checkpoints".to_owned(),
            url_file: None,
            urls: vec![url.to_owned()],
            create_streams: false,
            unconfirmed_max: 1000,
            heartbeat: Duration::from_secs(10),
            message_bytes_max: 1024 * 1024,
            phantoms_accepted: false,
            relay: relay.clone(),
        })
        .unwrap();
        publisher.acquire().unwrap();
        let checkpoint = Checkpoint {
            relay,
            ..checkpoint.clone()
        };
        let batch = Batch {
            messages,
            checkpoint,
        };
        let outcome = publisher.publish(&batch);
        assert!(matches!(outcome, Outcome::Durable), "{outcome:?}");
        publisher.release();
    }
}
