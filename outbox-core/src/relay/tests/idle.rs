use std::time::Duration;

use super::scenario::*;
use crate::relay::Action;
use crate::sink::Outcome;

const MIB: u64 = 1 << 20;

#[test]
fn foreign_log_beyond_a_threshold_moves_the_checkpoint_then_the_slot() {
    let mut scenario = Scenario::publishing();
    scenario.stream([keepalive(1000 + MIB - 1)]);
    assert!(scenario.published().is_empty());
    scenario.stream([keepalive(1000 + MIB)]);
    assert_eq!(scenario.published(), [(vec![], at(1000 + MIB))]);
    assert!(scenario.confirmed().is_empty());
    scenario.outcome(Outcome::Durable);
    assert_eq!(scenario.confirmed(), [1000 + MIB]);
}

#[test]
fn foreign_log_moves_the_checkpoint_after_some_seconds() {
    let mut scenario = Scenario::caught_up();
    scenario.stream([keepalive(1100)]);
    scenario.pass(Duration::from_millis(4999));
    assert!(scenario.published().is_empty());
    scenario.pass(Duration::from_millis(1));
    assert_eq!(scenario.published(), [(vec![], at(1100))]);
    assert_eq!(scenario.confirmed(), [1100]);
}

#[test]
fn a_server_that_asks_is_answered_by_a_checkpoint_at_once() {
    let mut scenario = Scenario::caught_up();
    scenario.stream([request(1001)]);
    assert_eq!(scenario.published(), [(vec![], at(1001))]);
    assert_eq!(scenario.confirmed(), [1001]);
}

#[test]
fn a_server_that_asks_at_the_frontier_costs_no_checkpoint() {
    let mut scenario = Scenario::caught_up();
    scenario.stream([request(1000)]);
    assert!(scenario.published().is_empty());
}

#[test]
fn a_question_that_came_while_busy_is_answered_when_idle() {
    let mut scenario = Scenario::publishing();
    scenario.stream([begin(1000), row(1), commit(1000)]);
    scenario.stream([request(2000)]);
    scenario.leave(|_| false);
    scenario.outcome(Outcome::Durable);
    assert_eq!(scenario.confirmed(), [1040, 2000]);
}

#[test]
fn a_checkpoint_alone_carries_last_unchanged() {
    let mut scenario = Scenario::caught_up();
    scenario.stream([begin(1000), row(1), commit(1000)]);
    let last = scenario.checkpoint.last;
    scenario.stream([request(2000)]);
    assert_eq!(scenario.checkpoint.frontier, at(2000));
    assert_eq!(scenario.checkpoint.last, last);
    assert_eq!(scenario.checkpoint.sequence, 2);
}

#[test]
fn nothing_is_idle_inside_a_transaction() {
    let mut scenario = Scenario::caught_up();
    scenario.stream([begin(1100), request(1000 + 2 * MIB)]);
    scenario.pass(Duration::from_secs(60));
    assert!(scenario.published().is_empty() && scenario.confirmed().is_empty());
    // Its position meant nothing: what counts is where the transaction ends.
    scenario.stream([row(1), commit(1100)]);
    assert_eq!(scenario.published(), [(vec![1], at(1140))]);
}

#[test]
fn nothing_is_idle_while_messages_wait() {
    let mut scenario = Scenario::publishing();
    scenario.stream([
        begin(1000),
        row(1),
        commit(1000),
        begin(1100),
        row(2),
        commit(1100),
    ]);
    scenario.stream([request(1000 + 2 * MIB)]);
    scenario.pass(Duration::from_secs(60));
    assert_eq!(scenario.published(), [(vec![1, 2], at(1140))]);
}

#[test]
fn a_position_that_falls_back_is_ignored() {
    let mut scenario = Scenario::caught_up();
    scenario.stream([request(2000)]);
    scenario.stream([request(1500)]);
    scenario.pass(Duration::from_secs(60));
    assert_eq!(scenario.published(), [(vec![], at(2000))]);
    assert_eq!(scenario.confirmed(), [2000]);
}

#[test]
fn the_server_is_asked_with_every_status_only_while_idle() {
    let mut scenario = Scenario::publishing();
    scenario.forget();
    scenario.stream([begin(1000)]);
    assert!(scenario.did(|action| *action == Action::AskForKeepalive(false)));
    scenario.stream([row(1), commit(1000)]);
    scenario.forget();
    scenario.stream([]);
    assert!(scenario.actions.is_empty());
}

#[test]
fn an_idle_relay_writes_now_and_then_so_that_the_broker_does_not_forget_it() {
    let mut scenario = Scenario::caught_up();
    scenario.pass(Duration::from_secs(6 * 3600 - 1));
    assert!(scenario.published().is_empty());
    scenario.pass(Duration::from_secs(1));
    assert_eq!(scenario.published(), [(vec![], at(1000))]);
}
