use std::time::Duration;

use super::scenario::*;
use crate::relay::{BatchLimits, Event, Settings};

const MINUTE_MS: i64 = 60_000;

/// Active and caught up; a batch has three messages.
fn free() -> Scenario {
    with_batches_of(3)
}

fn with_batches_of(messages_max: usize) -> Scenario {
    let mut scenario = Scenario::with(Settings {
        batch: BatchLimits {
            messages_max,
            bytes_max: 8 << 20,
            ..settings().batch
        },
        buffer_bytes_max: 16 << 20,
        ..settings()
    });
    scenario.run();
    scenario.stream([keepalive(1000)]);
    scenario
}

fn pass(scenario: &mut Scenario, milliseconds: u64) {
    scenario.pass(Duration::from_millis(milliseconds));
}

#[test]
fn late_messages_wait_for_a_fuller_batch_and_no_longer_than_50_ms() {
    let mut scenario = free();
    scenario.stream([late(1100, MINUTE_MS), row(1), commit(1100)]);
    pass(&mut scenario, 30);
    scenario.stream([late(1200, MINUTE_MS), row(2), commit(1200)]);
    pass(&mut scenario, 19);
    assert!(scenario.published().is_empty());
    pass(&mut scenario, 1);
    assert_eq!(scenario.published(), [(vec![1, 2], at(1240))]);
}

#[test]
fn they_wait_for_a_twentieth_of_what_they_are_late_by() {
    let mut scenario = free();
    scenario.stream([late(1100, 200), row(1), commit(1100)]);
    pass(&mut scenario, 9);
    assert!(scenario.published().is_empty());
    pass(&mut scenario, 1);
    assert_eq!(scenario.published(), [(vec![1], at(1140))]);
}

#[test]
fn a_message_that_is_hardly_late_goes_at_once() {
    let mut scenario = free();
    scenario.stream([late(1100, 19), row(1), commit(1100)]);
    assert_eq!(scenario.published(), [(vec![1], at(1140))]);
}

#[test]
fn a_full_batch_does_not_wait() {
    let mut scenario = free();
    scenario.stream([late(1100, MINUTE_MS), row(1), row(2), commit(1100)]);
    assert!(scenario.published().is_empty());
    scenario.stream([late(1200, MINUTE_MS), row(3)]);
    assert_eq!(scenario.published(), [(vec![1, 2], at(1140))]);
}

#[test]
fn two_thousand_messages_or_a_mebibyte_wait_for_no_more() {
    let rows = |numbers: std::ops::RangeInclusive<u32>| Event::Stream(numbers.map(row).collect());
    let mut scenario = with_batches_of(10_000);
    scenario.stream([late(1100, MINUTE_MS)]);
    scenario.event(rows(1..=1998));
    scenario.stream([commit(1100)]);
    assert!(scenario.published().is_empty());
    scenario.stream([late(1200, MINUTE_MS), row(1999), row(2000), commit(1200)]);
    assert_eq!(scenario.published(), [((1..=2000).collect(), at(1240))]);

    let mut scenario = with_batches_of(10_000);
    scenario.stream([late(1100, MINUTE_MS), sized(1, 1 << 20), commit(1100)]);
    assert_eq!(scenario.published(), [(vec![1], at(1140))]);
}

#[test]
fn a_full_buffer_does_not_wait() {
    let mut scenario = Scenario::with(Settings {
        buffer_bytes_max: row_bytes(),
        ..settings()
    });
    scenario.run();
    scenario.stream([late(1100, MINUTE_MS), row(1), commit(1100)]);
    assert_eq!(scenario.published(), [(vec![1], at(1140))]);
}

#[test]
fn nothing_waits_once_the_server_has_sent_everything() {
    let mut scenario = free();
    scenario.stream([late(1100, MINUTE_MS), row(1), commit(1100)]);
    assert!(scenario.published().is_empty());
    scenario.stream([keepalive(1140)]);
    assert_eq!(scenario.published(), [(vec![1], at(1140))]);
}

#[test]
fn a_relay_that_is_asked_to_stop_publishes_no_more_of_what_waits() {
    let mut scenario = free();
    scenario.stream([late(1100, MINUTE_MS), row(1), commit(1100)]);
    scenario.event(Event::Drain);
    assert_eq!(scenario.phase(), "stopped");
    assert!(scenario.published().is_empty());
}

#[test]
fn the_time_in_flight_counts_as_waiting() {
    let mut scenario = free();
    scenario.leave(|action| publish(action).is_some());
    scenario.stream([begin(1100), row(1), commit(1100)]);
    scenario.stream([late(1200, MINUTE_MS), row(2), commit(1200)]);
    pass(&mut scenario, 50);
    scenario.leave(|_| false);
    scenario.outcome(crate::sink::Outcome::Durable);
    assert_eq!(
        scenario.published(),
        [(vec![1], at(1140)), (vec![2], at(1240))]
    );
}
