use std::time::Duration;

use super::scenario::*;
use crate::relay::{BatchLimits, Settings};
use crate::sink::Outcome;

/// A relay with small limits whose sink is busy with row 0 (at 1000) until [`Outcome::Durable`].
fn busy(limits: BatchLimits, buffer_bytes_max: usize) -> Scenario {
    let mut scenario = free(limits, buffer_bytes_max);
    scenario.leave(|action| publish(action).is_some());
    scenario.stream([begin(1000), row(0), commit(1000)]);
    scenario
}

fn free(limits: BatchLimits, buffer_bytes_max: usize) -> Scenario {
    let mut scenario = Scenario::with(Settings {
        batch: limits,
        buffer_bytes_max,
        ..settings()
    });
    scenario.run();
    scenario
}

fn limits(messages_max: usize, bytes_max: usize) -> BatchLimits {
    BatchLimits {
        messages_max,
        bytes_max,
        transaction_max: Duration::from_secs(5),
    }
}

const LARGE: usize = 1 << 20;

/// What follows once the sink is free, without the first batch.
fn after(mut scenario: Scenario) -> Vec<(Vec<u32>, crate::Frontier)> {
    scenario.leave(|_| false);
    scenario.outcome(Outcome::Durable);
    scenario.published().split_off(1)
}

#[test]
fn a_free_sink_takes_what_there_is() {
    let mut scenario = free(limits(100, LARGE), LARGE);
    scenario.stream([begin(1000), row(0), commit(1000)]);
    scenario.stream([begin(1100), row(1), commit(1100)]);
    assert_eq!(
        scenario.published(),
        [(vec![0], at(1040)), (vec![1], at(1140))]
    );
}

#[test]
fn what_gathers_while_the_sink_is_busy_goes_together() {
    let mut scenario = busy(limits(100, LARGE), LARGE);
    scenario.stream([begin(1100), row(1), commit(1100), begin(1200), row(2)]);
    scenario.stream([commit(1200), begin(1300), commit(1300)]);
    assert_eq!(scenario.published().len(), 1, "one batch at a time");
    // The foreign transaction behind is covered by the same frontier.
    assert_eq!(after(scenario), [(vec![1, 2], at(1340))]);
}

#[test]
fn a_batch_has_whole_transactions_up_to_its_limit() {
    let mut scenario = busy(limits(3, LARGE), LARGE);
    scenario.stream([begin(1100), row(1), row(2), commit(1100)]);
    scenario.stream([begin(1200), row(3), row(4), commit(1200)]);
    assert_eq!(
        after(scenario),
        [(vec![1, 2], at(1140)), (vec![3, 4], at(1240))]
    );
}

#[test]
fn an_oversized_transaction_is_cut_by_index() {
    let mut scenario = busy(limits(2, LARGE), LARGE);
    scenario.stream([
        begin(1100),
        row(1),
        row(2),
        row(3),
        row(4),
        row(5),
        commit(1100),
    ]);
    scenario.stream([begin(1200), row(6), commit(1200)]);
    assert_eq!(
        after(scenario),
        [
            (vec![1, 2], inside(1100, 2)),
            (vec![3, 4], inside(1100, 4)),
            (vec![5, 6], at(1240)),
        ]
    );
}

#[test]
fn a_batch_never_exceeds_its_bytes() {
    let mut scenario = busy(limits(100, 3 * row_bytes() + 16), LARGE);
    scenario.stream([
        begin(1100),
        row(1),
        commit(1100),
        begin(1200),
        row(2),
        commit(1200),
    ]);
    scenario.stream([begin(1300), row(3), sized(4, 100), row(5), commit(1300)]);
    assert_eq!(
        after(scenario),
        [
            (vec![1, 2], at(1240)),
            (vec![3, 4], inside(1300, 2)),
            (vec![5], at(1340)),
        ]
    );
}

#[test]
fn a_single_message_larger_than_a_batch_is_a_batch() {
    let mut scenario = busy(limits(100, row_bytes() + 72), LARGE);
    scenario.stream([begin(1100), sized(1, 5000), commit(1100)]);
    scenario.stream([begin(1200), row(2), sized(3, 5000), commit(1200)]);
    assert_eq!(
        after(scenario),
        [
            (vec![1], at(1140)),
            (vec![2], inside(1200, 1)),
            (vec![3], at(1240)),
        ]
    );
}

#[test]
fn a_part_of_an_open_transaction_is_held_back_for_a_while_only() {
    let mut scenario = free(limits(100, LARGE), LARGE);
    scenario.stream([begin(1100), row(1), row(2)]);
    scenario.pass(Duration::from_millis(4999));
    assert!(scenario.published().is_empty());
    scenario.pass(Duration::from_millis(1));
    assert_eq!(scenario.published(), [(vec![1, 2], inside(1100, 2))]);
    scenario.stream([row(3), commit(1100)]);
    assert_eq!(scenario.published()[1..], [(vec![3], at(1140))]);
}

#[test]
fn an_open_transaction_as_large_as_a_batch_is_cut_at_once() {
    let mut scenario = free(limits(2, LARGE), LARGE);
    scenario.stream([begin(1100), row(1)]);
    assert!(scenario.published().is_empty());
    scenario.stream([row(2)]);
    assert_eq!(scenario.published(), [(vec![1, 2], inside(1100, 2))]);
}

#[test]
fn an_open_transaction_that_fills_the_buffer_is_cut() {
    let mut scenario = free(limits(100, LARGE), 2 * row_bytes() + 44);
    scenario.stream([begin(1100), row(1), row(2)]);
    assert!(scenario.relay.has_room());
    assert!(scenario.published().is_empty());
    scenario.stream([row(3)]);
    assert_eq!(scenario.published(), [(vec![1, 2, 3], inside(1100, 3))]);
    assert!(scenario.relay.has_room());
}

#[test]
fn an_end_that_comes_after_all_its_parts_is_passed_when_idle() {
    let mut scenario = free(limits(2, LARGE), LARGE);
    scenario.stream([begin(1100), row(1), row(2)]);
    scenario.stream([commit(1100), request(1140)]);
    assert_eq!(
        scenario.published(),
        [(vec![1, 2], inside(1100, 2)), (vec![], at(1140))]
    );
}

#[test]
fn a_full_buffer_takes_no_more_until_the_sink_has_taken_some() {
    let mut scenario = busy(limits(1, LARGE), 3 * row_bytes() + 44);
    scenario.stream([begin(1100), row(1), row(2), row(3), commit(1100)]);
    assert!(!scenario.relay.has_room());
    scenario.outcome(Outcome::Durable);
    assert!(scenario.relay.has_room());
}

#[test]
fn rows_of_other_transactions_touch_neither_index_nor_last() {
    let mut scenario = busy(limits(100, LARGE), LARGE);
    scenario.stream([begin(1100), commit(1100), begin(1200), row(1), commit(1200)]);
    scenario.leave(|_| false);
    scenario.outcome(Outcome::Durable);
    let last = scenario.checkpoint.last.unwrap();
    assert_eq!((last.position().index, last.message_id), (0, id(1)));
}
