use std::time::Duration;

use super::scenario::*;
use crate::SystemId;
use crate::relay::{Action, Event, FailureKind, Notice, Ticket};
use crate::sink::AcquireError;

fn kinds(actions: &[Action]) -> Vec<&'static str> {
    actions
        .iter()
        .filter_map(|action| {
            Some(match action {
                Action::Inspect(_) => "inspect",
                Action::Connect(_) => "connect",
                Action::PeekCheckpoint(_) => "peek",
                Action::StartReplication(_) => "start",
                Action::ClaimEpoch(..) => "claim",
                Action::Acquire(..) => "acquire",
                Action::CloseStream => "close",
                Action::ReleaseSink => "release",
                _ => return None,
            })
        })
        .collect()
}

fn acquire(action: &Action) -> Option<Ticket> {
    match action {
        Action::Acquire(ticket, _) => Some(*ticket),
        _ => None,
    }
}

const UNAVAILABLE: AcquireError = AcquireError::Unavailable(String::new());

#[test]
fn the_slot_comes_before_the_sink_and_peeking_before_both() {
    let mut scenario = Scenario::new();
    scenario.run();
    assert_eq!(
        kinds(&scenario.actions),
        [
            "inspect", "connect", "peek", "start", "inspect", "claim", "acquire", "inspect"
        ]
    );
    assert!(scenario.did(|action| *action == Action::Report(Notice::Active { epoch: 1 })));
}

#[test]
fn another_cluster_is_refused_before_anyone_is_fenced() {
    let mut scenario = Scenario::new();
    scenario.identity.system_id = SystemId(2);
    scenario.run();
    assert_eq!(scenario.exit_code(), Some(6));
    assert_eq!(
        kinds(&scenario.actions),
        ["inspect", "connect", "peek", "close", "release"]
    );
}

#[test]
fn a_standby_never_fences_a_healthy_relay() {
    let mut scenario = Scenario::new();
    scenario.leave(|action| matches!(action, Action::StartReplication(_)));
    scenario.run();
    let ticket = scenario.ticket(|action| match action {
        Action::StartReplication(ticket) => Some(*ticket),
        _ => None,
    });
    scenario.event(Event::Streaming(
        ticket,
        Err(failure(FailureKind::SlotBusy)),
    ));
    assert_eq!(scenario.phase(), "standby");
    assert!(acquires(&scenario).is_empty());
    assert!(scenario.stop().is_none());
}

fn acquires(scenario: &Scenario) -> Vec<&Action> {
    let all = scenario.actions.iter();
    all.filter(|action| acquire(action).is_some()).collect()
}

#[test]
fn a_slot_that_is_anothers_after_all_is_left_alone() {
    let mut scenario = Scenario::new();
    scenario.identity.walsender_pid = PID + 1;
    scenario.run();
    assert_eq!(scenario.phase(), "standby");
    assert!(acquires(&scenario).is_empty());
    // Or it is ours, on another server than the one that SQL is asked of.
    assert!(scenario.did(|action| *action == Action::ReconnectSql));
}

#[test]
fn only_the_slot_read_after_the_start_counts() {
    let mut scenario = Scenario::new();
    scenario.published_before(1, 1200, 1240);
    scenario.leave(|action| matches!(action, Action::StartReplication(_)));
    scenario.run();
    // Between our first look and the start, somebody else confirmed what he published.
    scenario.slot().confirmed_flush = at(1240).lsn;
    scenario.slot().holder = Some(holder(PID));
    scenario.leave(|_| false);
    let ticket = scenario.ticket(|action| match action {
        Action::StartReplication(ticket) => Some(*ticket),
        _ => None,
    });
    scenario.event(Event::Streaming(ticket, Ok(())));
    // So the last message need not come again.
    scenario.stream([keepalive(2000)]);
    assert_eq!(scenario.phase(), "active");
}

#[test]
fn a_log_that_grew_while_the_broker_was_away_was_not_set_back() {
    let mut scenario = Scenario::new();
    scenario.inspection.wal_end = at(1000).lsn;
    scenario.leave(|action| matches!(action, Action::Acquire(..)));
    scenario.run();
    // Whoever was active until then had published what committed meanwhile.
    scenario.published_before(1, 1200, 1240);
    scenario.inspection.wal_end = at(1240).lsn;
    scenario.leave(|_| false);
    let ticket = scenario.ticket(acquire);
    scenario.event(Event::Acquired(
        ticket,
        Ok(Some(scenario.checkpoint.clone())),
    ));
    assert_eq!((scenario.phase(), scenario.stop()), ("active", None));
}

#[test]
fn who_lost_the_slot_while_frozen_judges_nothing_by_what_it_saw_before() {
    let mut scenario = Scenario::new();
    scenario.inspection.wal_end = at(1000).lsn;
    scenario.leave(|action| matches!(action, Action::Acquire(..)));
    scenario.run();
    scenario.published_before(1, 1200, 1240);
    scenario.slot().holder = Some(holder(PID + 1));
    let ticket = scenario.ticket(acquire);
    scenario.event(Event::Acquired(
        ticket,
        Ok(Some(scenario.checkpoint.clone())),
    ));
    assert_eq!((scenario.phase(), scenario.stop()), ("standby", None));
    assert!(!scenario.recorded_hold());
}

