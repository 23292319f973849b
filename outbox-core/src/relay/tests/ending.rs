use std::time::Duration;

use super::scenario::*;
use crate::relay::{Action, Event, FailureKind, Stop, Ticket};
use crate::sink::{AcquireError, Outcome, Refusal, RefusalReason};

const DRAINED: Option<Stop> = Some(Stop::Drained);

fn stops(scenario: &Scenario) -> usize {
    let all = scenario.actions.iter();
    all.filter(|action| matches!(action, Action::Stop(_)))
        .count()
}

/// The first message of the batch is refused for itself.
fn poison() -> Outcome {
    Outcome::Poison(vec![Refusal {
        batch_index: 0,
        reason: RefusalReason::TooLarge,
        error: "r".into(),
    }])
}

fn inspect(action: &Action) -> Option<Ticket> {
    match action {
        Action::Inspect(ticket) => Some(*ticket),
        _ => None,
    }
}

#[test]
fn draining_a_standby_stops_at_once() {
    let mut scenario = Scenario::new();
    scenario.slot().holder = Some(holder(5));
    scenario.run();
    scenario.event(Event::Drain);
    assert_eq!(scenario.stop(), DRAINED);
    assert!(!scenario.did(|action| *action == Action::ReleaseSink));
}

#[test]
fn draining_during_activation_lets_go_of_everything() {
    let mut scenario = Scenario::new();
    scenario.leave(|action| matches!(action, Action::Acquire(..)));
    scenario.run();
    scenario.event(Event::Drain);
    assert_eq!(scenario.stop(), DRAINED);
    assert!(scenario.did(|action| *action == Action::CloseStream));
    assert!(scenario.did(|action| *action == Action::ReleaseSink));
}

#[test]
fn draining_when_idle_stops_at_once() {
    let mut scenario = Scenario::caught_up();
    scenario.event(Event::Drain);
    assert_eq!(scenario.stop(), DRAINED);
}

#[test]
fn draining_finishes_the_batch_in_flight_confirms_it_and_sends_no_other() {
    let mut scenario = Scenario::publishing();
    scenario.stream([begin(1000), row(1), commit(1000)]);
    scenario.stream([begin(1100), row(2), commit(1100)]);
    scenario.event(Event::Drain);
    assert!(scenario.stop().is_none() && !scenario.relay.has_room());
    scenario.outcome(Outcome::Durable);
    assert_eq!((scenario.stop(), scenario.batches().len()), (DRAINED, 1));
    let confirm = scenario
        .actions
        .iter()
        .position(|action| matches!(action, Action::Confirm(_)));
    let close = scenario
        .actions
        .iter()
        .position(|action| *action == Action::CloseStream);
    assert!(
        confirm.unwrap() < close.unwrap(),
        "the last status carries it"
    );
}

#[test]
fn draining_while_a_batch_waits_sends_it_once_more() {
    let mut scenario = Scenario::publishing();
    scenario.stream([begin(1000), row(1), commit(1000)]);
    scenario.outcome(Outcome::Retry { reason: "r".into() });
    scenario.event(Event::Drain);
    scenario.pass(Duration::from_secs(1));
    scenario.outcome(Outcome::Durable);
    assert_eq!(
        (scenario.stop(), scenario.confirmed()),
        (DRAINED, vec![1040])
    );
}

#[test]
fn draining_during_a_recovery_finds_out_first() {
    let mut scenario = Scenario::publishing();
    scenario.stream([begin(1000), row(1), commit(1000)]);
    scenario.leave(|action| matches!(action, Action::Acquire(..)));
    scenario.outcome(Outcome::Indefinite { reason: "r".into() });
    scenario.event(Event::Drain);
    assert!(scenario.stop().is_none());
    scenario.checkpoint = scenario.batches()[0].checkpoint.clone();
    let ticket = scenario.ticket(|action| match action {
        Action::Acquire(ticket, _) => Some(*ticket),
        _ => None,
    });
    scenario.event(Event::Acquired(
        ticket,
        Ok(Some(scenario.checkpoint.clone())),
    ));
    assert_eq!(
        (scenario.stop(), scenario.confirmed()),
        (DRAINED, vec![1040])
    );
}

#[test]
fn draining_has_a_limit() {
    let mut scenario = Scenario::publishing();
    scenario.stream([begin(1000), row(1), commit(1000)]);
    scenario.event(Event::Drain);
    scenario.pass(Duration::from_millis(19_999));
    assert!(scenario.stop().is_none());
    scenario.pass(Duration::from_millis(1));
    assert_eq!(scenario.stop(), DRAINED);
    assert!(scenario.did(|action| *action == Action::ReleaseSink));
}

#[test]
fn draining_ends_with_the_stream() {
    let mut scenario = Scenario::publishing();
    scenario.stream([begin(1000), row(1), commit(1000)]);
    scenario.event(Event::Drain);
    scenario.event(Event::StreamEnded(failure(FailureKind::Unreachable)));
    assert_eq!(scenario.stop(), DRAINED);
    let closed = scenario
        .actions
        .iter()
        .filter(|action| **action == Action::CloseStream);
    assert_eq!(closed.count(), 1, "what is closed is not closed again");
}

