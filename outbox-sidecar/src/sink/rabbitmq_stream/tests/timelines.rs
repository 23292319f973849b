//! What a fail-over of PostgreSQL changes, and what a restore.

use outbox_core::sink::{AcquireError, Batch, Outcome};

use super::reading::{delete_stream, read_payloads};
use super::support::{
    all_payloads, batch_of, own, payloads, promoted, publish_all, publish_surely, publisher,
    settings, shared, unique,
};
use crate::sink::at_least_once::Publisher as _;
use crate::sink::rabbitmq_stream::StreamPublisher;

/// As the relay does it: published, and then covered by a checkpoint.
fn publish_and_settle(publisher: &mut StreamPublisher, batch: &Batch) {
    publish_all(publisher, batch);
    publisher.settled(&batch.checkpoint);
}

fn diverged(outcome: Outcome) -> String {
    match outcome {
        Outcome::Diverged { reason } => reason,
        outcome => panic!("{outcome:?}"),
    }
}

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
    let expected = all_payloads(batches.iter().chain([&next]), &stream);
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
    let reason = diverged(publish_surely(&mut after, &others[1]));
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
    let expected = all_payloads(batches.iter().chain(&others[1..]), &stream);
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

#[test]
fn a_database_that_was_set_back_publishes_nothing() {
    let (rabbit, stream) = (shared(), unique("stream"));
    let settings = settings(rabbit);
    let batches: Vec<_> = (1..=6)
        .map(|number| batch_of(number, &stream, 10))
        .collect();
    let mut before = publisher(&settings);
    for batch in &batches[..5] {
        publish_and_settle(&mut before, batch);
    }
    before.release();

    // The database has the first checkpoint, and other messages at the places of the later ones.
    let mut restored = publisher(&settings);
    restored.settled(&batches[0].checkpoint);
    let elsewhere = unique("elsewhere");
    let reason = diverged(publish_surely(&mut restored, &batch_of(2, &elsewhere, 10)));
    for part in ["outbox-checkpoints", "set back", "0/1E8480:0"] {
        assert!(reason.contains(part), "{part}: {reason}");
    }

    // Nothing speaks against the database that has everything.
    let mut intact = publisher(&settings);
    intact.settled(&batches[4].checkpoint);
    publish_and_settle(&mut intact, &batches[5]);
    let expected = all_payloads(&batches, &stream);
    assert_eq!(read_payloads(rabbit, &stream), expected);
}

#[test]
fn a_message_that_the_log_does_not_bring_again_stops_the_publisher() {
    let (rabbit, stream) = (shared(), unique("stream"));
    let settings = settings(rabbit);
    let batches: Vec<_> = (1..=3)
        .map(|number| batch_of(number, &stream, 10))
        .collect();
    // Killed before the second batch had its checkpoint.
    let mut killed = publisher(&settings);
    publish_all(&mut killed, &batches[0]);
    publish_all(&mut killed, &batches[1]);

    let mut without_it = publisher(&settings);
    without_it.settled(&batches[0].checkpoint);
    let reason = diverged(publish_surely(&mut without_it, &batches[2]));
    for part in [stream.as_str(), "0/1E8480:9", "did not bring it again"] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    let mut with_it = publisher(&settings);
    with_it.settled(&batches[0].checkpoint);
    publish_and_settle(&mut with_it, &batches[1]);
    publish_and_settle(&mut with_it, &batches[2]);
    assert_eq!(read_payloads(rabbit, &stream).len(), 30);
}

/// A publisher on a database that has the first checkpoint and has forgotten the fourth batch, of
/// which there was no copy yet; it has published two other batches since.
fn forgetful(stream: &str) -> StreamPublisher {
    let settings = settings(shared());
    let first = batch_of(1, stream, 10);
    let mut killed = publisher(&settings);
    publish_and_settle(&mut killed, &first);
    publish_all(&mut killed, &batch_of(4, stream, 10));
    killed.release();
    let mut restored = publisher(&settings);
    restored.settled(&first.checkpoint);
    for number in [2, 3] {
        publish_and_settle(&mut restored, &batch_of(number, stream, 10));
    }
    restored
}

#[test]
fn other_messages_at_known_positions_stop_the_publisher_where_it_shows() {
    // With the next message for the stream, or with a checkpoint that leaves it behind.
    for elsewhere in [false, true] {
        let stream = unique("stream");
        let mut restored = forgetful(&stream);
        let next = if elsewhere {
            unique("elsewhere")
        } else {
            stream.clone()
        };
        let reason = diverged(publish_surely(&mut restored, &batch_of(5, &next, 10)));
        assert!(reason.contains("0/3D0900:9"), "{reason}");
        assert_eq!(read_payloads(shared(), &stream).len(), 20);
    }
}

#[test]
fn a_server_that_a_fail_over_left_behind_publishes_nothing() {
    let (rabbit, stream) = (shared(), unique("stream"));
    let settings = settings(rabbit);
    let first = batch_of(1, &stream, 10);
    let mut before = publisher(&settings);
    publish_and_settle(&mut before, &first);
    before.release();
    let mut promoted_one = publisher(&settings);
    promoted_one.settled(&first.checkpoint);
    for number in 2..=4 {
        publish_and_settle(
            &mut promoted_one,
            &promoted(&batch_of(number, &stream, 10), 2, 2),
        );
    }
    promoted_one.release();
    // The old primary is back, with its own checkpoint.
    let mut back = publisher(&settings);
    back.settled(&first.checkpoint);
    let reason = diverged(publish_surely(&mut back, &batch_of(2, &stream, 10)));
    for part in ["timeline 2", "timeline 1", "left behind"] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    assert_eq!(read_payloads(rabbit, &stream).len(), 40);
}

#[test]
fn phantoms_are_seen_before_anything_goes_anywhere() {
    let (rabbit, stream) = (shared(), unique("stream"));
    let settings = settings(rabbit);
    let batches: Vec<_> = (1..=5)
        .map(|number| batch_of(number, &stream, 10))
        .collect();
    let mut before = publisher(&settings);
    for batch in &batches {
        publish_and_settle(&mut before, batch);
    }
    before.release();
    // The standby was promoted where the second would commit, its checkpoint older still.
    let mut after = publisher(&settings);
    after.settled(&batches[0].checkpoint);
    let other = unique("other");
    let batch = promoted(&batch_of(2, &other, 10), 2, 2);
    let reason = diverged(publish_surely(&mut after, &batch));
    assert!(reason.contains("0/1E8480: timeline 2"), "{reason}");
    // Promoted behind everything, it goes on, with a checkpoint that is as old.
    let mut after = publisher(&settings);
    after.settled(&batches[0].checkpoint);
    for batch in &batches[1..] {
        publish_and_settle(&mut after, &promoted(batch, 2, 6));
    }
    let next = promoted(&batch_of(6, &stream, 10), 2, 6);
    publish_and_settle(&mut after, &next);
    assert_eq!(read_payloads(rabbit, &stream).len(), 60);
}

#[test]
fn without_the_stream_of_the_copies_there_is_no_right_to_publish() {
    let rabbit = own();
    let settings = settings(&rabbit);
    let mut publisher = publisher(&settings);
    delete_stream(&rabbit, &settings.checkpoint_stream);
    let error = publisher.acquire().unwrap_err();
    assert!(
        matches!(error, AcquireError::CheckpointMissing(_)),
        "{error}"
    );
    assert!(error.to_string().contains("outbox-sidecar init"), "{error}");
    publisher.create_checkpoint_stream().unwrap();
    publisher.acquire().unwrap();
}