#[test]
fn an_acquire_that_failed_is_tried_again_only_while_the_slot_is_ours() {
    let mut scenario = Scenario::new();
    scenario.leave(|action| matches!(action, Action::Acquire(..)));
    scenario.run();
    let ticket = scenario.ticket(acquire);
    scenario.event(Event::Acquired(ticket, Err(UNAVAILABLE)));
    scenario.pass(Duration::from_secs(1));
    assert_eq!(acquires(&scenario).len(), 2);
    let ticket = scenario.ticket(acquire);
    scenario.slot().holder = Some(holder(PID + 1));
    scenario.event(Event::Acquired(ticket, Err(UNAVAILABLE)));
    scenario.forget();
    scenario.leave(|_| false);
    scenario.pass(Duration::from_millis(200));
    assert!(acquires(&scenario).is_empty());
    assert_eq!(scenario.phase(), "standby");
}

#[test]
fn peeking_goes_on_until_the_broker_answers() {
    let mut scenario = Scenario::new();
    scenario.leave(|action| matches!(action, Action::PeekCheckpoint(_)));
    scenario.run();
    let peek = |action: &Action| match action {
        Action::PeekCheckpoint(ticket) => Some(*ticket),
        _ => None,
    };
    let ticket = scenario.ticket(peek);
    scenario.event(Event::Peeked(ticket, Err(UNAVAILABLE)));
    scenario.leave(|_| false);
    assert_eq!(scenario.phase(), "activating");
    scenario.pass(Duration::from_secs(1));
    assert_eq!(scenario.phase(), "active");
}

#[test]
fn a_lost_connection_for_sql_while_the_broker_is_away_lets_the_server_go() {
    let mut scenario = Scenario::new();
    scenario.leave(|action| matches!(action, Action::Acquire(..)));
    scenario.run();
    scenario.event(Event::ControlLost);
    assert_eq!(scenario.phase(), "standby");
    assert!(scenario.did(|action| *action == Action::CloseStream));
}

#[test]
fn a_connection_for_sql_that_is_lost_behind_its_last_answer_lets_the_server_go() {
    let mut scenario = Scenario::new();
    scenario.leave(|action| matches!(action, Action::ClaimEpoch(..)));
    scenario.run();
    let ticket = scenario.ticket(|action| match action {
        Action::ClaimEpoch(ticket, _) => Some(*ticket),
        _ => None,
    });
    scenario.event(Event::ControlLost);
    scenario.event(Event::EpochClaimed(ticket, Ok(1)));
    assert_eq!(scenario.phase(), "standby");
}

#[test]
fn an_idle_server_is_asked_for_its_position_from_the_start() {
    let scenario = Scenario::active();
    assert!(scenario.did(|action| *action == Action::AskForKeepalive(true)));
}

#[test]
fn the_first_checkpoint_on_a_new_timeline_waits_for_nothing() {
    let mut scenario = Scenario::new();
    scenario.identity.timeline = crate::TimelineId(2);
    scenario.identity.history = history(&[(1, 5000)]);
    scenario.run();
    assert_eq!(scenario.published(), [(vec![], at(1000))]);
    let written = &scenario.checkpoint;
    assert_eq!((written.timeline.0, written.sequence), (2, 1));
    assert_eq!(written.timeline_history, history(&[(1, 5000)]));
}

#[test]
fn a_missing_checkpoint_is_never_a_start_from_anywhere() {
    for found in [
        Ok(None),
        Err(AcquireError::CheckpointMissing(String::new())),
        Err(AcquireError::CheckpointCorrupt(String::new())),
    ] {
        let mut scenario = Scenario::new();
        scenario.leave(|action| matches!(action, Action::Acquire(..)));
        scenario.run();
        let ticket = scenario.ticket(acquire);
        scenario.event(Event::Acquired(ticket, found));
        assert_eq!(scenario.exit_code(), Some(5));
    }
}

#[test]
fn answers_to_requests_of_an_earlier_attempt_are_ignored() {
    let mut scenario = Scenario::new();
    scenario.leave(|action| matches!(action, Action::Acquire(..)));
    scenario.run();
    let stale = scenario.ticket(acquire);
    scenario.event(Event::StreamEnded(failure(FailureKind::Unreachable)));
    scenario.pass(Duration::from_secs(2));
    assert_eq!(scenario.phase(), "activating");
    scenario.event(Event::Acquired(
        stale,
        Err(AcquireError::Fatal("old".into())),
    ));
    scenario.event(Event::Acquired(
        stale,
        Ok(Some(scenario.checkpoint.clone())),
    ));
    assert_eq!((scenario.phase(), scenario.stop()), ("activating", None));
}

