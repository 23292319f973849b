use std::time::Duration;

use super::scenario::*;
use crate::relay::StreamEvent;
use crate::sink::Outcome;

const SLOW: Duration = Duration::from_secs(30);

/// A relay whose batch of these events is in the sink's hands.
fn publishing<const N: usize>(events: [StreamEvent; N]) -> Scenario {
    let mut scenario = Scenario::publishing();
    scenario.stream(events);
    scenario
}

fn indefinite() -> Outcome {
    Outcome::Indefinite { reason: "r".into() }
}

/// The batch in hand took too long, and is not durable.
fn outlive(scenario: &mut Scenario) {
    scenario.pass(SLOW);
    scenario.outcome(indefinite());
}

#[test]
fn a_batch_that_took_too_long_is_sent_in_halves() {
    let mut scenario = publishing([begin(1100), row(1), row(2), row(3), row(4), commit(1100)]);
    outlive(&mut scenario);
    scenario.outcome(Outcome::Durable);
    scenario.outcome(Outcome::Durable);
    assert_eq!(
        scenario.published(),
        [
            (vec![1, 2, 3, 4], at(1140)),
            (vec![1, 2], inside(1100, 2)),
            (vec![3, 4], at(1140)),
        ]
    );
}

#[test]
fn it_is_cut_where_a_transaction_ends() {
    let mut scenario = publishing([begin(1100), row(0), commit(1100)]);
    scenario.stream([begin(1200), row(1), commit(1200)]);
    scenario.stream([begin(1300), row(2), row(3), row(4), commit(1300)]);
    scenario.outcome(Outcome::Durable);
    outlive(&mut scenario);
    scenario.outcome(Outcome::Durable);
    assert_eq!(
        scenario.published()[2..],
        [(vec![1], inside(1200, 1)), (vec![2, 3, 4], at(1340))]
    );
}

#[test]
fn halves_that_take_too_long_are_halved_again_and_one_message_is_sent_as_it_is() {
    let mut scenario = publishing([begin(1100), row(1), row(2), row(3), row(4), commit(1100)]);
    for _ in 0..3 {
        outlive(&mut scenario);
    }
    for _ in 0..3 {
        scenario.outcome(Outcome::Durable);
    }
    let published: Vec<_> = scenario
        .published()
        .into_iter()
        .map(|sent| sent.0)
        .collect();
    assert_eq!(
        published,
        [
            vec![1, 2, 3, 4],
            vec![1, 2],
            vec![1],
            vec![1],
            vec![2],
            vec![3, 4]
        ]
    );
    assert_eq!(scenario.confirmed().last(), Some(&1140));
}

#[test]
fn a_batch_that_was_fast_enough_is_sent_whole() {
    let mut scenario = publishing([begin(1100), row(1), row(2), commit(1100)]);
    scenario.pass(Duration::from_secs(29));
    scenario.outcome(indefinite());
    assert_eq!(
        scenario.published(),
        [(vec![1, 2], at(1140)), (vec![1, 2], at(1140))]
    );
}

#[test]
fn tries_of_one_attempt_count_together() {
    let mut scenario = publishing([begin(1100), row(1), row(2), commit(1100)]);
    scenario.pass(Duration::from_secs(20));
    scenario.outcome(Outcome::Retry { reason: "r".into() });
    scenario.pass(Duration::from_secs(10));
    scenario.outcome(indefinite());
    assert_eq!(
        scenario.published().last(),
        Some(&(vec![1], inside(1100, 1)))
    );
}

#[test]
fn the_rest_counts_against_the_buffer() {
    let mut scenario = Scenario::with(crate::relay::Settings {
        buffer_bytes_max: 4 * row_bytes(),
        ..settings()
    });
    scenario.run();
    scenario.stream([keepalive(1000)]);
    scenario.leave(|action| publish(action).is_some());
    scenario.stream([begin(1100), row(1), row(2), row(3), row(4), commit(1100)]);
    outlive(&mut scenario);
    assert!(!scenario.relay.has_room());
    scenario.outcome(Outcome::Durable);
    assert!(scenario.relay.has_room());
}

#[test]
fn what_halts_waits_for_the_rest_of_a_halved_batch() {
    let mut scenario = publishing([begin(1100), row(1), row(2), row(3), commit(1100)]);
    scenario.outcome(Outcome::Poison(vec![crate::sink::Refusal {
        batch_index: 2,
        reason: crate::sink::RefusalReason::TooLarge,
        error: "e".into(),
    }]));
    outlive(&mut scenario);
    scenario.outcome(Outcome::Durable);
    assert_eq!(scenario.phase(), "active");
    scenario.outcome(Outcome::Durable);
    assert_eq!(scenario.phase(), "held");
    assert_eq!(
        scenario.published()[1..],
        [
            (vec![1, 2], inside(1100, 2)),
            (vec![1], inside(1100, 1)),
            (vec![2], inside(1100, 2)),
        ]
    );
}

#[test]
fn what_stands_behind_a_message_that_halts_is_not_sent_though_it_was_cut_off() {
    let mut scenario = publishing([begin(1100), row(1), row(2), row(3), row(4), commit(1100)]);
    outlive(&mut scenario);
    scenario.outcome(Outcome::Poison(vec![crate::sink::Refusal {
        batch_index: 1,
        reason: crate::sink::RefusalReason::TooLarge,
        error: "e".into(),
    }]));
    scenario.outcome(Outcome::Durable);
    assert_eq!(scenario.phase(), "held");
    assert_eq!(
        scenario.published().last(),
        Some(&(vec![1], inside(1100, 1)))
    );
}
