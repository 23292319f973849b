use outbox_core::sink::RefusalReason;

use super::reading::{delete_stream, header, read_all, read_payloads};
use super::support::{
    batch_of, publish_all, publish_surely, publisher, refusals, runtime, settings, shared, unique,
};

/// What the official clients' hash says of these keys for three partitions: computed with the
/// `murmur3` crate, which the official Rust client uses, and seed 104729.
const OFFICIAL: [(&str, usize); 8] = [
    ("", 1),
    ("a", 1),
    ("hello0", 2),
    ("hello1", 1),
    ("policy-7", 1),
    ("\u{e9}t\u{e9}", 0),
    ("0123456789", 2),
    ("01912345-89ab-7cde-8f01-23456789abcd", 2),
];

fn make_super_stream(partitions: usize) -> String {
    let name = unique("super");
    let count = partitions.to_string();
    let making = ["add_super_stream", &name, "--partitions", &count];
    runtime().block_on(shared().streams(&making)).unwrap();
    name
}

#[test]
fn a_key_goes_where_the_official_clients_send_it() {
    let (rabbit, name) = (shared(), make_super_stream(3));
    let mut batch = batch_of(1, &name, 200);
    for (number, delivery) in batch.messages.iter_mut().enumerate() {
        let key = match OFFICIAL.get(number) {
            Some((key, _)) => (*key).to_owned(),
            None => format!("key-{}", number % 11),
        };
        delivery.row.key = Some(key.into());
    }
    let settings = settings(rabbit);
    publish_all(&mut publisher(&settings), &batch);
    publish_all(&mut publisher(&settings), &batch);
    let mut all = 0;
    for partition in 0..3 {
        let seen = read_all(rabbit, &format!("{name}-{partition}"));
        all += seen.len();
        let mut places: Vec<usize> = Vec::new();
        for message in &seen {
            let text = String::from_utf8(message.data.clone()).unwrap();
            let place: usize = text[2..].parse().unwrap();
            if let Some((key, expected)) = OFFICIAL.get(place) {
                assert_eq!(*expected, partition, "{key:?}");
                assert_eq!(header(message, "outbox-key").as_deref(), Some(*key));
            }
            places.push(place);
        }
        assert!(places.is_sorted(), "partition {partition}");
    }
    assert_eq!(all, 200);
}

#[test]
fn messages_without_a_key_are_spread_and_still_once() {
    let (rabbit, name) = (shared(), make_super_stream(3));
    let batch = batch_of(1, &name, 300);
    let settings = settings(rabbit);
    publish_all(&mut publisher(&settings), &batch);
    publish_all(&mut publisher(&settings), &batch);
    let counts: Vec<usize> = (0..3)
        .map(|partition| read_payloads(rabbit, &format!("{name}-{partition}")).len())
        .collect();
    assert_eq!(counts.iter().sum::<usize>(), 300);
    assert!(counts.iter().all(|count| *count > 30), "{counts:?}");
}

#[test]
fn a_partition_that_is_missing_is_named() {
    let (rabbit, name) = (shared(), make_super_stream(2));
    delete_stream(rabbit, &format!("{name}-1"));
    let batch = batch_of(1, &name, 40);
    let outcome = publish_surely(&mut publisher(&settings(rabbit)), &batch);
    let present = read_payloads(rabbit, &format!("{name}-0")).len();
    match outcome {
        // Deleting the stream may have removed it from the super stream as well.
        outbox_core::sink::Outcome::Durable => assert_eq!(present, 40),
        outcome => {
            let found = refusals(outcome);
            assert_eq!(found.len() + present, 40);
            let missing = |refusal: &outbox_core::sink::Refusal| {
                refusal.reason == RefusalReason::DestinationMissing
            };
            assert!(found.iter().all(missing));
        }
    }
}
