use super::scenario::*;
use crate::relay::{Action, Stop, StreamEvent};

/// Row 1 at 1200 is published, the frontier is 1500, the slot sends from 1000.
fn resumed() -> Scenario {
    let mut scenario = Scenario::new();
    scenario.published_before(1, 1200, 1500);
    scenario.run();
    assert_eq!(scenario.phase(), "activating");
    scenario
}

/// The log was put back: nobody is fenced, nothing published, nothing confirmed, and it is remembered.
fn diverged(scenario: &Scenario) {
    assert!(
        matches!(scenario.stop(), Some(Stop::Diverged(_))),
        "{:?}",
        scenario.stop()
    );
    assert_eq!(scenario.exit_code(), Some(6));
    assert!(scenario.recorded_hold());
    assert!(!scenario.did(|action| matches!(action, Action::Acquire(..) | Action::ClaimEpoch(..))));
    assert!(scenario.published().is_empty() && scenario.confirmed().is_empty());
}

#[test]
fn the_last_message_comes_again_and_is_not_published_again() {
    let mut scenario = resumed();
    scenario.stream([begin(1100), row(9), commit(1100)]);
    scenario.stream([begin(1200), row(1), commit(1200)]);
    scenario.stream([begin(1500), row(2), commit(1500)]);
    assert_eq!(scenario.published(), [(vec![2], at(1540))]);
}

#[test]
fn another_transaction_id_in_its_place_exits_6() {
    let mut scenario = resumed();
    let StreamEvent::Begin {
        commit_lsn,
        commit_time,
        sent_at,
        xid,
    } = begin(1200)
    else {
        unreachable!()
    };
    let xid = xid + 1;
    scenario.stream([
        StreamEvent::Begin {
            commit_lsn,
            commit_time,
            sent_at,
            xid,
        },
        row(1),
    ]);
    diverged(&scenario);
}

#[test]
fn another_message_id_in_its_place_exits_6() {
    let mut scenario = resumed();
    scenario.stream([begin(1200), row(3), commit(1200)]);
    diverged(&scenario);
}

#[test]
fn its_transaction_without_it_exits_6() {
    let mut scenario = resumed();
    scenario.stream([begin(1200), commit(1200)]);
    diverged(&scenario);
}

#[test]
fn a_later_begin_without_it_exits_6() {
    let mut scenario = resumed();
    scenario.stream([begin(1201)]);
    diverged(&scenario);
}

#[test]
fn a_keepalive_beyond_it_exits_6() {
    let mut scenario = resumed();
    scenario.stream([keepalive(1200)]);
    assert_eq!(scenario.stop(), None);
    scenario.stream([keepalive(1201)]);
    diverged(&scenario);
}

#[test]
fn a_message_between_it_and_the_frontier_exits_6() {
    let mut scenario = resumed();
    scenario.stream([begin(1200), row(1), commit(1200), begin(1300), row(2)]);
    diverged(&scenario);
}

#[test]
fn a_second_message_in_its_transaction_exits_6() {
    let mut scenario = resumed();
    scenario.stream([begin(1200), row(1), row(2)]);
    diverged(&scenario);
}

#[test]
fn foreign_transactions_between_it_and_the_frontier_are_fine() {
    let mut scenario = resumed();
    scenario.stream([begin(1200), row(1), commit(1200), begin(1300), commit(1300)]);
    scenario.stream([keepalive(1500)]);
    assert_eq!((scenario.stop(), scenario.confirmed()), (None, vec![1500]));
}

#[test]
fn it_need_not_come_where_the_slot_sends_from_a_later_place() {
    let mut scenario = Scenario::new();
    scenario.published_before(1, 1200, 1500);
    scenario.slot().confirmed_flush = at(1201).lsn;
    scenario.run();
    scenario.stream([begin(1500), row(2), commit(1500)]);
    assert_eq!(scenario.published(), [(vec![2], at(1540))]);
}

#[test]
fn it_comes_where_the_slot_stands_exactly_at_it() {
    let mut scenario = Scenario::new();
    scenario.published_before(1, 1200, 1500);
    scenario.slot().confirmed_flush = at(1200).lsn;
    scenario.run();
    scenario.stream([keepalive(1300)]);
    diverged(&scenario);
}

#[test]
fn inside_a_transaction_it_goes_on_by_index() {
    let mut scenario = Scenario::new();
    scenario.checkpoint.last = Some(last(2, 1200, 1));
    scenario.checkpoint.frontier = inside(1200, 2);
    scenario.run();
    scenario.stream([begin(1200), row(1), row(2), row(3), commit(1200)]);
    assert_eq!(scenario.published(), [(vec![3], at(1240))]);
}

#[test]
fn nothing_is_confirmed_before_the_stream_has_passed_the_frontier() {
    let mut scenario = resumed();
    scenario.stream([begin(1200), row(1), commit(1200), keepalive(1499)]);
    assert!(scenario.confirmed().is_empty());
    scenario.stream([keepalive(1500)]);
    assert_eq!(scenario.confirmed(), [1500]);
}

#[test]
fn no_checkpoint_is_written_before_the_stream_has_passed_the_frontier() {
    let mut scenario = resumed();
    scenario.stream([begin(1200), row(1), commit(1200), request(1300)]);
    scenario.pass(std::time::Duration::from_secs(3600));
    assert!(scenario.published().is_empty());
}
