//! Streams that are empty, or no longer hold what they got.

use super::reading::{eventually, make_stream, read_payloads};
use super::support::{
    batch_of, own, payloads, publish_all, publisher, runtime, settings, shared, unique,
};

#[test]
fn an_empty_stream_takes_what_comes() {
    let (rabbit, stream) = (shared(), unique("stream"));
    make_stream(rabbit, &stream, &[]);
    assert!(read_payloads(rabbit, &stream).is_empty());
    let batch = batch_of(1, &stream, 10);
    publish_all(&mut publisher(&settings(rabbit)), &batch);
    assert_eq!(read_payloads(rabbit, &stream), payloads(&batch, &stream));
}

#[test]
fn what_retention_has_removed_is_known_all_the_same() {
    let rabbit = own();
    let stream = unique("stream");
    let limits = [
        ("x-max-length-bytes", 200_000),
        ("x-stream-max-segment-size-bytes", 50_000),
    ];
    make_stream(&rabbit, &stream, &limits);
    let settings = settings(&rabbit);
    let mut first = publisher(&settings);
    let batches: Vec<_> = (1..=20)
        .map(|number| batch_of(number, &stream, 1000))
        .collect();
    for batch in &batches {
        publish_all(&mut first, batch);
    }
    // Another relay pushes out everything that ours published.
    let mut other = publisher(&super::support::settings(&rabbit));
    let mut sequence = 0;
    let ours = |seen: &[String]| seen.iter().any(|payload| !payload.starts_with("9"));
    eventually("everything of ours is gone", || {
        sequence += 1;
        let mut batch = batch_of(sequence, &stream, 2000);
        for delivery in &mut batch.messages {
            delivery.row.payload = Some(bytes::Bytes::from_static(b"9 other"));
        }
        publish_all(&mut other, &batch);
        !ours(&read_payloads(&rabbit, &stream))
    });
    let mut again = publisher(&settings);
    for batch in &batches {
        publish_all(&mut again, batch);
    }
    assert!(!ours(&read_payloads(&rabbit, &stream)));
    // After a restart the node knows it from the stream's files alone.
    runtime().block_on(rabbit.stop()).unwrap();
    runtime().block_on(rabbit.restart()).unwrap();
    for batch in &batches {
        publish_all(&mut again, batch);
    }
    assert!(!ours(&read_payloads(&rabbit, &stream)));
    let next = batch_of(21, &stream, 10);
    publish_all(&mut again, &next);
    assert!(read_payloads(&rabbit, &stream).ends_with(&payloads(&next, &stream)));
}
