//! What operators ask for is carried out at its place in the log.

use super::requests::*;
use super::scenario::*;
use crate::TimelineId;
use crate::relay::{
    Action, Event, FailureKind, FinishedRequest, KeyAfter, LeftToPublish, Notice, ReplayedMessage,
    RequestPart, Settings, StreamEvent, StuckPolicy,
};
use crate::sink::Outcome;

#[test]
fn what_was_set_aside_is_published_between_what_was_before_and_after_the_request() {
    let mut scenario = blocking(
        StuckPolicy::ParkKey,
        vec![part(vec![waiting(0, 1), waiting(1, 2)], None)],
    );
    scenario.finished_request.keys = vec![KeyAfter {
        destination: "d".into(),
        key: "a".into(),
        blocked_from: None,
    }];
    scenario.stream([begin(1100), row(3), asked(90), row(4), commit(1100)]);
    scenario.stream([begin(1200), StreamEvent::Row(keyed(5)), commit(1200)]);
    assert_eq!(scenario.published(), [(vec![3, 4], inside(1100, 2))]);
    assert!(asks(&scenario).is_empty(), "before everything else is done");
    scenario.outcome(Outcome::Durable);
    assert_eq!(scenario.published().last(), Some(&(vec![1, 2], at(1140))));
    let batch = last_batch(&scenario);
    assert_eq!(batch.request(), Some(request_id(90)));
    let positions: Vec<_> = batch
        .messages
        .iter()
        .map(|message| (message.position, message.origin(TimelineId(9)).1))
        .collect();
    assert_eq!(
        positions,
        [
            (position(1100, 2), position(500, 1)),
            (position(1100, 3), position(500, 2)),
        ]
    );
    let last = batch.checkpoint.last.unwrap();
    assert_eq!(
        (last.position(), last.message_id),
        (position(1100, 3), id(90))
    );
    assert_eq!(batch.checkpoint.stuck_writes, 7);
    scenario.outcome(Outcome::Durable);
    // The key is free again.
    assert_eq!(scenario.published().last(), Some(&(vec![5], at(1240))));
}

#[test]
fn a_key_that_still_waits_goes_on_waiting() {
    let mut scenario = blocking(StuckPolicy::ParkKey, vec![part(vec![waiting(0, 1)], None)]);
    scenario.finished_request.keys = vec![KeyAfter {
        destination: "d".into(),
        key: "a".into(),
        blocked_from: Some(position(500, 2)),
    }];
    scenario.stream([begin(1100), asked(90), commit(1100)]);
    scenario.outcome(Outcome::Durable);
    scenario.stream([begin(1200), StreamEvent::Row(keyed(5)), commit(1200)]);
    assert!(scenario.did(|action| matches!(action, Action::Park { .. })));
}

#[test]
fn a_request_waits_until_it_can_be_seen_and_nothing_overtakes_it() {
    let mut scenario = blocking(
        StuckPolicy::ParkKey,
        vec![
            RequestPart::NotVisible,
            RequestPart::NotVisible,
            part(vec![waiting(0, 1)], None),
        ],
    );
    scenario.stream([begin(1100), asked(90), commit(1100)]);
    scenario.stream([begin(1200), row(5), commit(1200)]);
    assert!(scenario.published().is_empty());
    scenario.pass(std::time::Duration::from_secs(1));
    assert_eq!(scenario.published(), [(vec![1], at(1140))]);
}

#[test]
fn a_request_goes_out_in_parts_and_is_resumed_between_them() {
    let parts = vec![
        part(vec![waiting(0, 1), waiting(1, 2)], Some(2)),
        part(vec![waiting(2, 3)], None),
    ];
    let mut scenario = blocking(StuckPolicy::ParkKey, parts.clone());
    scenario.stream([begin(1100), row(4), asked(90), commit(1100)]);
    scenario.outcome(Outcome::Durable);
    scenario.outcome(Outcome::Durable);
    assert_eq!(asks(&scenario), [0, 2]);
    assert_eq!(
        scenario.published()[1..],
        [(vec![1, 2], inside(1100, 3)), (vec![3], at(1140))]
    );
    // It ends before the second part is durable.
    let mut again = blocking(StuckPolicy::ParkKey, vec![parts[1].clone()]);
    again = {
        let mut restarted = Scenario::with(Settings {
            stuck: StuckPolicy::ParkKey,
            ..settings()
        });
        restarted.checkpoint = scenario.batches()[1].checkpoint.clone();
        restarted.parked_earlier.writes = 7;
        restarted.request_parts = std::mem::take(&mut again.request_parts);
        restarted
    };
    again.run();
    again.leave(|action| publish(action).is_some());
    again.stream([begin(1100), row(4), asked(90), commit(1100)]);
    assert_eq!(asks(&again), [2]);
    assert_eq!(again.published(), [(vec![3], at(1140))]);
}

