//! What a Kafka consumer sees of a message.

use outbox_core::{Message, Outbox};

use crate::scenario::Scenario;

/// Java's murmur2 of a key, as its default partitioner uses it.
fn java_partition(key: &str, partitions: u32) -> i32 {
    const M: u32 = 0x5bd1_e995;
    let bytes = key.as_bytes();
    let mut hash = 0x9747_b28c_u32 ^ u32::try_from(bytes.len()).unwrap();
    let mut chunks = bytes.chunks_exact(4);
    for chunk in chunks.by_ref() {
        let mut k = u32::from_le_bytes(chunk.try_into().unwrap()).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^= hash >> 15;
    i32::try_from((hash & 0x7fff_ffff) % partitions).unwrap()
}

#[tokio::test]
async fn a_record_carries_what_the_interface_says() {
    let scenario = Scenario::initialised().await;
    let mut client = scenario.client().await;
    let outbox = Outbox::new();
    let transaction = client.transaction().await.unwrap();
    let message = Message::new(&scenario.topic, "PolicyIssued")
        .key("policy-1")
        .json(&serde_json::json!({ "premium": 7 }))
        .unwrap()
        .header("tenant", "7")
        .header(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        );
    let id = outbox.enqueue(&transaction, message).await.unwrap();
    let gone = Message::new(&scenario.topic, "PolicyErased")
        .key("policy-2")
        .tombstone();
    let tombstone = outbox.enqueue(&transaction, gone).await.unwrap();
    let keyless = Message::new(&scenario.topic, "Note").text("no key");
    outbox.enqueue(&transaction, keyless).await.unwrap();
    transaction.commit().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let never = Message::new(&scenario.topic, "Never").text("rolled back");
    outbox.enqueue(&transaction, never).await.unwrap();
    transaction.rollback().await.unwrap();
    let _relay = scenario.start_active().await;
    scenario.drained(&client).await;

    let records = scenario.records().await;
    assert_eq!(records.len(), 3);
    let find = |id: outbox_core::MessageId| {
        records
            .iter()
            .find(|record| record.id == Some(id.into()))
            .unwrap()
    };
    let issued = find(id);
    assert_eq!(issued.key.as_deref(), Some("policy-1"));
    assert_eq!(issued.payload.as_deref(), Some(&br#"{"premium":7}"#[..]));
    assert_eq!(issued.partition, java_partition("policy-1", 6));
    for (name, value) in [
        ("outbox-id", id.to_string().as_str()),
        ("outbox-type", "PolicyIssued"),
        ("content-type", "application/json"),
        ("tenant", "7"),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
    ] {
        assert_eq!(issued.header(name).as_deref(), Some(value), "{name}");
    }
    let position = issued.header("outbox-position").unwrap();
    assert_eq!(position.split(':').count(), 3, "{position}");
    assert!(
        position.starts_with("1:") && position.ends_with(":0"),
        "{position}"
    );
    assert!(issued.header("outbox-created-at").unwrap().ends_with('Z'));
    let erased = find(tombstone);
    assert_eq!(
        (erased.payload.as_deref(), erased.partition),
        (None, java_partition("policy-2", 6))
    );
    assert!(erased.header("outbox-position").unwrap().ends_with(":1"));
    assert!(records.iter().any(|record| record.key.is_none()));
}

#[test]
fn the_hash_is_javas() {
    // The vectors of Kafka's own UtilsTest.
    for (key, hash) in [
        ("21", -973_932_308_i32),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
    ] {
        let partition = (hash & 0x7fff_ffff) % 1000;
        assert_eq!(java_partition(key, 1000), partition, "{key}");
    }
}
