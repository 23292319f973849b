//! What a fail-over of PostgreSQL changes.

use outbox_core::sink::Outcome;

use super::reading::read_payloads;
use super::support::{
    batch_of, payloads, promoted, publish_all, publish_surely, publisher, settings, shared, unique,
};

#[test]
fn what_comes_again_on_a_new_timeline_is_not_doubled() {
    let (rabbit, stream) = (shared(), unique("stream"));
    let settings = settings(rabbit);
    let mut before = publisher(&settings);
    let batches: Vec<_> = (1..=4)
        .map(|number| batch_of(number, &stream, 100))
        .collect();
    publish_all(&mut before, &batches[0]);
    publish_all(&mut before, &batches[1]);
    // The standby was promoted after the fourth; the checkpoint was lost after the first.
    let mut after = publisher(&settings);
    for batch in &batches {
        publish_all(&mut after, &promoted(batch, 2, 5));
    }
    // The old relay wakes up, and what it sends lies before the switch.
    publish_all(&mut before, &batches[2]);
    let next = promoted(&batch_of(5, &stream, 100), 2, 5);
    publish_all(&mut after, &next);
    publish_all(&mut before, &batches[3]);
    let expected: Vec<String> = batches
        .iter()
        .chain([&next])
        .flat_map(|batch| payloads(batch, &stream))
        .collect();
    assert_eq!(read_payloads(rabbit, &stream), expected);
}

#[test]
fn phantoms_stop_the_publisher_and_once_accepted_nothing_is_swallowed() {
    let (rabbit, stream) = (shared(), unique("stream"));
    let mut settings = settings(rabbit);
    let mut before = publisher(&settings);
    let batches: Vec<_> = (1..=5)
        .map(|number| batch_of(number, &stream, 100))
        .collect();
    for batch in &batches {
        publish_all(&mut before, batch);
    }
    // The survivor has only the first three, and writes others in place of the rest.
    let others: Vec<_> = (3..=6)
        .map(|number| promoted(&batch_of(number, &stream, 50), 2, 4))
        .collect();
    let mut after = publisher(&settings);
    let outcome = publish_surely(&mut after, &others[1]);
    let Outcome::Fatal { reason } = outcome else {
        panic!("{outcome:?}");
    };
    for part in [stream.as_str(), "0/4C4B40:99", "0/3D0900", "timeline 2"] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    assert_eq!(read_payloads(rabbit, &stream).len(), 500);

    settings.phantoms_accepted = true;
    let mut after = publisher(&settings);
    // The third lies before the switch: it is there.
    for batch in &others {
        publish_all(&mut after, batch);
    }
    let expected: Vec<String> = batches
        .iter()
        .chain(&others[1..])
        .flat_map(|batch| payloads(batch, &stream))
        .collect();
    assert_eq!(read_payloads(rabbit, &stream), expected);

    // Nobody is asked twice.
    settings.phantoms_accepted = false;
    let mut later = publisher(&settings);
    publish_all(&mut later, &promoted(&batch_of(7, &stream, 50), 2, 4));
    assert_eq!(read_payloads(rabbit, &stream).len(), expected.len() + 50);
}

#[test]
fn another_cluster_under_the_same_name_swallows_nothing() {
    let (rabbit, stream) = (shared(), unique("stream"));
    let mut publisher = publisher(&settings(rabbit));
    let before = batch_of(9, &stream, 100);
    publish_all(&mut publisher, &before);
    let mut moved = batch_of(1, &stream, 100);
    moved.checkpoint.system_id = outbox_core::SystemId(2);
    publish_all(&mut publisher, &moved);
    let expected = [payloads(&before, &stream), payloads(&moved, &stream)].concat();
    assert_eq!(read_payloads(rabbit, &stream), expected);
}