#[test]
fn a_request_that_was_carried_out_is_passed_over_and_another_in_its_place_exits_6() {
    let mut scenario = blocking(StuckPolicy::ParkKey, vec![part(vec![waiting(0, 1)], None)]);
    scenario.stream([begin(1100), asked(90), commit(1100)]);
    let done = last_batch(&scenario).checkpoint.clone();
    for (number, exit_code) in [(90, None), (91, Some(6))] {
        let mut again = Scenario::new();
        again.checkpoint = done.clone();
        again.parked_earlier.writes = 7;
        again.run();
        again.stream([begin(1100), asked(number), commit(1100)]);
        assert_eq!(again.exit_code(), exit_code);
        assert!(asks(&again).is_empty() && again.published().is_empty());
    }
}

#[test]
fn what_is_published_once_more_stands_where_its_request_does_and_leaves_keys_alone() {
    let again = |number, row| ReplayedMessage {
        origin: None,
        replays: 1,
        reason: String::new(),
        ..waiting(number, row)
    };
    let messages = vec![again(0, 1), again(1, 2), again(2, 3)];
    let mut scenario = blocking(StuckPolicy::ParkKey, vec![part(messages, None)]);
    scenario.stream([begin(1100), asked(90), commit(1100)]);
    let batch = last_batch(&scenario);
    let second = &batch.messages[1];
    let here = (TimelineId(9), position(1100, 1));
    assert_eq!(
        (second.origin(TimelineId(9)), second.redelivered()),
        (here, Some(request_id(90)))
    );
    scenario.outcome(refuse(1));
    let ticket = scenario.ticket(|action| match action {
        Action::PutBack {
            ticket, refused, ..
        } if refused[0].position.is_none() => Some(*ticket),
        _ => None,
    });
    let left = LeftToPublish {
        numbers: vec![0, 2],
        writes: 8,
    };
    scenario.event(Event::WasPutBack(ticket, Ok(left)));
    assert_eq!(scenario.published().last(), Some(&(vec![1, 3], at(1140))));
    scenario.outcome(Outcome::Durable);
    // The key that waits waits on.
    scenario.leave(|action| publish(action).is_some());
    scenario.stream([begin(1200), StreamEvent::Row(keyed(5)), commit(1200)]);
    assert_eq!(scenario.published().last(), Some(&(vec![], at(1240))));
}

#[test]
fn whoever_lost_the_claim_carries_out_nothing() {
    type Answer = fn(&Action) -> Option<Event>;
    let superseded = || failure(FailureKind::ClaimSuperseded);
    let take: Answer = |action| match action {
        Action::TakeRequest { ticket, .. } => Some(Event::RequestTaken(
            *ticket,
            Err(failure(FailureKind::ClaimSuperseded)),
        )),
        _ => None,
    };
    let finish: Answer = |action| match action {
        Action::FinishRequest { ticket, .. } => Some(Event::RequestFinished(
            *ticket,
            Err(failure(FailureKind::ClaimSuperseded)),
        )),
        _ => None,
    };
    for (answer, published) in [(take, 0), (finish, 1)] {
        let mut scenario = blocking(StuckPolicy::ParkKey, vec![part(vec![waiting(0, 1)], None)]);
        scenario.leave(|action| {
            let asks = matches!(
                action,
                Action::TakeRequest { .. } | Action::FinishRequest { .. }
            );
            asks || publish(action).is_some()
        });
        scenario.stream([begin(1100), asked(90), commit(1100)]);
        if published > 0 {
            let taken = scenario.ticket(|action| match action {
                Action::TakeRequest { ticket, .. } => Some(*ticket),
                _ => None,
            });
            let messages = part(vec![waiting(0, 1)], None);
            scenario.event(Event::RequestTaken(taken, Ok(messages)));
            scenario.outcome(Outcome::Durable);
        }
        let event = scenario.actions.iter().rev().find_map(answer).unwrap();
        scenario.event(event);
        assert_eq!(scenario.phase(), "standby", "{:?}", superseded());
        assert_eq!(scenario.published().len(), published);
    }
}

#[test]
fn a_request_counts_what_became_of_it() {
    let mut scenario = blocking(StuckPolicy::ParkKey, vec![part(Vec::new(), None)]);
    scenario.finished_request = FinishedRequest {
        skipped: 3,
        ..FinishedRequest::default()
    };
    scenario.stream([begin(1100), asked(90), commit(1100)]);
    // A checkpoint alone: there was nothing to publish.
    assert_eq!(scenario.published(), [(vec![], at(1140))]);
    scenario.outcome(Outcome::Durable);
    assert!(scenario.did(|action| matches!(
        action,
        Action::Report(Notice::RequestDone { request, outcome, .. })
            if *request == request_id(90) && outcome.skipped == 3
    )));
}
