use std::sync::Arc;

use super::scenario::*;
use crate::relay::{
    Action, BlockedKey, Event, FailureKind, ParkedEarlier, ParkedMessage, Settings, StreamEvent,
    StuckPolicy, UncoveredRow,
};
use crate::sink::{Outcome, Refusal, RefusalReason};
use crate::{Lsn, Position};

/// Caught up, and the sink's answers are left to the test.
pub(super) fn publishing(policy: StuckPolicy) -> Scenario {
    with_earlier(policy, ParkedEarlier::default())
}

fn with_earlier(policy: StuckPolicy, parked_earlier: ParkedEarlier) -> Scenario {
    let mut scenario = Scenario::with(Settings {
        stuck: policy,
        ..settings()
    });
    scenario.parked_earlier = parked_earlier;
    scenario.run();
    scenario.stream([keepalive(1000)]);
    scenario.leave(|action| publish(action).is_some());
    scenario
}

/// A row of a key for `d`.
pub(super) fn keyed(number: u32, key: &'static str) -> StreamEvent {
    let StreamEvent::Row(row) = row(number) else {
        unreachable!("a row is a row")
    };
    StreamEvent::Row(crate::OutboxRow {
        destination: "d".into(),
        key: Some(key.into()),
        ..row
    })
}

fn position(commit_lsn: u64, index: u32) -> Position {
    Position {
        commit_lsn: Lsn::new(commit_lsn),
        index,
    }
}

fn uncovered(number: u32, position: Position) -> UncoveredRow {
    UncoveredRow {
        position,
        id: id(number),
    }
}

fn refuse(batch_index: usize) -> Outcome {
    Outcome::Poison(vec![refusal(batch_index)])
}

pub(super) fn refusal(batch_index: usize) -> Refusal {
    Refusal {
        batch_index,
        reason: RefusalReason::TooLarge,
        error: "too large".into(),
    }
}

/// Everything that was set aside: id, reason, whether its key waits.
pub(super) fn parked(scenario: &Scenario) -> Vec<(u32, &'static str, bool)> {
    let parked = scenario.actions.iter().filter_map(|action| match action {
        Action::Park { messages, .. } => Some(Arc::clone(messages)),
        _ => None,
    });
    let parked: Vec<ParkedMessage> = parked.flat_map(|parked| parked.to_vec()).collect();
    let number = |parked: &ParkedMessage| {
        (0..100)
            .find(|number| id(*number) == parked.delivery.row.id)
            .unwrap()
    };
    parked
        .iter()
        .map(|parked| (number(parked), parked.reason.as_str(), parked.blocks_key))
        .collect()
}

/// How many writes the newest checkpoint relies on.
pub(super) fn stuck_writes(scenario: &Scenario) -> u64 {
    let batches = scenario.batches();
    batches.last().unwrap().checkpoint.stuck_writes
}

#[test]
fn a_refused_message_and_its_followers_are_set_aside_and_the_rest_is_published() {
    let mut scenario = publishing(StuckPolicy::ParkKey);
    scenario.stream([
        begin(1100),
        keyed(1, "a"),
        keyed(2, "b"),
        keyed(3, "a"),
        keyed(4, "b"),
        row(5),
        commit(1100),
    ]);
    scenario.outcome(refuse(0));
    assert_eq!(
        parked(&scenario),
        [(1, "too-large", true), (3, "key-blocked", false)]
    );
    assert_eq!(
        scenario.published().last(),
        Some(&(vec![2, 4, 5], at(1140)))
    );
    assert_eq!(stuck_writes(&scenario), 1);
    // The last message handled is the transaction's last, whatever became of it.
    let batches = scenario.batches();
    let last = batches.last().and_then(|batch| batch.checkpoint.last);
    assert_eq!(last.map(|last| last.message_id), Some(id(5)));
}

#[test]
fn later_messages_of_the_key_are_set_aside_in_order_and_never_sent() {
    let mut scenario = publishing(StuckPolicy::ParkKey);
    scenario.stream([begin(1100), keyed(1, "a"), commit(1100)]);
    scenario.outcome(refuse(0));
    scenario.outcome(Outcome::Durable);
    scenario.stream([begin(1200), keyed(2, "a"), keyed(3, "b"), commit(1200)]);
    scenario.outcome(Outcome::Durable);
    scenario.stream([begin(1300), keyed(4, "a"), commit(1300)]);
    assert_eq!(
        scenario.published(),
        [
            (vec![1], at(1140)),
            (vec![], at(1140)),
            (vec![3], at(1240)),
            (vec![], at(1340)),
        ]
    );
    let numbers: Vec<u32> = parked(&scenario).iter().map(|parked| parked.0).collect();
    assert_eq!(numbers, [1, 2, 4]);
}