/// The slot sends from 1000, row 1 at 1200 is published, the frontier is 1240.
fn proving() -> Scenario {
    let mut scenario = Scenario::new();
    scenario.published_before(1, 1200, 1240);
    scenario.leave(|action| matches!(action, Action::Acquire(..)));
    scenario.run();
    assert!(acquires(&scenario).is_empty());
    scenario
}

#[test]
fn nobody_is_fenced_before_the_log_has_shown_what_was_published() {
    let mut scenario = proving();
    assert!(scenario.relay.has_room());
    assert!(scenario.did(|action| *action == Action::AskForKeepalive(true)));
    scenario.stream([begin(1200), row(1)]);
    assert!(acquires(&scenario).is_empty());
    scenario.stream([commit(1200), begin(1300), row(2)]);
    assert_eq!(acquires(&scenario).len(), 1);
    assert!(!scenario.relay.has_room(), "the rest waits");
    scenario.leave(|_| false);
    let ticket = scenario.ticket(acquire);
    let found = Ok(Some(scenario.checkpoint.clone()));
    scenario.event(Event::Acquired(ticket, found));
    assert_eq!(scenario.phase(), "active");
    scenario.stream([commit(1300)]);
    assert_eq!(scenario.published(), [(vec![2], at(1340))]);
}

#[test]
fn the_slot_is_looked_at_again_between_the_proof_and_the_claim() {
    let mut scenario = proving();
    scenario.forget();
    scenario.stream([begin(1200), row(1), commit(1200)]);
    assert_eq!(kinds(&scenario.actions), ["inspect", "claim", "acquire"]);
}

/// Frozen in the middle of the proof: it ends with what had arrived, another has the slot by then.
#[test]
fn who_lost_the_slot_during_the_proof_claims_nothing_and_fences_nobody() {
    let mut scenario = proving();
    scenario.slot().holder = Some(holder(PID + 1));
    scenario.forget();
    scenario.stream([begin(1200), row(1), commit(1200)]);
    assert_eq!((scenario.phase(), scenario.stop()), ("standby", None));
    assert_eq!(kinds(&scenario.actions), ["inspect", "close", "release"]);
}

/// And frozen again behind the look at it: the database itself has the last word.
#[test]
fn a_claim_that_the_database_refuses_ends_in_standing_by() {
    let mut scenario = Scenario::new();
    scenario.leave(|action| matches!(action, Action::ClaimEpoch(..)));
    scenario.run();
    let ticket = scenario.ticket(|action| match action {
        Action::ClaimEpoch(ticket, PID) => Some(*ticket),
        _ => None,
    });
    let superseded = failure(FailureKind::ClaimSuperseded);
    scenario.event(Event::EpochClaimed(ticket, Err(superseded)));
    assert_eq!((scenario.phase(), scenario.stop()), ("standby", None));
    assert!(acquires(&scenario).is_empty());
}

#[test]
fn a_newer_checkpoint_than_the_log_was_compared_with_is_compared_anew() {
    let mut scenario = proving();
    scenario.stream([
        begin(1200),
        row(1),
        commit(1200),
        begin(1300),
        row(2),
        commit(1300),
    ]);
    // Whoever was active before had published that, too.
    scenario.published_before(2, 1300, 1340);
    scenario.checkpoint.sequence = 6;
    let older = {
        let mut older = scenario.checkpoint.clone();
        older.sequence = 5;
        older
    };
    let newest = std::mem::replace(&mut scenario.checkpoint, older);
    let ticket = scenario.ticket(acquire);
    scenario.event(Event::Acquired(ticket, Ok(Some(newest.clone()))));
    assert_eq!(scenario.phase(), "activating");
    // What is peeked at may still be the older one.
    scenario.stream([begin(1200), row(1), commit(1200)]);
    assert_eq!(acquires(&scenario).len(), 1, "1300 is still to come");
    scenario.checkpoint = newest;
    scenario.leave(|_| false);
    scenario.stream([
        begin(1300),
        row(2),
        commit(1300),
        begin(1400),
        row(3),
        commit(1400),
    ]);
    assert_eq!(scenario.published(), [(vec![3], at(1440))]);
}

#[test]
fn a_server_that_goes_down_while_the_log_is_compared_is_let_go() {
    let mut scenario = proving();
    scenario.event(Event::ControlLost);
    assert_eq!(scenario.phase(), "standby");
}

/// Whoever was active meanwhile has confirmed what a peek before did not show.
#[test]
fn a_slot_ahead_of_what_was_peeked_at_is_judged_by_the_newest_checkpoint() {
    let mut scenario = Scenario::new();
    scenario.slot().confirmed_flush = at(1240).lsn;
    scenario.leave(|action| matches!(action, Action::Acquire(..)));
    scenario.run();
    assert_eq!(acquires(&scenario).len(), 1);
    scenario.leave(|_| false);
    scenario.published_before(1, 1200, 1240);
    let ticket = scenario.ticket(acquire);
    let found = Ok(Some(scenario.checkpoint.clone()));
    scenario.event(Event::Acquired(ticket, found));
    assert_eq!((scenario.phase(), scenario.stop()), ("active", None));
}
