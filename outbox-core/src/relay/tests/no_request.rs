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
        commit(1100),
    ]);
    assert!(asks(&scenario).is_empty());
    assert!(scenario.did(|action| *action == Action::Report(Notice::RequestUnreadable)));
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
