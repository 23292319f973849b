use std::sync::Arc;
use std::time::Duration;

use super::scenario::*;
use crate::OutboxRow;
use crate::relay::{Action, Notice, ParkedMessage, Settings, StreamEvent, StuckPolicy};
use crate::sink::{Outcome, Refusal, RefusalReason};

/// Three refusals make a destination gone, five of its messages are set aside then.
fn publishing() -> Scenario {
    let mut scenario = Scenario::with(Settings {
        stuck: StuckPolicy::ParkKey,
        ..settings()
    });
    scenario.run();
    scenario.stream([keepalive(1000)]);
    scenario.leave(|action| publish(action).is_some());
    scenario
}

/// A row without a key, to this destination.
fn to(destination: &'static str, number: u32) -> StreamEvent {
    let StreamEvent::Row(row) = row(number) else {
        unreachable!("a row is a row")
    };
    StreamEvent::Row(OutboxRow {
        destination: destination.into(),
        ..row
    })
}

fn missing(batch_index: usize) -> Refusal {
    Refusal {
        batch_index,
        reason: RefusalReason::DestinationMissing,
        error: "no such topic".into(),
    }
}

fn poison<const N: usize>(indexes: [usize; N]) -> Outcome {
    Outcome::Poison(indexes.map(missing).to_vec())
}

/// Messages 1 to 3 are refused in one go, and message 4 goes elsewhere.
fn gone() -> Scenario {
    let mut scenario = publishing();
    scenario.stream([
        begin(1100),
        to("d", 1),
        to("d", 2),
        to("d", 3),
        to("e", 4),
        commit(1100),
    ]);
    scenario.outcome(poison([0, 1, 2]));
    assert_eq!(scenario.published().last(), Some(&(vec![4], at(1140))));
    scenario.outcome(Outcome::Durable);
    let said = |action: &Action| {
        matches!(action, Action::Report(Notice::DestinationGone { destination, .. })
            if destination == "d")
    };
    assert!(scenario.did(said));
    scenario
}

fn parked(scenario: &Scenario) -> usize {
    let parked = scenario.actions.iter().filter_map(|action| match action {
        Action::Park { messages, .. } => Some(Arc::clone(messages)),
        _ => None,
    });
    let parked: Vec<ParkedMessage> = parked.flat_map(|parked| parked.to_vec()).collect();
    parked.len()
}

#[test]
fn what_goes_to_a_destination_that_is_gone_is_set_aside_unasked() {
    let mut scenario = gone();
    scenario.stream([begin(1200), to("d", 5), to("e", 6), commit(1200)]);
    assert_eq!(scenario.published().last(), Some(&(vec![6], at(1240))));
    assert_eq!(parked(&scenario), 4);
}

#[test]
fn one_is_tried_now_and_then_and_shows_that_it_is_back() {
    let mut scenario = gone();
    scenario.pass(Duration::from_secs(1));
    scenario.stream([begin(1200), to("d", 5), to("d", 6), commit(1200)]);
    assert_eq!(scenario.published().last(), Some(&(vec![5], at(1240))));
    // It is refused like the others, and the next is tried later than this one was.
    scenario.outcome(poison([0]));
    scenario.outcome(Outcome::Durable);
    scenario.pass(Duration::from_secs(1));
    scenario.stream([begin(1300), to("d", 7), commit(1300)]);
    assert_eq!(scenario.published().last(), Some(&(vec![], at(1340))));
    scenario.outcome(Outcome::Durable);
    scenario.pass(Duration::from_secs(1));
    scenario.stream([begin(1400), to("d", 8), commit(1400)]);
    assert_eq!(scenario.published().last(), Some(&(vec![8], at(1440))));
    scenario.outcome(Outcome::Durable);
    assert!(scenario.did(|action| matches!(
        action,
        Action::Report(Notice::DestinationBack { destination }) if destination == "d"
    )));
    scenario.stream([begin(1500), to("d", 9), to("d", 10), commit(1500)]);
    assert_eq!(scenario.published().last(), Some(&(vec![9, 10], at(1540))));
}

#[test]
fn beyond_its_limit_the_relay_waits_for_the_destination() {
    let mut scenario = gone();
    for commit_lsn in [1200, 1300, 1400, 1500] {
        scenario.stream([begin(commit_lsn), to("d", 5), commit(commit_lsn)]);
        scenario.outcome(Outcome::Durable);
    }
    // The refusal that made it gone counts, and four more.
    assert_eq!(parked(&scenario), 7);
    scenario.stream([begin(1600), to("d", 9), to("e", 10), commit(1600)]);
    assert_eq!(scenario.published().last(), Some(&(vec![9, 10], at(1640))));
    scenario.outcome(poison([0]));
    assert_eq!(parked(&scenario), 7, "nothing more is set aside");
    let batches = scenario.published().len();
    scenario.pass(Duration::from_secs(5));
    assert_eq!(scenario.published().len(), batches + 1, "the same again");
    assert_eq!(scenario.published().last(), Some(&(vec![9, 10], at(1640))));
    scenario.outcome(Outcome::Durable);
    assert_eq!(scenario.phase(), "active");
}

#[test]
fn a_message_that_gets_through_shows_that_only_others_are_at_fault() {
    let mut scenario = publishing();
    for commit_lsn in [1100, 1200, 1300, 1400] {
        scenario.stream([
            begin(commit_lsn),
            to("d", 1),
            to("d", 2),
            commit(commit_lsn),
        ]);
        scenario.outcome(poison([0]));
        assert_eq!(
            scenario.published().last(),
            Some(&(vec![2], at(commit_lsn + 40)))
        );
        scenario.outcome(Outcome::Durable);
    }
}

#[test]
fn what_is_refused_for_itself_says_nothing_of_its_destination() {
    let mut scenario = publishing();
    let too_large = Refusal {
        reason: RefusalReason::TooLarge,
        ..missing(0)
    };
    for commit_lsn in [1100, 1200, 1300, 1400] {
        scenario.stream([begin(commit_lsn), to("d", 1), commit(commit_lsn)]);
        assert_eq!(scenario.published().last().unwrap().0, [1]);
        scenario.outcome(Outcome::Poison(vec![too_large.clone()]));
        scenario.outcome(Outcome::Durable);
    }
}

#[test]
fn what_was_tried_is_not_set_aside_unasked_when_its_batch_comes_again() {
    let mut scenario = gone();
    scenario.pass(Duration::from_secs(1));
    scenario.stream([begin(1200), to("d", 5), to("e", 6), commit(1200)]);
    assert_eq!(scenario.published().last(), Some(&(vec![5, 6], at(1240))));
    // From a sink without transactions 5 may be published by now.
    scenario.outcome(poison([1]));
    assert_eq!(scenario.published().last(), Some(&(vec![5], at(1240))));
}
