use std::time::Duration;

use super::scenario::*;
use crate::relay::{Action, Event, FailureKind, Ticket};
use crate::sink::{AcquireError, Outcome};

/// The sink does not know what became of row 1 at 1000; SQL and acquire are left to the test.
fn indefinite() -> Scenario {
    let mut scenario = Scenario::publishing();
    scenario.stream([begin(1000), row(1), commit(1000)]);
    scenario.leave(|action| {
        matches!(
            action,
            Action::Publish(..) | Action::Inspect(_) | Action::Acquire(..)
        )
    });
    scenario.forget_but_batch();
    scenario.outcome(Outcome::Indefinite { reason: "r".into() });
    assert_eq!(scenario.phase(), "recovering");
    scenario
}

fn inspect(action: &Action) -> Option<Ticket> {
    match action {
        Action::Inspect(ticket) => Some(*ticket),
        _ => None,
    }
}

fn acquire(action: &Action) -> Option<Ticket> {
    match action {
        Action::Acquire(ticket, _) => Some(*ticket),
        _ => None,
    }
}

impl Scenario {
    /// Forgets everything before the batch in flight.
    fn forget_but_batch(&mut self) {
        let batch = self
            .actions
            .iter()
            .rposition(|action| publish(action).is_some());
        self.actions.drain(..batch.unwrap());
        self.resume_answers();
    }

    fn slot_is_ours(&mut self) {
        let ticket = self.ticket(inspect);
        self.event(Event::Inspected(ticket, Ok(self.inspection.clone())));
    }

    /// And the slot is still ours.
    fn acquired(&mut self) {
        self.acquired_at_last();
        self.slot_is_ours();
    }

    fn acquired_at_last(&mut self) {
        let ticket = self.ticket(acquire);
        self.event(Event::Acquired(ticket, Ok(Some(self.checkpoint.clone()))));
    }
}

#[test]
fn indefinite_asks_for_the_slot_before_it_fences() {
    let mut scenario = indefinite();
    assert!(!scenario.did(|action| acquire(action).is_some()));
    scenario.slot_is_ours();
    assert!(scenario.did(|action| acquire(action).is_some()));
    assert_eq!(scenario.batches().len(), 1, "nothing is sent again yet");
}

#[test]
fn a_checkpoint_at_the_batchs_end_means_durable() {
    let mut scenario = indefinite();
    scenario.slot_is_ours();
    scenario.checkpoint = scenario.batches()[0].checkpoint.clone();
    scenario.acquired();
    assert_eq!(scenario.confirmed(), [1040]);
    assert_eq!((scenario.batches().len(), scenario.phase()), (1, "active"));
}

#[test]
fn a_checkpoint_at_the_batchs_start_means_send_it_again() {
    let mut scenario = indefinite();
    scenario.slot_is_ours();
    scenario.acquired();
    let batches = scenario.batches();
    assert_eq!((batches.len(), &batches[0]), (2, &batches[1]));
    assert!(scenario.confirmed().is_empty());
}

#[test]
fn a_checkpoint_anywhere_else_means_fenced() {
    let mut elsewhere = indefinite().batches()[0].checkpoint.clone();
    elsewhere.written_at = crate::Timestamp::from_unix_us(1);
    let mut beyond = elsewhere.clone();
    beyond.sequence += 1;
    for found in [elsewhere, beyond] {
        let mut scenario = indefinite();
        scenario.slot_is_ours();
        scenario.checkpoint = found;
        scenario.acquired();
        assert_eq!((scenario.phase(), scenario.stop()), ("standby", None));
        assert_eq!(scenario.batches().len(), 1);
        assert!(scenario.confirmed().is_empty());
    }
}

#[test]
fn a_slot_that_is_no_longer_ours_is_fenced_by_nobody() {
    for holder in [None, Some(holder(PID + 1))] {
        let mut scenario = indefinite();
        scenario.slot().holder = holder;
        scenario.slot_is_ours();
        assert_eq!(scenario.phase(), "standby");
        assert!(!scenario.did(|action| acquire(action).is_some()));
    }
}

#[test]
fn a_batch_in_doubt_is_not_sent_again_under_an_altered_publication() {
    let mut scenario = indefinite();
    scenario.inspection.publication_fingerprint = Some("altered".into());
    scenario.slot_is_ours();
    assert_eq!(scenario.exit_code(), Some(2));
    assert!(!scenario.did(|action| acquire(action).is_some()));
}

#[test]
fn a_slot_that_went_to_another_before_we_acquired_leaves_the_batch_alone() {
    let mut scenario = indefinite();
    scenario.slot_is_ours();
    // Frozen here: another had the slot, and may have set messages of ours aside.
    scenario.acquired_at_last();
    assert_eq!(scenario.batches().len(), 1, "nothing is sent again yet");
    scenario.slot().holder = Some(holder(PID + 1));
    scenario.slot_is_ours();
    assert_eq!((scenario.phase(), scenario.batches().len()), ("standby", 1));
    assert!(scenario.confirmed().is_empty());
}

#[test]
fn a_broker_that_is_away_is_asked_again_the_slot_first() {
    let mut scenario = indefinite();
    scenario.slot_is_ours();
    let stale = scenario.ticket(acquire);
    scenario.event(Event::Acquired(
        stale,
        Err(AcquireError::Unavailable(String::new())),
    ));
    assert_eq!(scenario.phase(), "recovering");
    scenario.pass(Duration::from_millis(50));
    scenario.event(Event::Acquired(
        stale,
        Ok(Some(scenario.checkpoint.clone())),
    ));
    assert_eq!(
        scenario.batches().len(),
        1,
        "a stale answer decides nothing"
    );
    scenario.slot_is_ours();
    scenario.acquired();
    assert_eq!(scenario.batches().len(), 2);
}

#[test]
fn a_relay_that_took_over_meanwhile_is_left_alone() {
    let mut scenario = indefinite();
    scenario.slot_is_ours();
    let ticket = scenario.ticket(acquire);
    scenario.event(Event::Acquired(
        ticket,
        Err(AcquireError::Fenced("f".into())),
    ));
    assert_eq!((scenario.phase(), scenario.stop()), ("standby", None));
}

#[test]
fn checkpoints_of_two_writers_exit_1_and_a_missing_one_5() {
    for (found, exit_code) in [
        (Err(AcquireError::TwoWriters(String::new())), 1),
        (Err(AcquireError::CheckpointMissing(String::new())), 5),
        (Ok(None), 5),
    ] {
        let mut scenario = indefinite();
        scenario.slot_is_ours();
        let ticket = scenario.ticket(acquire);
        scenario.event(Event::Acquired(ticket, found));
        assert_eq!(scenario.exit_code(), Some(exit_code));
    }
}

#[test]
fn a_lost_stream_ends_the_recovery() {
    let mut scenario = indefinite();
    scenario.event(Event::StreamEnded(failure(FailureKind::Unreachable)));
    assert_eq!(scenario.phase(), "standby");
}

#[test]
fn the_stream_is_taken_in_during_a_recovery_and_goes_out_after_it() {
    let mut scenario = indefinite();
    scenario.stream([begin(1100), row(2), commit(1100)]);
    scenario.slot_is_ours();
    scenario.checkpoint = scenario.batches()[0].checkpoint.clone();
    scenario.acquired();
    assert_eq!(scenario.published()[1], (vec![2], at(1140)));
}
