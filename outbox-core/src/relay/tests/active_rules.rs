use std::time::Duration;

use super::scenario::*;
use crate::relay::{Action, Event, FailureKind, HaltedMessage, Notice};
use crate::sink::{Outcome, Refusal, RefusalReason};
use crate::{Frontier, Lsn};

fn reason() -> String {
    "r".into()
}

/// One batch, of row 1 at 1000, is in flight.
fn in_flight() -> Scenario {
    let mut scenario = Scenario::publishing();
    scenario.stream([begin(1000), row(1), commit(1000)]);
    assert_eq!(scenario.published(), [(vec![1], at(1040))]);
    scenario
}

fn held(scenario: &Scenario) -> Option<&HaltedMessage> {
    scenario.actions.iter().find_map(|action| match action {
        Action::Report(Notice::Halted(message)) => Some(message),
        _ => None,
    })
}

#[test]
fn the_slot_is_confirmed_only_once_the_batch_is_durable() {
    let mut scenario = in_flight();
    assert!(scenario.confirmed().is_empty());
    scenario.outcome(Outcome::Durable);
    assert_eq!(scenario.confirmed(), [1040]);
}

#[test]
fn inside_a_transaction_the_slot_is_confirmed_to_its_commit_only() {
    let mut scenario = Scenario::caught_up();
    scenario.stream([begin(1100), row(1)]);
    scenario.pass(Duration::from_secs(5));
    assert_eq!(scenario.published(), [(vec![1], inside(1100, 1))]);
    assert_eq!(scenario.confirmed(), [1100]);
}

#[test]
fn retry_and_abort_send_the_same_batch_again_after_a_back_off() {
    for outcome in [
        Outcome::Retry { reason: reason() },
        Outcome::Abort { reason: reason() },
    ] {
        let mut scenario = in_flight();
        scenario.outcome(outcome);
        scenario.stream([begin(1100), row(2), commit(1100)]);
        assert_eq!(scenario.batches().len(), 1, "not before the delay");
        scenario.pass(Duration::from_millis(50));
        let batches = scenario.batches();
        assert_eq!((batches.len(), &batches[0]), (2, &batches[1]));
        assert!(scenario.confirmed().is_empty());
    }
}

#[test]
fn a_sink_that_is_getting_on_is_called_again_at_once() {
    let mut scenario = in_flight();
    let progress = || "half of it".to_owned();
    for _ in 0..20 {
        scenario.outcome(Outcome::Ongoing {
            progress: progress(),
        });
    }
    assert_eq!(scenario.batches().len(), 21);
    // Nothing failed: the first failure waits no longer than it does otherwise.
    scenario.outcome(Outcome::Retry { reason: reason() });
    scenario.pass(Duration::from_millis(50));
    assert_eq!(scenario.batches().len(), 22);
}

#[test]
fn a_transient_error_is_tried_for_as_long_as_it_takes() {
    let mut scenario = in_flight();
    for _ in 0..200 {
        scenario.outcome(Outcome::Retry { reason: reason() });
        scenario.pass(Duration::from_secs(30));
    }
    assert_eq!(
        (scenario.batches().len(), scenario.phase()),
        (201, "active")
    );
}

#[test]
fn an_answer_to_an_earlier_attempt_is_ignored() {
    let mut scenario = in_flight();
    let stale = scenario.ticket(publish);
    scenario.outcome(Outcome::Retry { reason: reason() });
    scenario.event(Event::Published(stale, Outcome::Durable));
    scenario.pass(Duration::from_millis(50));
    scenario.event(Event::Published(stale, Outcome::Durable));
    assert!(scenario.confirmed().is_empty());
    assert_eq!(scenario.phase(), "active");
}

#[test]
fn a_poisonous_message_holds_the_relay_and_names_the_first() {
    let mut scenario = Scenario::publishing();
    scenario.stream([begin(1000), row(1), row(2), row(3), commit(1000)]);
    let refusal = |batch_index| Refusal {
        batch_index,
        reason: RefusalReason::TooLarge,
        error: "too large".into(),
    };
    scenario.outcome(Outcome::Poison(vec![refusal(2), refusal(1)]));
    // What lies before it goes out first.
    let before = Frontier::inside(Lsn::new(1000), 1);
    assert_eq!(scenario.published().last(), Some(&(vec![1], before)));
    scenario.outcome(Outcome::Durable);
    assert_eq!((scenario.phase(), scenario.stop()), ("held", None));
    let message = held(&scenario).unwrap();
    assert_eq!((message.id, message.position.index), (id(2), 1));
    assert!(scenario.did(|action| *action == Action::CloseStream));
    assert!(scenario.did(|action| *action == Action::ReleaseSink));
    assert!(scenario.confirmed().is_empty());
}

