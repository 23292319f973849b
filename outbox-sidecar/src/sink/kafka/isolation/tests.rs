use std::time::SystemTime;

use bytes::Bytes;
use outbox_core::checkpoint::Checkpoint;
use outbox_core::{Frontier, Lsn, OutboxRow, SystemId, TimelineHistory, TimelineId, Timestamp};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::*;

/// A batch of messages to these destinations, with payloads of so many bytes.
pub(in super::super) fn batch_of(messages: &[(String, usize)]) -> Batch {
    let now = Timestamp::from(SystemTime::now());
    let delivery = |(index, (destination, bytes)): (usize, &(String, usize))| Delivery {
        position: Position {
            commit_lsn: Lsn::new(1000),
            index: u32::try_from(index).unwrap(),
        },
        xid: 7,
        commit_time: now,
        replay: None,
        row: OutboxRow {
            id: MessageId::generate(),
            destination: destination.as_str().into(),
            key: None,
            message_type: "t".into(),
            content_type: "c".into(),
            payload: Some(Bytes::from(vec![0; *bytes])),
            headers: "{}".into(),
            created_at: now,
        },
    };
    Batch {
        messages: messages.iter().enumerate().map(delivery).collect(),
        checkpoint: Checkpoint {
            relay: "r".into(),
            system_id: SystemId(1),
            timeline: TimelineId(1),
            timeline_history: TimelineHistory::default(),
            frontier: Frontier::at(Lsn::new(2000)),
            last: None,
            stuck_writes: 0,
            publication_fingerprint: String::new(),
            sequence: 1,
            written_at: now,
        },
    }
}

fn batch(destinations: &[&str]) -> Batch {
    let message = |destination: &&str| ((*destination).to_owned(), 10);
    batch_of(&destinations.iter().map(message).collect::<Vec<_>>())
}

fn failed(tags: &[usize], code: Code) -> Vec<FailedDelivery> {
    let failed = |tag: &usize| FailedDelivery { tag: *tag, code };
    tags.iter().map(failed).collect()
}

fn refused(outcome: Outcome) -> Vec<(usize, RefusalReason)> {
    let Outcome::Poison(refusals) = outcome else {
        panic!("nobody is to blame: {outcome:?}");
    };
    let kind = |refusal: &Refusal| (refusal.batch_index, refusal.reason);
    refusals.iter().map(kind).collect()
}

#[test]
fn suspects_stay_suspects_when_one_of_them_is_taken_out_of_the_batch() {
    let (mut isolation, mut batch) = (Isolation::default(), batch(&["a"; 6]));
    let request = failed(&[4, 2, 3], Code::MessageSizeTooLarge);
    let outcome = isolation.blame(&batch, &request, String::new());
    assert!(matches!(outcome, Outcome::Abort { .. }));

    let mut alone = failed(&[3], Code::MessageSizeTooLarge);
    alone.extend(failed(&[4, 5], Code::PurgeQueue));
    let named = refused(isolation.blame(&batch, &alone, String::new()));
    assert_eq!(named, [(3, RefusalReason::TooLarge)]);

    batch.messages.remove(3);
    isolation.keep(&batch);
    let paces: Vec<Pace> = batch
        .messages
        .iter()
        .map(|found| isolation.pace(found))
        .collect();
    let (free, alone) = (Pace::Free, Pace::Alone);
    assert_eq!(paces, [free, free, alone, alone, free]);
    let next = failed(&[3], Code::MessageSizeTooLarge);
    let named = refused(isolation.blame(&batch, &next, String::new()));
    assert_eq!(named, [(3, RefusalReason::TooLarge)]);

    // Nothing is kept of what is not in the batch.
    batch.messages.truncate(2);
    isolation.keep(&batch);
    assert!(isolation.is_free());
}

#[test]
fn what_may_not_be_written_to_is_refused_with_all_its_messages() {
    let batch = batch(&["a", "b", "a", "b"]);
    let failures = failed(&[1], Code::TopicAuthorizationFailed);
    let named = refused(Isolation::default().blame(&batch, &failures, String::new()));
    let reason = RefusalReason::NotAuthorised;
    assert_eq!(named, [(1, reason), (3, reason)]);
}

#[test]
fn a_vanished_topic_is_looked_up_again_and_blames_nobody() {
    let failures = failed(&[1], Code::UnknownTopicOrPartition);
    let outcome = Isolation::default().blame(&batch(&["a", "b"]), &failures, String::new());
    assert!(matches!(outcome, Outcome::Abort { .. }));
}

#[test]
fn a_refusal_is_kept_for_the_message_and_not_for_its_place() {
    let (mut isolation, mut batch) = (Isolation::default(), batch(&["a", "b", "c"]));
    isolation.refuse_destination(&batch, "c", RefusalReason::NotAuthorised, "no");
    batch.messages.remove(0);
    isolation.keep(&batch);
    assert!(isolation.is_open());
    let named = refused(Outcome::Poison(isolation.take_refusals(&batch)));
    assert_eq!(named, [(1, RefusalReason::NotAuthorised)]);
    assert!(!isolation.is_open() && isolation.take_refusals(&batch).is_empty());
}

#[test]
fn what_is_too_large_together_is_halved_each_time() {
    let (mut isolation, batch) = (Isolation::default(), batch(&["a"]));
    let destination = &batch.messages[0].row.destination;
    assert_eq!(isolation.pace(&batch.messages[0]), Pace::Free);
    for (refused, limit) in [(1000, 500), (5000, 500), (300, 150)] {
        isolation.too_many(destination, refused);
        assert_eq!(isolation.pace(&batch.messages[0]), Pace::Within(limit));
    }
}
