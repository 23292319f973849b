//! What cannot even be set aside is found among what can.

use std::time::Duration;

use super::parking::{keyed, parked, publishing, refusal, stuck_writes};
use super::scenario::*;
use crate::relay::{Action, Event, FailureKind, Notice, SourceFailure, StuckPolicy};
use crate::sink::Outcome;

fn refused_value() -> Result<u64, SourceFailure> {
    Err(failure(FailureKind::ValueRefused))
}

/// The database's answer to what is to be set aside.
fn answer(scenario: &mut Scenario, result: Result<u64, SourceFailure>) {
    let ticket = scenario.ticket(|action| match action {
        Action::Park { ticket, .. } => Some(*ticket),
        _ => None,
    });
    scenario.event(Event::Parked(ticket, result));
}

/// Of three messages the broker has refused the first ones, and they are to be set aside.
fn refusing(count: usize) -> Scenario {
    let mut scenario = publishing(StuckPolicy::ParkKey);
    scenario.leave(|action| publish(action).is_some() || matches!(action, Action::Park { .. }));
    scenario.stream([
        begin(1100),
        keyed(1, "a"),
        keyed(2, "b"),
        keyed(3, "c"),
        commit(1100),
    ]);
    scenario.outcome(Outcome::Poison((0..count).map(refusal).collect()));
    scenario
}

#[test]
fn what_the_database_refuses_among_others_is_found_and_named() {
    let mut scenario = refusing(3);
    for result in [refused_value(), Ok(1), refused_value()] {
        answer(&mut scenario, result);
    }
    let asked: Vec<u32> = parked(&scenario).iter().map(|parked| parked.0).collect();
    assert_eq!(asked, [1, 2, 3, 1, 2]);
    let named = scenario.actions.iter().find_map(|action| match action {
        Action::Report(Notice::Halted(halted)) => Some(halted.id),
        _ => None,
    });
    assert_eq!(named, Some(id(2)));
    assert_eq!(scenario.phase(), "held");
}

#[test]
fn what_the_database_refuses_together_and_takes_one_by_one_is_set_aside() {
    let mut scenario = refusing(2);
    for result in [
        refused_value(),
        Ok(1),
        Err(failure(FailureKind::Unreachable)),
        Ok(2),
    ] {
        answer(&mut scenario, result);
        scenario.pass(Duration::from_secs(1));
    }
    assert_eq!(scenario.published().last(), Some(&(vec![3], at(1140))));
    assert_eq!(stuck_writes(&scenario), 2);
}
