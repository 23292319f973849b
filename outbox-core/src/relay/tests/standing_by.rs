use std::time::Duration;

use super::scenario::*;
use crate::Timestamp;
use crate::relay::{Action, Event, FailureKind, Holder, Notice, Ticket};

/// Somebody else holds the slot.
fn standing_by() -> Scenario {
    let mut scenario = Scenario::new();
    scenario.slot().holder = Some(holder(5));
    scenario.run();
    assert_eq!(scenario.phase(), "standby");
    scenario
}

#[test]
fn until_postgresql_was_reached_it_is_only_starting() {
    let mut scenario = Scenario::new();
    scenario.leave(|action| matches!(action, Action::Inspect(_)));
    scenario.run();
    assert_eq!(scenario.phase(), "starting");
}

fn terminated(scenario: &Scenario) -> Vec<Holder> {
    let holders = scenario.actions.iter().filter_map(|action| match action {
        Action::TerminateHolder(_, holder) => Some(*holder),
        _ => None,
    });
    holders.collect()
}

fn inspections(scenario: &Scenario) -> Vec<Ticket> {
    let tickets = scenario.actions.iter().filter_map(|action| match action {
        Action::Inspect(ticket) => Some(*ticket),
        _ => None,
    });
    tickets.collect()
}

#[test]
fn the_slot_is_looked_at_about_once_a_second_with_jitter() {
    let mut scenario = standing_by();
    scenario.pass(Duration::from_secs(100));
    let looks = inspections(&scenario).len();
    assert!((80..=135).contains(&looks), "{looks}");
}

#[test]
fn a_free_slot_is_taken() {
    let mut scenario = standing_by();
    scenario.slot().holder = None;
    scenario.pass(Duration::from_secs(2));
    assert_eq!(scenario.phase(), "active");
}

#[test]
fn a_healthy_holder_is_left_alone() {
    let mut scenario = standing_by();
    for second in 0..60 {
        // A busy holder's reply time was seen to stand still for seconds.
        let reply = Timestamp::from_unix_us(second / 4);
        scenario.slot().holder.as_mut().unwrap().reply_time = Some(reply);
        scenario.pass(Duration::from_secs(1));
    }
    assert!(terminated(&scenario).is_empty());
    assert_eq!(scenario.phase(), "standby");
}

#[test]
fn a_silent_holder_is_ended_exactly_that_one() {
    let mut scenario = standing_by();
    scenario.pass(Duration::from_secs(7));
    assert!(terminated(&scenario).is_empty());
    scenario.pass(Duration::from_secs(3));
    assert_eq!(terminated(&scenario), [holder(5)]);
    scenario.slot().holder = None;
    scenario.pass(Duration::from_secs(2));
    assert_eq!(scenario.phase(), "active");
}

#[test]
fn a_new_holder_is_watched_from_the_beginning() {
    let mut scenario = standing_by();
    scenario.pass(Duration::from_secs(6));
    scenario.slot().holder = Some(holder(6));
    scenario.pass(Duration::from_secs(6));
    assert!(terminated(&scenario).is_empty());
}

#[test]
fn a_holder_whose_replies_we_may_not_see_is_left_alone() {
    for (backend_start, reply_time) in [
        (None, Some(Timestamp::default())),
        (Some(Timestamp::default()), None),
    ] {
        let mut scenario = standing_by();
        scenario.slot().holder = Some(Holder {
            pid: 5,
            backend_start,
            reply_time,
        });
        scenario.pass(Duration::from_secs(60));
        assert!(terminated(&scenario).is_empty());
    }
}

#[test]
fn a_standby_server_is_waited_for() {
    let mut scenario = Scenario::new();
    scenario.inspection.in_recovery = true;
    scenario.run();
    assert_eq!(scenario.phase(), "standby");
    scenario.inspection.in_recovery = false;
    scenario.pass(Duration::from_secs(2));
    assert_eq!(scenario.phase(), "active");
}