#[test]
fn a_key_is_blocked_for_its_destination_only() {
    let mut scenario = publishing(StuckPolicy::ParkKey);
    scenario.stream([begin(1100), keyed(1, "a"), commit(1100)]);
    scenario.outcome(refuse(0));
    scenario.outcome(Outcome::Durable);
    let StreamEvent::Row(elsewhere) = keyed(2, "a") else {
        unreachable!("a row is a row")
    };
    let elsewhere = StreamEvent::Row(crate::OutboxRow {
        destination: "e".into(),
        ..elsewhere
    });
    scenario.stream([begin(1200), elsewhere, commit(1200)]);
    assert_eq!(scenario.published().last(), Some(&(vec![2], at(1240))));
}

#[test]
fn without_a_key_nothing_waits() {
    let mut scenario = publishing(StuckPolicy::ParkKey);
    scenario.stream([begin(1100), row(1), row(2), commit(1100)]);
    scenario.outcome(refuse(0));
    assert_eq!(parked(&scenario), [(1, "too-large", false)]);
    assert_eq!(scenario.published().last(), Some(&(vec![2], at(1140))));
}

#[test]
fn park_lets_later_messages_of_the_key_pass() {
    let mut scenario = publishing(StuckPolicy::Park);
    scenario.stream([begin(1100), keyed(1, "a"), keyed(2, "a"), commit(1100)]);
    scenario.outcome(refuse(0));
    assert_eq!(parked(&scenario), [(1, "too-large", false)]);
    assert_eq!(scenario.published().last(), Some(&(vec![2], at(1140))));
}

#[test]
fn a_batch_may_be_refused_again_for_others() {
    let mut scenario = publishing(StuckPolicy::ParkKey);
    scenario.stream([
        begin(1100),
        keyed(1, "a"),
        keyed(2, "b"),
        keyed(3, "c"),
        commit(1100),
    ]);
    scenario.outcome(refuse(2));
    scenario.outcome(refuse(0));
    assert_eq!(
        parked(&scenario),
        [(3, "too-large", true), (1, "too-large", true)]
    );
    assert_eq!(scenario.published().last(), Some(&(vec![2], at(1140))));
    assert_eq!(stuck_writes(&scenario), 2);
}

#[test]
fn nothing_is_published_before_it_is_set_aside() {
    let mut scenario = publishing(StuckPolicy::ParkKey);
    scenario.leave(|action| publish(action).is_some() || matches!(action, Action::Park { .. }));
    scenario.stream([begin(1100), keyed(1, "a"), keyed(2, "b"), commit(1100)]);
    scenario.outcome(refuse(0));
    assert_eq!(scenario.published().len(), 1);
    let asked = |action: &Action| match action {
        Action::Park { ticket, .. } => Some(*ticket),
        _ => None,
    };
    let first = scenario.ticket(asked);
    scenario.event(Event::Parked(first, Err(failure(FailureKind::Unreachable))));
    assert_eq!(scenario.published().len(), 1);
    scenario.pass(std::time::Duration::from_secs(1));
    let second = scenario.ticket(asked);
    assert_ne!(first, second);
    scenario.event(Event::Parked(second, Ok(1)));
    assert_eq!(scenario.published().last(), Some(&(vec![2], at(1140))));
}

#[test]
fn what_the_database_refuses_to_set_aside_ends_the_claim() {
    for (kind, phase) in [
        (FailureKind::ClaimSuperseded, "standby"),
        (FailureKind::ServerShutdown, "standby"),
        (FailureKind::ParkedDiffers, "stopped"),
        (FailureKind::ValueRefused, "held"),
    ] {
        let mut scenario = publishing(StuckPolicy::ParkKey);
        scenario.leave(|action| publish(action).is_some() || matches!(action, Action::Park { .. }));
        scenario.stream([begin(1100), keyed(1, "a"), commit(1100)]);
        scenario.outcome(refuse(0));
        let ticket = scenario.ticket(|action| match action {
            Action::Park { ticket, .. } => Some(*ticket),
            _ => None,
        });
        scenario.event(Event::Parked(ticket, Err(failure(kind))));
        assert_eq!(scenario.phase(), phase, "{kind:?}");
        assert_eq!(scenario.published().len(), 1);
    }
}

