use outbox_core::{Frontier, Lsn, SystemId, TimelineHistory, TimelineId, Timestamp};

use super::*;

fn batch(sequence: u64) -> Batch {
    Batch {
        messages: Vec::new(),
        checkpoint: Checkpoint {
            relay: "r".into(),
            system_id: SystemId(1),
            timeline: TimelineId(1),
            timeline_history: TimelineHistory::default(),
            frontier: Frontier::at(Lsn::new(sequence)),
            last: None,
            stuck_writes: 0,
            publication_fingerprint: String::new(),
            sequence,
            written_at: Timestamp::default(),
        },
    }
}

fn sequence(checkpoint: Option<Checkpoint>) -> Option<u64> {
    checkpoint.map(|checkpoint| checkpoint.sequence)
}

#[test]
fn a_new_holder_fences_the_old_one() {
    let broker = MemoryBroker::default();
    let (mut old, mut new) = (broker.sink(), broker.sink());
    old.acquire(1).unwrap();
    assert_eq!(old.publish(&batch(1)), Outcome::Durable);
    assert_eq!(sequence(new.acquire(1).unwrap()), Some(1));
    assert!(matches!(old.publish(&batch(2)), Outcome::Fenced { .. }));
    assert!(matches!(old.publish(&batch(2)), Outcome::Indefinite { .. }));
    assert_eq!(new.publish(&batch(2)), Outcome::Durable);
    assert_eq!(sequence(broker.checkpoint()), Some(2));
}

#[test]
fn only_the_checkpoint_tells_an_indefinite_batch_from_a_lost_one() {
    for (fault, expected) in [
        (Fault::IndefiniteDurable, Some(1)),
        (Fault::IndefiniteLost, None),
    ] {
        let broker = MemoryBroker::default();
        let mut sink = broker.sink();
        sink.acquire(1).unwrap();
        broker.script(fault);
        assert!(matches!(
            sink.publish(&batch(1)),
            Outcome::Indefinite { .. }
        ));
        assert!(broker.script_is_done());
        assert_eq!(sequence(sink.acquire(1).unwrap()), expected);
    }
}