#[test]
fn draining_a_held_relay_stops_it_at_once() {
    let mut scenario = Scenario::publishing();
    scenario.stream([begin(1000), row(1), commit(1000)]);
    scenario.outcome(poison());
    scenario.event(Event::Drain);
    assert_eq!(scenario.stop(), DRAINED);
}

#[test]
fn a_draining_relay_that_would_be_held_stops() {
    let mut scenario = Scenario::publishing();
    scenario.stream([begin(1000), row(1), commit(1000)]);
    scenario.event(Event::Drain);
    scenario.outcome(poison());
    assert_eq!(scenario.stop(), DRAINED);
}

#[test]
fn a_relay_stops_once() {
    let mut scenario = Scenario::caught_up();
    scenario.event(Event::Drain);
    assert_eq!(stops(&scenario), 1);
    scenario.pass(Duration::from_secs(100));
    scenario.event(Event::Tick);
    scenario.event(Event::Drain);
    assert_eq!(stops(&scenario), 1);
    assert_eq!(scenario.relay.deadline(), None);
}

#[test]
fn fatal_before_the_relay_ever_ran_exits_1_and_later_is_waited_for() {
    let mut scenario = Scenario::new();
    scenario.leave(|action| matches!(action, Action::PeekCheckpoint(_)));
    let peek = |action: &Action| match action {
        Action::PeekCheckpoint(ticket) => Some(*ticket),
        _ => None,
    };
    scenario.run();
    let ticket = scenario.ticket(peek);
    let fatal = || Err(AcquireError::Fatal("not authorised".into()));
    scenario.event(Event::Peeked(ticket, fatal()));
    assert_eq!(scenario.exit_code(), Some(1));

    let mut scenario = Scenario::active();
    scenario.event(Event::StreamEnded(failure(FailureKind::Unreachable)));
    scenario.leave(|action| matches!(action, Action::PeekCheckpoint(_)));
    scenario.pass(Duration::from_secs(1));
    let ticket = scenario.ticket(peek);
    scenario.event(Event::Peeked(ticket, fatal()));
    assert_eq!((scenario.phase(), scenario.stop()), ("standby", None));
    scenario.leave(|_| false);
    scenario.pass(Duration::from_secs(40));
    assert_eq!(scenario.phase(), "active");
}

#[test]
fn a_server_that_waits_for_a_confirmation_we_cannot_give_is_let_go() {
    let mut scenario = Scenario::publishing();
    scenario.stream([begin(1000), row(1), commit(1000)]);
    for _ in 0..10 {
        scenario.stream([request(1040)]);
        assert_eq!(scenario.phase(), "active");
        scenario.pass(Duration::from_millis(100));
    }
    scenario.stream([request(1040)]);
    assert_eq!(scenario.phase(), "standby");
    assert!(scenario.did(|action| *action == Action::CloseStream));
}

#[test]
fn a_server_that_asks_at_what_is_confirmed_is_not_shutting_down() {
    let mut scenario = Scenario::caught_up();
    for _ in 0..100 {
        scenario.stream([request(1000)]);
        scenario.pass(Duration::from_millis(100));
    }
    assert_eq!(scenario.phase(), "active");
}

#[test]
fn a_lost_connection_for_sql_asks_whether_the_server_stops() {
    let mut scenario = Scenario::publishing();
    scenario.leave(|action| inspect(action).is_some());
    scenario.event(Event::ControlLost);
    let ticket = scenario.ticket(inspect);
    scenario.event(Event::Inspected(
        ticket,
        Err(failure(FailureKind::ServerShutdown)),
    ));
    assert_eq!(scenario.phase(), "standby");
    assert!(scenario.did(|action| *action == Action::CloseStream));
}

#[test]
fn a_connection_for_sql_that_is_lost_again_asks_again() {
    let mut scenario = Scenario::publishing();
    scenario.leave(|action| inspect(action).is_some());
    scenario.event(Event::ControlLost);
    let before = scenario.ticket(inspect);
    scenario.event(Event::ControlLost);
    let answer = Ok(scenario.inspection.clone());
    scenario.event(Event::Inspected(before, answer));
    let ticket = scenario.ticket(inspect);
    scenario.event(Event::Inspected(
        ticket,
        Err(failure(FailureKind::ServerShutdown)),
    ));
    assert_eq!(scenario.phase(), "standby");
}

#[test]
fn a_lost_connection_for_sql_of_a_healthy_server_changes_nothing() {
    let mut scenario = Scenario::publishing();
    scenario.event(Event::ControlLost);
    assert_eq!(scenario.phase(), "active");
    scenario.event(Event::ControlLost);
    assert_eq!(scenario.phase(), "active");
}
