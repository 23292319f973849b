use crate::sink::at_least_once::Publisher as _;
use outbox_core::sink::Outcome;

use super::reading::{header, make_stream, read_all, read_payloads};
use super::support::{
    all_payloads, batch_of, batch_to, payloads, publish_all, publish_surely, publisher, settings,
    shared, unique,
};

#[test]
fn a_consumer_sees_every_field_of_the_row() {
    let (rabbit, stream) = (shared(), unique("stream"));
    make_stream(rabbit, &stream, &[]);
    let mut batch = batch_of(1, &stream, 3);
    let key = "k".repeat(300);
    batch.messages[0].row.headers = r#"{"tenant":"7","traceparent":"00-ab"}"#.into();
    batch.messages[0].row.key = Some(key.as_str().into());
    batch.messages[1].row.payload = None;
    batch.messages[2].row.payload = Some(bytes::Bytes::new());
    publish_all(&mut publisher(&settings(rabbit)), &batch);

    let seen = read_all(rabbit, &stream);
    assert_eq!(seen.len(), 3);
    let properties = &seen[0].properties;
    assert_eq!(seen[0].data, b"1.0");
    let id = batch.messages[0].row.id.to_string();
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), id);
    assert_eq!(properties.kind().as_ref().unwrap().as_str(), "OrderPlaced");
    let content_type = properties.content_type().as_ref().unwrap();
    assert_eq!(content_type.as_str(), "text/plain");
    assert_eq!(*properties.timestamp(), Some(1_700_000_000));
    let of_first = |name| header(&seen[0], name);
    assert_eq!(of_first("tenant").as_deref(), Some("7"));
    assert_eq!(of_first("traceparent").as_deref(), Some("00-ab"));
    assert_eq!(of_first("outbox-key"), Some(key));
    assert_eq!(of_first("outbox-position").as_deref(), Some("1:0/F4240:0"));
    assert_eq!(of_first("outbox-tombstone"), None);
    assert_eq!(
        header(&seen[1], "outbox-tombstone").as_deref(),
        Some("true")
    );
    assert_eq!(header(&seen[1], "outbox-key"), None);
    assert_eq!(seen[1].data, b"");
    assert_eq!(header(&seen[2], "outbox-tombstone"), None);
    assert_eq!(seen[2].data, b"");
}

#[test]
fn twenty_thousand_messages_over_several_streams_arrive_in_order() {
    let rabbit = shared();
    let streams: Vec<String> = (0..20).map(|_| unique("stream")).collect();
    let names: Vec<&str> = (0..20_000).map(|n| streams[n * 7 % 20].as_str()).collect();
    let mut publisher = publisher(&settings(rabbit));
    let batches: Vec<_> = names
        .chunks(5000)
        .zip(1..)
        .map(|(names, sequence)| batch_to(sequence, names))
        .collect();
    for batch in &batches {
        publish_all(&mut publisher, batch);
    }
    for stream in &streams {
        let expected = all_payloads(&batches, stream);
        assert_eq!(expected.len(), 1000);
        assert_eq!(read_payloads(rabbit, stream), expected);
    }
}

#[test]
fn more_streams_than_a_connection_has_publishers() {
    let rabbit = shared();
    let streams: Vec<String> = (0..300).map(|_| unique("many")).collect();
    let names: Vec<&str> = streams.iter().map(String::as_str).collect();
    let mut publisher = publisher(&settings(rabbit));
    let batches = [batch_to(1, &names), batch_to(2, &names)];
    for batch in &batches {
        publish_all(&mut publisher, batch);
    }
    for stream in [&streams[0], &streams[150], &streams[299]] {
        let expected = all_payloads(&batches, stream);
        assert_eq!(read_payloads(rabbit, stream), expected);
    }
}

#[test]
fn a_batch_that_comes_again_adds_nothing() {
    let (rabbit, stream) = (shared(), unique("stream"));
    let mut publisher = publisher(&settings(rabbit));
    let batch = batch_of(1, &stream, 100);
    for _ in 0..3 {
        publish_all(&mut publisher, &batch);
    }
    publisher.release();
    publisher.acquire().unwrap();
    publish_all(&mut publisher, &batch);
    assert_eq!(read_payloads(rabbit, &stream), payloads(&batch, &stream));
}

#[test]
fn a_batch_without_messages_is_durable_at_once() {
    let mut publisher = publisher(&settings(shared()));
    assert_eq!(
        publish_surely(&mut publisher, &batch_to(1, &[])),
        Outcome::Durable
    );
    publisher.release();
    let outcome = publisher.publish(&batch_to(2, &[]));
    assert!(matches!(outcome, Outcome::Indefinite { .. }), "{outcome:?}");
}

#[test]
fn positions_at_the_edges_of_a_generation_are_in_order() {
    let (rabbit, stream) = (shared(), unique("stream"));
    let mut publisher = publisher(&settings(rabbit));
    let mut batch = batch_of(1, &stream, 6);
    let generation = 1_u64 << 47;
    let lsns = [
        generation - 16,
        generation - 8,
        generation + 8,
        generation + 16,
    ];
    for (delivery, lsn) in batch
        .messages
        .iter_mut()
        .zip(lsns.iter().chain([&(2 * generation - 8); 2]))
    {
        delivery.position.commit_lsn = outbox_core::Lsn::new(*lsn);
    }
    batch.messages[5].position.index = (1 << 20) - 1;
    publish_all(&mut publisher, &batch);
    publisher.release();
    publisher.acquire().unwrap();
    publish_all(&mut publisher, &batch);
    assert_eq!(read_payloads(rabbit, &stream), payloads(&batch, &stream));
}