#[test]
fn what_an_earlier_holder_set_aside_is_not_published_though_no_checkpoint_covers_it() {
    let mut scenario = with_earlier(
        StuckPolicy::ParkKey,
        ParkedEarlier {
            uncovered: vec![uncovered(2, position(1100, 1))],
            blocked: vec![BlockedKey {
                destination: "d".into(),
                key: "a".into(),
                from: position(1100, 1),
            }],
            writes: 4,
            ..ParkedEarlier::default()
        },
    );
    scenario.stream([
        begin(1100),
        keyed(1, "a"),
        keyed(2, "a"),
        keyed(3, "a"),
        keyed(4, "b"),
        commit(1100),
    ]);
    // What stands before it in its key goes; what stands behind waits with it.
    assert_eq!(parked(&scenario), [(3, "key-blocked", false)]);
    assert_eq!(scenario.published(), [(vec![1, 4], at(1140))]);
    assert_eq!(stuck_writes(&scenario), 5);
}

#[test]
fn a_log_without_what_was_set_aside_exits_6() {
    for events in [
        [begin(1100), row(9), commit(1100)],
        [begin(1200), row(2), commit(1200)],
    ] {
        let mut scenario = with_earlier(
            StuckPolicy::ParkKey,
            ParkedEarlier {
                uncovered: vec![uncovered(2, position(1100, 0))],
                ..ParkedEarlier::default()
            },
        );
        scenario.stream(events);
        assert_eq!(scenario.exit_code(), Some(6));
        assert!(scenario.recorded_hold() && scenario.published().is_empty());
    }
}

#[test]
fn a_database_that_knows_of_fewer_writes_than_the_checkpoint_was_set_back() {
    let mut scenario = Scenario::new();
    scenario.checkpoint.stuck_writes = 3;
    scenario.parked_earlier.writes = 2;
    scenario.run();
    assert_eq!(scenario.exit_code(), Some(6));
    // It is found anew at each start, and not once they are back.
    assert!(!scenario.recorded_hold());
}

#[test]
fn a_checkpoint_relies_on_what_an_earlier_holder_wrote() {
    let mut scenario = Scenario::new();
    scenario.parked_earlier.writes = 2;
    scenario.run();
    scenario.stream([begin(1100), row(1), commit(1100)]);
    assert_eq!(stuck_writes(&scenario), 2);
}

#[test]
fn a_batch_in_halves_covers_what_was_set_aside_in_each() {
    let mut scenario = publishing(StuckPolicy::ParkKey);
    scenario.stream([
        begin(1100),
        row(1),
        keyed(2, "a"),
        row(3),
        row(4),
        keyed(5, "b"),
        row(6),
        commit(1100),
    ]);
    scenario.outcome(Outcome::Poison(vec![refusal(1), refusal(4)]));
    scenario.pass(std::time::Duration::from_secs(30));
    scenario.outcome(Outcome::Indefinite { reason: "r".into() });
    // Of 1, 3, 4 and 6 the first two: 2 lies before their end, 5 does not.
    assert_eq!(
        scenario.published().last(),
        Some(&(vec![1, 3], inside(1100, 3)))
    );
    let first = scenario.batches().last().unwrap().checkpoint.clone();
    assert_eq!(first.last.unwrap().message_id, id(3));
    assert_eq!(stuck_writes(&scenario), 1);
    scenario.outcome(Outcome::Durable);
    assert_eq!(scenario.published().last(), Some(&(vec![4, 6], at(1140))));
    assert_eq!(stuck_writes(&scenario), 1);
}

#[test]
fn a_halt_covers_what_was_set_aside_before_the_refused_message() {
    let blocked = BlockedKey {
        destination: "d".into(),
        key: "a".into(),
        from: position(900, 0),
    };
    let mut scenario = with_earlier(
        StuckPolicy::Halt,
        ParkedEarlier {
            blocked: vec![blocked],
            ..ParkedEarlier::default()
        },
    );
    scenario.stream([begin(1100), row(1), keyed(2, "a"), row(3), commit(1100)]);
    scenario.outcome(refuse(1));
    let batches = scenario.batches();
    let checkpoint = &batches.last().unwrap().checkpoint;
    assert_eq!(checkpoint.frontier, inside(1100, 2));
    assert_eq!(checkpoint.last.unwrap().message_id, id(2));
    assert_eq!(checkpoint.stuck_writes, 1);
    scenario.outcome(Outcome::Durable);
    assert_eq!(scenario.phase(), "held");
}
