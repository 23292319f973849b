//! What a Kafka consumer sees of a message.

use outbox_core::{Message, MessageId, Outbox};
use serde_json::json;
use sqlx::Connection;
use testbed::history::Record;

use crate::scenario::observation::assert_calm;
use crate::scenario::{DEADLINE, Scenario};

fn of(records: &[Record], id: MessageId) -> Record {
    let found: Vec<_> = records
        .iter()
        .filter(|record| record.id == Some(id.into()))
        .collect();
    let [record] = found.as_slice() else {
        panic!("{id}: {} times", found.len())
    };
    Record::clone(record)
}

#[tokio::test]
async fn a_record_carries_what_the_interface_says() {
    let scenario = Scenario::initialised().await;
    let relay = scenario.start_active().await;
    let mut connection = sqlx::PgConnection::connect(&scenario.database_url)
        .await
        .unwrap();
    let outbox = Outbox::new();
    let topic = scenario.topic().name.as_str();

    let mut tx = connection.begin().await.unwrap();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let message = Message::new(topic, "PolicyIssued")
        .key(4711)
        .header("tenant", "7 \u{fc}\"");
    let message = message
        .header("traceparent", trace)
        .json(&json!({"premium": 80}))
        .unwrap();
    let full = outbox.enqueue(&mut tx, message).await.unwrap();
    let tombstone = Message::new(topic, "PolicyDeleted").key("4711").tombstone();
    let tombstone = outbox.enqueue(&mut tx, tombstone).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = connection.begin().await.unwrap();
    let undone = Message::new(topic, "Undone").key("4711").text("never");
    let undone = outbox.enqueue(&mut tx, undone).await.unwrap();
    tx.rollback().await.unwrap();

    let mut tx = connection.begin().await.unwrap();
    let keyless = Message::new(topic, "Keyless").bytes(vec![0, 255, b'\\']);
    let empty = Message::new(topic, "Empty").key("").text("");
    let pair = outbox.enqueue_all(&mut tx, [keyless, empty]).await.unwrap();
    tx.commit().await.unwrap();

    let client = scenario.client().await;
    scenario.drained(&client).await;
    let records = scenario.records().await;
    assert_eq!(records.len(), 4, "{records:?}");
    assert!(
        records
            .iter()
            .all(|record| record.id != Some(undone.into()))
    );

    let record = of(&records, full);
    assert_eq!(record.key.as_deref(), Some("4711"));
    assert_eq!(record.payload.as_deref(), Some(&br#"{"premium":80}"#[..]));
    let row = client
        .query_one(
            "select to_char(created_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') \
             from outbox.message where type = 'PolicyIssued'",
            &[],
        )
        .await;
    let headers: Vec<(&str, String)> = ["tenant", "traceparent", "outbox-id", "outbox-type"]
        .into_iter()
        .chain(["content-type", "outbox-created-at"])
        .map(|name| {
            (
                name,
                record
                    .header(name)
                    .unwrap_or_else(|| panic!("no header {name}")),
            )
        })
        .collect();
    assert_eq!(
        headers,
        [
            ("tenant", "7 \u{fc}\"".to_owned()),
            ("traceparent", trace.to_owned()),
            ("outbox-id", full.to_string()),
            ("outbox-type", "PolicyIssued".to_owned()),
            ("content-type", "application/json".to_owned()),
            ("outbox-created-at", row.unwrap().get(0)),
        ]
    );
    assert_eq!(record.headers.len(), 7, "{:?}", record.headers);

    let deleted = of(&records, tombstone);
    assert_eq!(
        (deleted.payload.as_ref(), deleted.partition),
        (None, record.partition)
    );
    assert!(deleted.offset > record.offset, "one key keeps its order");
    let (first, second) = (position(&record), position(&deleted));
    assert_eq!(
        (first.0, first.2, second.2),
        (1, 0, 1),
        "timeline and index"
    );
    assert_eq!(first.1, second.1, "one transaction has one commit LSN");

    let [keyless, empty] = pair.as_slice() else {
        panic!("{pair:?}")
    };
    let (keyless, empty) = (of(&records, *keyless), of(&records, *empty));
    assert_eq!(
        (keyless.key.clone(), keyless.payload.clone()),
        (None, Some(vec![0, 255, b'\\']))
    );
    assert_eq!(
        (empty.key.as_deref(), empty.payload.as_deref()),
        (Some(""), Some(&b""[..]))
    );
    assert!(position(&keyless).1 > second.1, "commit order");

    let destination = format!("outbox_messages_published_total{{destination=\"{topic}\"}}");
    assert_eq!(scenario.metric(&destination).await, Some(4.0));
    assert_eq!(scenario.metric("outbox_active").await, Some(1.0));
    assert_eq!(
        scenario
            .metric("outbox_publish_latency_seconds_count")
            .await,
        Some(4.0)
    );
    for page in ["/live", "/ready", "/started"] {
        assert_eq!(scenario.get(page).await.unwrap().0, 200, "{page}");
    }
    relay.terminate().unwrap();
    assert_eq!(relay.exited(DEADLINE).await.unwrap().code(), Some(0));
    assert_calm(&relay);
}

/// Timeline, commit LSN and index of the header `outbox-position`.
fn position(record: &Record) -> (u32, outbox_core::Lsn, u32) {
    let text = record.header("outbox-position").unwrap();
    let parts: Vec<_> = text.split(':').collect();
    let [timeline, lsn, index] = parts.as_slice() else {
        panic!("{text}")
    };
    (
        timeline.parse().unwrap(),
        lsn.parse().unwrap(),
        index.parse().unwrap(),
    )
}

#[tokio::test]
async fn a_message_enqueued_by_sql_is_seen_as_its_overload_says() {
    let scenario = Scenario::initialised().await;
    let _relay = scenario.start_active().await;
    let client = scenario.client().await;
    let call = |payload: &str, rest: &str| {
        let topic = &scenario.topic().name;
        format!(
            "select outbox.enqueue(destination => '{topic}', type => 'T', payload => {payload}{rest})"
        )
    };
    for sql in [
        "begin".to_owned(),
        call(
            "jsonb_build_object('a', 'back\\slash')",
            ", key => 'k', headers => '{\"h\":\"1\"}'",
        ),
        call(r"'back\slash'", ", key => 'k'"),
        call(r"'\x00ff'::bytea", ", content_type => 'application/x-test'"),
        call("null::text", ", key => 'k'"),
        "commit".to_owned(),
        "begin".to_owned(),
        call("'never'", ""),
        "rollback".to_owned(),
        format!(
            "insert into outbox.message (destination, type, payload) values ('{}', 'plain', 'p')",
            scenario.topic().name
        ),
    ] {
        client.batch_execute(&sql).await.unwrap();
    }
    scenario.drained(&client).await;
    let mut records = scenario.records().await;
    records.sort_by_key(position);
    let seen: Vec<_> = records
        .iter()
        .map(|record| {
            let text = record
                .payload
                .as_ref()
                .map(|bytes| bytes.escape_ascii().to_string());
            (
                text,
                record.key.clone(),
                record.header("content-type").unwrap(),
                record.header("h"),
            )
        })
        .collect();
    let text = "text/plain; charset=utf-8";
    let (some, key) = (|text: &str| Some(text.to_owned()), || Some("k".to_owned()));
    assert_eq!(
        seen,
        [
            (
                some(r#"{\"a\": \"back\\\\slash\"}"#),
                key(),
                "application/json".to_owned(),
                some("1")
            ),
            (some(r"back\\slash"), key(), text.to_owned(), None),
            (
                some(r"\x00\xff"),
                None,
                "application/x-test".to_owned(),
                None
            ),
            (None, key(), text.to_owned(), None),
            (some("p"), None, "application/octet-stream".to_owned(), None),
        ]
    );
}

/// Keys and their hashes by Java's client, from the tests of Kafka's `Utils.murmur2`.
const MURMUR2: [(&str, i32); 6] = [
    ("21", -973_932_308),
    ("foobar", -790_332_482),
    ("a-little-bit-long-string", -985_981_536),
    ("a-little-bit-longer-string", -1_486_304_829),
    (
        "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
        -58_897_971,
    ),
    ("abc", 479_470_107),
];

#[tokio::test]
async fn a_key_goes_to_the_partition_that_java_would_choose() {
    let scenario = Scenario::initialised().await;
    let _relay = scenario.start_active().await;
    let client = scenario.client().await;
    for (key, _) in MURMUR2 {
        let sql = "select outbox.enqueue($1, 'T', 'x'::text, $2)";
        client
            .execute(sql, &[&scenario.topic().name, &key])
            .await
            .unwrap();
    }
    scenario.drained(&client).await;
    let records = scenario.records().await;
    for (key, hash) in MURMUR2 {
        let record = records
            .iter()
            .find(|record| record.key.as_deref() == Some(key))
            .unwrap();
        assert_eq!(record.partition, (hash & 0x7fff_ffff) % 6, "{key}");
    }
}
