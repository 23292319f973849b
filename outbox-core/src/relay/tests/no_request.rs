//! Logical messages that nobody's request stands behind.

use super::requests::*;
use super::scenario::*;
use crate::relay::{Action, Notice, RequestPart, StreamEvent, StuckPolicy};
use crate::sink::Outcome;

#[test]
fn what_is_no_request_of_this_relay_is_passed_over() {
    let mut scenario = blocking(StuckPolicy::ParkKey, vec![RequestPart::Unknown]);
    let other = |prefix: &'static str, content: &'static str| StreamEvent::LogicalMessage {
        prefix: prefix.into(),
        content: content.into(),
    };
    scenario.stream([
        begin(1100),
        other("outbox.request.policy2", "x"),
        other("outbox.request.policy", "not JSON"),
        other("outbox.request.policy", "nor this"),
        commit(1100),
    ]);
    assert!(asks(&scenario).is_empty());
    let unreadable = Action::Report(Notice::RequestUnreadable);
    let said = scenario
        .actions
        .iter()
        .filter(|action| **action == unreadable);
    assert_eq!(said.count(), 1);
    // Nobody wrote the row; it counts all the same, so that a restart sees the same log.
    scenario.stream([begin(1200), asked(90), commit(1200)]);
    scenario.outcome(Outcome::Durable);
    assert_eq!(scenario.published(), [(vec![], at(1240))]);
    let last = last_batch(&scenario).checkpoint.last.unwrap();
    assert_eq!(last.message_id, id(90));
    assert!(!scenario.did(|action| matches!(action, Action::FinishRequest { .. })));
    scenario.stream([begin(1300), row(5), commit(1300)]);
    assert_eq!(scenario.published().last(), Some(&(vec![5], at(1340))));
}

#[test]
fn of_what_a_transaction_names_the_one_that_is_a_request_is_carried_out() {
    let parts = vec![
        RequestPart::Unknown,
        part(vec![waiting(0, 1)], None),
        RequestPart::Unknown,
    ];
    let mut scenario = blocking(StuckPolicy::ParkKey, parts);
    // Whoever wrote the row of the second emitted the others by hand.
    scenario.stream([
        begin(1100),
        asked(90),
        asked(91),
        asked(91),
        asked(92),
        commit(1100),
    ]);
    scenario.outcome(Outcome::Durable);
    let unknown = Action::Report(Notice::RequestUnknown {
        request: request_id(90),
    });
    assert!(scenario.did(|action| *action == unknown));
    assert_eq!(scenario.published(), [(vec![1], at(1140))]);
    let last = last_batch(&scenario).checkpoint.last.unwrap();
    assert_eq!(last.message_id, id(91));
    let finished: Vec<_> = scenario
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::FinishRequest { request, .. } => Some(*request),
            _ => None,
        })
        .collect();
    assert_eq!(finished, [request_id(91)]);
}

#[test]
fn what_a_transaction_names_beyond_all_measure_is_reported() {
    let mut scenario = blocking(StuckPolicy::ParkKey, vec![RequestPart::Unknown; 16]);
    scenario.stream([begin(1100)]);
    for number in 10..30 {
        scenario.stream([asked(number)]);
    }
    scenario.stream([commit(1100)]);
    let dropped = Action::Report(Notice::RequestDropped {
        request: request_id(26),
    });
    let is_dropped =
        |action: &&Action| matches!(action, Action::Report(Notice::RequestDropped { .. }));
    let said: Vec<_> = scenario.actions.iter().filter(is_dropped).collect();
    assert_eq!(said, [&dropped], "said once, whatever else it names");
    assert_eq!(asks(&scenario).len(), 16);
    assert_eq!(
        last_batch(&scenario).checkpoint.last.unwrap().message_id,
        id(25)
    );
}

#[test]
fn what_follows_a_message_that_is_no_request_brings_its_checkpoint_along() {
    let mut scenario = blocking(StuckPolicy::ParkKey, Vec::new());
    // Anyone may emit such messages: a flood of them must not cost a checkpoint each.
    scenario.stream([
        begin(1100),
        asked(90),
        commit(1100),
        begin(1200),
        asked(91),
        commit(1200),
        begin(1300),
        row(5),
        commit(1300),
    ]);
    assert_eq!(scenario.published(), [(vec![5], at(1340))]);
    scenario.outcome(Outcome::Durable);
    // The last one waits for nothing.
    scenario.stream([begin(1400), asked(92), commit(1400)]);
    assert_eq!(scenario.published().last(), Some(&(vec![], at(1440))));
    assert_eq!(
        last_batch(&scenario).checkpoint.last.unwrap().message_id,
        id(92)
    );
}