/// The first answer of PostgreSQL, ever.
fn first_answer(kind: FailureKind) -> Scenario {
    let mut scenario = Scenario::new();
    scenario.leave(|_| true);
    scenario.run();
    let ticket = inspections(&scenario)[0];
    scenario.event(Event::Inspected(ticket, Err(failure(kind))));
    scenario
}

#[test]
fn what_was_refused_before_the_relay_ever_ran_exits_1() {
    for kind in [
        FailureKind::AuthenticationRefused,
        FailureKind::PrivilegeRefused,
        FailureKind::SchemaOutdated,
        FailureKind::NotLogical,
    ] {
        assert_eq!(first_answer(kind).exit_code(), Some(1), "{kind:?}");
    }
}

#[test]
fn a_server_that_is_away_is_waited_for_from_the_start() {
    for kind in [
        FailureKind::Unreachable,
        FailureKind::ServerShutdown,
        FailureKind::TooManyConnections,
        FailureKind::InRecovery,
        FailureKind::Other,
    ] {
        let mut scenario = first_answer(kind);
        assert_eq!((scenario.phase(), scenario.stop()), ("starting", None));
        scenario.leave(|_| false);
        scenario.pass(Duration::from_secs(60));
        assert_eq!(scenario.phase(), "active", "{kind:?}");
    }
}

#[test]
fn failures_that_end_a_relay_do_so_with_their_exit_code() {
    for (kind, exit_code) in [
        (FailureKind::SlotMissing, 4),
        (FailureKind::SlotInvalidated, 4),
        (FailureKind::PublicationMissing, 4),
        (FailureKind::PublicationUnfit, 2),
        (FailureKind::Protocol, 1),
    ] {
        let mut scenario = Scenario::active();
        scenario.event(Event::StreamEnded(failure(kind)));
        assert_eq!(scenario.exit_code(), Some(exit_code), "{kind:?}");
    }
}

#[test]
fn once_a_relay_ran_a_refusal_keeps_it_up() {
    for kind in [
        FailureKind::AuthenticationRefused,
        FailureKind::PrivilegeRefused,
        FailureKind::NotLogical,
        FailureKind::TooManyConnections,
        FailureKind::SlotBusy,
    ] {
        let mut scenario = Scenario::active();
        scenario.event(Event::StreamEnded(failure(kind)));
        assert_eq!((scenario.phase(), scenario.stop()), ("standby", None));
        scenario.pass(Duration::from_secs(60));
        assert_eq!(scenario.phase(), "active", "{kind:?}");
    }
}

#[test]
fn a_password_that_is_rotated_under_a_standby_keeps_it_up() {
    let mut scenario = standing_by();
    scenario.leave(|_| true);
    scenario.pass(Duration::from_secs(2));
    let ticket = *inspections(&scenario).last().unwrap();
    let refused = failure(FailureKind::AuthenticationRefused);
    scenario.event(Event::Inspected(ticket, Err(refused)));
    assert_eq!((scenario.phase(), scenario.stop()), ("standby", None));
}

#[test]
fn an_old_outage_does_not_make_a_standby_blind_after_one_glitch() {
    let pauses = |scenario: &Scenario| {
        let pauses = scenario.actions.iter().filter_map(|action| match action {
            Action::Report(Notice::SourceTrouble { retry_in, .. }) => Some(*retry_in),
            _ => None,
        });
        pauses.collect::<Vec<_>>()
    };
    let fail = |scenario: &mut Scenario| {
        scenario.leave(|_| true);
        scenario.pass(Duration::from_secs(40));
        let ticket = *inspections(scenario).last().unwrap();
        let away = failure(FailureKind::Unreachable);
        scenario.event(Event::Inspected(ticket, Err(away)));
        scenario.leave(|_| false);
    };
    let mut scenario = standing_by();
    for _ in 0..12 {
        fail(&mut scenario);
    }
    assert!(pauses(&scenario).iter().max() > Some(&Duration::from_secs(2)));
    scenario.pass(Duration::from_secs(40));
    assert_eq!(scenario.phase(), "standby");
    fail(&mut scenario);
    assert_eq!(pauses(&scenario).last(), Some(&Duration::from_millis(50)));
}
