//! A replay that does not go through as it was taken: refused again, or too slow.

use super::requests::*;
use super::scenario::*;
use crate::relay::{Action, Event, LeftToPublish, Notice, StuckPolicy};
use crate::sink::Outcome;

#[test]
fn what_is_refused_again_waits_again_before_the_rest_is_published() {
    for policy in [StuckPolicy::ParkKey, StuckPolicy::Park, StuckPolicy::Halt] {
        let messages = vec![waiting(0, 1), waiting(1, 2), waiting(2, 3)];
        let mut scenario = blocking(policy, vec![part(messages, None)]);
        scenario.stream([begin(1100), asked(90), commit(1100)]);
        scenario.outcome(refuse(1));
        assert_eq!(scenario.published().len(), 1, "{policy:?}");
        let ticket = scenario.ticket(|action| match action {
            Action::PutBack {
                ticket,
                refused,
                through: 2,
                ..
            } if (refused[0].number, refused[0].position) == (1, Some(position(500, 2))) => {
                Some(*ticket)
            }
            _ => None,
        });
        let left = LeftToPublish {
            numbers: vec![0],
            writes: 8,
        };
        scenario.event(Event::WasPutBack(ticket, Ok(left)));
        assert_eq!(scenario.published().last(), Some(&(vec![1], at(1140))));
        assert_eq!(last_batch(&scenario).checkpoint.stuck_writes, 8);
        scenario.outcome(Outcome::Durable);
        let done = |action: &Action| matches!(action, Action::Report(Notice::RequestDone { .. }));
        assert!(scenario.did(done));
    }
}

#[test]
fn a_refused_message_that_does_not_wait_again_is_a_bug() {
    let mut scenario = blocking(StuckPolicy::ParkKey, vec![part(vec![waiting(0, 1)], None)]);
    scenario.stream([begin(1100), asked(90), commit(1100)]);
    scenario.outcome(refuse(0));
    let ticket = scenario.ticket(|action| match action {
        Action::PutBack { ticket, .. } => Some(*ticket),
        _ => None,
    });
    let left = LeftToPublish {
        numbers: vec![0],
        writes: 8,
    };
    scenario.event(Event::WasPutBack(ticket, Ok(left)));
    assert_eq!(scenario.exit_code(), Some(1));
}

#[test]
fn a_replay_that_is_too_slow_goes_in_halves() {
    let mut scenario = blocking(
        StuckPolicy::ParkKey,
        vec![part(vec![waiting(0, 1), waiting(1, 2)], None)],
    );
    scenario.stream([begin(1100), asked(90), commit(1100)]);
    scenario.pass(std::time::Duration::from_secs(30));
    scenario.outcome(Outcome::Indefinite { reason: "r".into() });
    scenario.outcome(Outcome::Durable);
    assert_eq!(
        scenario.published()[1..],
        [(vec![1], inside(1100, 1)), (vec![2], at(1140))]
    );
    let last = last_batch(&scenario).checkpoint.last.unwrap();
    assert_eq!((last.index, last.message_id), (1, id(90)));
}

#[test]
fn what_was_cut_off_from_a_replay_is_read_again_when_something_before_it_is_refused() {
    let parts = vec![
        part(vec![waiting(0, 1), waiting(1, 2)], None),
        part(Vec::new(), None),
    ];
    let mut scenario = blocking(StuckPolicy::ParkKey, parts);
    scenario.stream([begin(1100), asked(90), commit(1100)]);
    scenario.pass(std::time::Duration::from_secs(30));
    scenario.outcome(Outcome::Indefinite { reason: "r".into() });
    scenario.outcome(refuse(0));
    let ticket = scenario.ticket(|action| match action {
        Action::PutBack { ticket, .. } => Some(*ticket),
        _ => None,
    });
    let left = LeftToPublish {
        numbers: Vec::new(),
        writes: 8,
    };
    scenario.event(Event::WasPutBack(ticket, Ok(left)));
    assert_eq!(
        scenario.published().last(),
        Some(&(vec![], inside(1100, 1)))
    );
    scenario.outcome(Outcome::Durable);
    assert_eq!(asks(&scenario), [0, 1]);
    assert_eq!(scenario.published().last(), Some(&(vec![], at(1140))));
}
