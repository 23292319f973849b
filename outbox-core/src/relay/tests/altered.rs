//! The publication is altered while the relay is active.

use super::scenario::*;
use crate::relay::{Action, Event};

fn seen(scenario: &mut Scenario, fingerprint: Option<&str>) {
    scenario.event(Event::PublicationSeen(fingerprint.map(str::to_owned)));
}

fn inspections(scenario: &Scenario) -> usize {
    let inspect = |action: &&Action| matches!(action, Action::Inspect(_));
    scenario.actions.iter().filter(inspect).count()
}

#[test]
fn a_publication_that_is_as_it_was_is_no_reason_to_look() {
    let mut scenario = Scenario::caught_up();
    scenario.forget();
    seen(&mut scenario, Some("p"));
    assert_eq!((inspections(&scenario), scenario.phase()), (0, "active"));
}

#[test]
fn an_altered_publication_ends_the_relay_before_anything_else_goes_out() {
    // What is known has no number: an earlier build wrote it, and nobody can tell another publication by it.
    for (found, exit_code) in [(Some("altered"), 2), (Some("7/altered"), 2), (None, 4)] {
        let mut scenario = Scenario::publishing();
        scenario.stream([begin(1200), row(1), commit(1200), begin(1300), row(2)]);
        scenario.forget();
        scenario.inspection.publication_fingerprint = found.map(str::to_owned);
        seen(&mut scenario, found);
        assert_eq!(scenario.exit_code(), Some(exit_code));
        assert!(scenario.published().is_empty() && scenario.confirmed().is_empty());
        assert!(!scenario.recorded_hold(), "the next start finds it again");
    }
}

#[test]
fn what_another_server_says_of_its_publication_ends_nothing() {
    let mut scenario = Scenario::caught_up();
    scenario.inspection.publication_fingerprint = Some("altered".into());
    scenario.slot().holder = None;
    seen(&mut scenario, Some("altered"));
    assert_eq!((scenario.phase(), scenario.stop()), ("standby", None));
}

#[test]
fn one_question_at_a_time_is_enough() {
    let mut scenario = Scenario::caught_up();
    scenario.forget();
    scenario.leave(|action| matches!(action, Action::Inspect(_)));
    seen(&mut scenario, Some("altered"));
    seen(&mut scenario, Some("altered"));
    assert_eq!(inspections(&scenario), 1);
}