#[test]
fn a_refusal_of_a_message_that_was_not_sent_exits_1() {
    for refusals in [vec![], vec![7]] {
        let mut scenario = in_flight();
        let refusal = |batch_index| Refusal {
            batch_index,
            reason: RefusalReason::Rejected,
            error: reason(),
        };
        let refusals = refusals.into_iter().map(refusal).collect();
        scenario.outcome(Outcome::Poison(refusals));
        assert_eq!(scenario.exit_code(), Some(1));
    }
}

#[test]
fn a_broker_that_holds_what_the_log_does_not_ends_the_relay_with_6() {
    let mut scenario = in_flight();
    scenario.outcome(Outcome::Diverged { reason: reason() });
    assert_eq!(scenario.exit_code(), Some(6));
    assert!(scenario.confirmed().is_empty());
}

#[test]
fn a_relay_that_is_refused_once_it_ran_gives_everything_up_and_tries_again_ever_later() {
    let mut scenario = in_flight();
    for _ in 0..20 {
        scenario.outcome(Outcome::Fatal { reason: reason() });
        assert_eq!((scenario.phase(), scenario.stop()), ("standby", None));
        assert!(scenario.did(|action| *action == Action::ReleaseSink));
        scenario.pass(Duration::from_secs(40));
        scenario.stream([begin(1000), row(1), commit(1000)]);
    }
    let pauses: Vec<_> = scenario.actions.iter().filter_map(refused).collect();
    assert_eq!(pauses.len(), 20);
    assert!(
        pauses.iter().max() > Some(&Duration::from_secs(5)),
        "{pauses:?}"
    );
    scenario.outcome(Outcome::Durable);
    assert_eq!(scenario.confirmed(), [1040]);
}

fn refused(action: &Action) -> Option<Duration> {
    match action {
        Action::Report(Notice::SinkTrouble {
            kind: "refused",
            retry_in,
            ..
        }) => Some(*retry_in),
        _ => None,
    }
}

#[test]
fn fenced_releases_everything_and_never_takes_over_again_at_once() {
    let mut scenario = in_flight();
    scenario.outcome(Outcome::Fenced { reason: reason() });
    assert_eq!(scenario.phase(), "standby");
    assert!(scenario.did(|action| *action == Action::ReleaseSink));
    assert!(scenario.did(|action| *action == Action::CloseStream));
    scenario.forget();
    scenario.pass(Duration::from_millis(1400));
    assert!(scenario.actions.is_empty(), "{:?}", scenario.actions);
    scenario.pass(Duration::from_millis(1200));
    assert!(scenario.did(|action| matches!(action, Action::Inspect(_))));
}

#[test]
fn relays_that_fence_each_other_do_not_move_in_step() {
    let waits: std::collections::BTreeSet<_> = (0..20)
        .map(|seed| {
            let mut scenario = Scenario::new();
            scenario.relay = crate::relay::Relay::new(settings(), seed, moment(scenario.now));
            scenario.run();
            scenario.leave(|action| publish(action).is_some());
            scenario.stream([begin(1000), row(1), commit(1000)]);
            scenario.outcome(Outcome::Fenced { reason: reason() });
            scenario.relay.deadline()
        })
        .collect();
    assert!(waits.len() > 15, "{waits:?}");
}

#[test]
fn a_lost_stream_drops_the_buffer_and_begins_again() {
    let mut scenario = in_flight();
    scenario.stream([begin(1100), row(2), commit(1100)]);
    scenario.event(Event::StreamEnded(failure(FailureKind::Unreachable)));
    assert_eq!(scenario.phase(), "standby");
    // The batch in flight became durable after all; its answer comes too late to matter.
    scenario.checkpoint = scenario.batches()[0].checkpoint.clone();
    scenario.outcome(Outcome::Durable);
    scenario.leave(|_| false);
    scenario.forget();
    scenario.pass(Duration::from_secs(2));
    assert_eq!(scenario.phase(), "activating");
    scenario.stream([
        begin(1000),
        row(1),
        commit(1000),
        begin(1100),
        row(2),
        commit(1100),
    ]);
    assert_eq!(scenario.phase(), "active");
    assert_eq!(scenario.published(), [(vec![2], at(1140))]);
}

#[test]
fn a_stream_that_breaks_its_own_order_exits_1() {
    for wrong in [
        vec![begin(1100), begin(1200)],
        vec![row(1)],
        vec![commit(1100)],
        vec![begin(1100), commit(1101)],
    ] {
        let mut scenario = Scenario::caught_up();
        scenario.event(Event::Stream(wrong));
        assert_eq!(scenario.exit_code(), Some(1));
    }
}

#[test]
fn a_message_behind_the_durable_frontier_is_never_published_again() {
    let mut scenario = Scenario::caught_up();
    scenario.stream([begin(1100), row(1), commit(1100)]);
    scenario.stream([begin(1100), row(1), commit(1100)]);
    assert_eq!(scenario.exit_code(), Some(1));
    assert_eq!(scenario.batches().len(), 1);
}
