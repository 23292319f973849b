use std::time::Duration;

use super::scenario::*;
use crate::relay::{
    Action, EarlierEnds, EarlierTries, Event, FailureKind, Notice, ParkReason, Settings,
    StuckPolicy, TriedBatch,
};
use crate::sink::{Outcome, RefusalReason};
use crate::{Lsn, Position};

/// A relay that has become active after such ends; a batch may hold four messages.
fn after(ends: EarlierEnds, policy: StuckPolicy) -> Scenario {
    holding(4, ends, policy)
}

/// The same; a batch may hold so many.
fn holding(messages_max: usize, ends: EarlierEnds, policy: StuckPolicy) -> Scenario {
    let mut settings = Settings {
        stuck: policy,
        ..settings()
    };
    settings.batch.messages_max = messages_max;
    let mut scenario = Scenario::with(settings);
    scenario.parked_earlier.ends = ends;
    scenario.run();
    scenario.stream([keepalive(1000)]);
    scenario.forget();
    scenario
}

/// So many processes ended without a word, and what they tried was not noted.
const fn unclean(unclean: u32) -> EarlierEnds {
    EarlierEnds {
        unclean,
        tried: None,
    }
}

/// Row `number`, the only one of a transaction at `commit_lsn`, was tried by so many.
fn tried(number: u32, commit_lsn: u64, count: u32) -> EarlierEnds {
    EarlierEnds {
        unclean: 1,
        tried: Some(EarlierTries {
            batch: message(number, commit_lsn),
            count,
        }),
    }
}

fn message(number: u32, commit_lsn: u64) -> TriedBatch {
    TriedBatch {
        position: Position {
            commit_lsn: Lsn::new(commit_lsn),
            index: 0,
        },
        id: id(number),
        messages: 1,
    }
}

/// Rows 1 to `count`, a transaction each, from 1100 on.
fn arrive(scenario: &mut Scenario, count: u32) {
    for number in 1..=count {
        let commit_lsn = 1000 + u64::from(number) * 100;
        scenario.stream([begin(commit_lsn), row(number), commit(commit_lsn)]);
    }
}

/// What was noted and what was handed to the sink, in order.
fn steps(scenario: &Scenario) -> Vec<String> {
    let number = |id| (0..100).find(|number| super::scenario::id(*number) == id);
    scenario
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::NoteTry { batch, .. } => match batch.messages {
                1 => Some(format!("note {}", number(batch.id)?)),
                messages => Some(format!("note {messages} from {}", number(batch.id)?)),
            },
            Action::NoteSurvival => Some("survived".to_owned()),
            Action::Publish(_, batch) => {
                let rows = batch.messages.iter().map(|message| number(message.row.id));
                let rows: Option<Vec<String>> =
                    rows.map(|row| Some(format!(" {}", row?))).collect();
                Some(format!("publish{}", rows?.concat()))
            }
            Action::Report(Notice::InFullBatchesAgain) => Some("in full batches again".to_owned()),
            _ => None,
        })
        .collect()
}

fn note(action: &Action) -> bool {
    matches!(action, Action::NoteTry { .. })
}

#[test]
fn a_relay_that_starts_after_one_end_without_a_word_notes_nothing() {
    for ends in [unclean(0), unclean(1), tried(1, 900, 3), tried(1, 1100, 0)] {
        let mut scenario = after(ends, StuckPolicy::Park);
        scenario.stream([begin(1100), row(1), row(2), commit(1100)]);
        assert_eq!(steps(&scenario), ["publish 1 2"], "{ends:?}");
    }
}

#[test]
fn after_two_as_many_messages_as_a_batch_holds_go_in_small_batches_each_noted_first() {
    let mut scenario = holding(250, unclean(2), StuckPolicy::Park);
    assert_eq!(scenario.relay.status().careful_messages, 250);
    assert_eq!(scenario.relay.status().unclean_ends, 2);
    let transaction = |lsn, rows: std::ops::Range<u32>| {
        let rows = rows.map(row);
        std::iter::once(begin(lsn))
            .chain(rows)
            .chain([commit(lsn)])
            .collect::<Vec<_>>()
    };
    scenario.event(Event::Stream(transaction(1100, 0..260)));
    scenario.event(Event::Stream(transaction(1200, 260..500)));
    let sizes: Vec<usize> = scenario
        .batches()
        .iter()
        .map(|batch| batch.messages.len())
        .collect();
    assert_eq!(sizes, [100, 100, 60, 240]);
    let noted: Vec<u32> = scenario
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::NoteTry { batch, .. } => Some(batch.messages),
            _ => None,
        })
        .collect();
    assert_eq!(noted, [100, 100, 60], "the last goes as ever");
    assert_eq!(scenario.relay.status().careful_messages, 0);
    assert_eq!(scenario.relay.status().unclean_ends, 0);
}

#[test]
fn what_a_process_ended_over_together_goes_alone() {
    let mut ends = tried(1, 1100, 1);
    if let Some(tried) = &mut ends.tried {
        tried.batch.messages = 3;
    }
    let mut scenario = after(ends, StuckPolicy::Park);
    scenario.stream([begin(1100), row(1), row(2), row(3), row(4), commit(1100)]);
    let expected = [
        "note 1",
        "publish 1",
        "note 2",
        "publish 2",
        "note 3",
        "publish 3",
        "note 4",
        "publish 4",
        "in full batches again",
    ];
    assert_eq!(steps(&scenario), expected);
    // However many ended over it: nobody knows which message it was.
    if let Some(tried) = &mut ends.tried {
        tried.count = 9;
    }
    let mut scenario = after(ends, StuckPolicy::Park);
    scenario.stream([begin(1100), row(1), commit(1100)]);
    assert_eq!(steps(&scenario), ["note 1", "publish 1"]);
}

#[test]
fn what_up_to_two_processes_tried_is_noted_before_it_is_tried_again() {
    for count in 1..=2 {
        let mut scenario = after(tried(2, 1200, count), StuckPolicy::Park);
        arrive(&mut scenario, 2);
        assert_eq!(
            steps(&scenario),
            ["note 1", "publish 1", "note 2", "publish 2"]
        );
    }
}

#[test]
fn a_checkpoint_alone_goes_first_so_that_no_message_pays_for_a_long_start() {
    let mut scenario = Scenario::with(settings());
    scenario.parked_earlier.ends = unclean(2);
    scenario.leave(|action| publish(action).is_some());
    scenario.run();
    arrive(&mut scenario, 1);
    assert_eq!(steps(&scenario), ["publish"]);
    scenario.outcome(Outcome::Retry { reason: "r".into() });
    scenario.pass(Duration::from_secs(1));
    assert_eq!(steps(&scenario), ["publish", "publish"]);
    scenario.outcome(Outcome::Durable);
    assert_eq!(
        steps(&scenario),
        ["publish", "publish", "note 1", "publish 1"]
    );
}

#[test]
fn what_three_processes_ended_over_is_set_aside_and_not_tried() {
    let mut scenario = after(tried(2, 1200, 3), StuckPolicy::Park);
    arrive(&mut scenario, 3);
    let aside = scenario.actions.iter().find_map(|action| match action {
        Action::Park { messages, .. } => messages.first().cloned(),
        _ => None,
    });
    let aside = aside.unwrap();
    assert_eq!(aside.delivery.row.id, id(2));
    assert_eq!(aside.reason, ParkReason::Refused(RefusalReason::Crashes));
    assert!(aside.error.contains("3 times in a row"), "{}", aside.error);
    // Its checkpoint goes alone, and needs no note.
    assert_eq!(
        steps(&scenario),
        ["note 1", "publish 1", "publish", "note 3", "publish 3"]
    );
}

#[test]
fn another_message_at_that_place_is_tried() {
    let mut scenario = after(tried(7, 1100, 3), StuckPolicy::Park);
    arrive(&mut scenario, 1);
    assert_eq!(steps(&scenario), ["note 1", "publish 1"]);
}

#[test]
fn a_relay_that_halts_over_it_forgets_the_tries_so_that_a_restart_tries_again() {
    let mut scenario = after(tried(1, 1100, 3), StuckPolicy::Halt);
    arrive(&mut scenario, 1);
    assert_eq!(scenario.phase(), "held");
    let halted = scenario.actions.iter().find_map(|action| match action {
        Action::Report(Notice::Halted(halted)) => Some(halted.clone()),
        _ => None,
    });
    assert_eq!(halted.unwrap().reason, RefusalReason::Crashes);
    assert!(scenario.did(|action| matches!(
        action,
        Action::NoteEnd {
            forget_tries: true,
            ..
        }
    )));
}

#[test]
fn whatever_the_sink_answers_the_process_lives_and_takes_its_note_back() {
    let outcomes = [
        Outcome::Retry { reason: "r".into() },
        Outcome::Abort { reason: "r".into() },
        Outcome::Indefinite { reason: "r".into() },
    ];
    for outcome in outcomes {
        let mut scenario = after(unclean(2), StuckPolicy::Park);
        scenario.leave(|action| publish(action).is_some());
        arrive(&mut scenario, 1);
        scenario.outcome(outcome.clone());
        scenario.leave(|_| false);
        scenario.pass(Duration::from_secs(1));
        scenario.run();
        let expected = ["note 1", "publish 1", "survived", "note 1", "publish 1"];
        assert_eq!(steps(&scenario), expected, "{outcome:?}");
    }
}

#[test]
fn what_has_not_ended_the_process_for_a_while_counts_as_survived() {
    let mut scenario = after(unclean(2), StuckPolicy::Park);
    scenario.leave(|action| publish(action).is_some());
    arrive(&mut scenario, 1);
    scenario.pass(Duration::from_millis(1900));
    assert_eq!(steps(&scenario), ["note 1", "publish 1"]);
    scenario.pass(Duration::from_millis(100));
    assert_eq!(steps(&scenario), ["note 1", "publish 1", "survived"]);
    // Its answer is still waited for, and it is said once.
    scenario.outcome(Outcome::Abort { reason: "r".into() });
    scenario.pass(Duration::from_millis(1));
    assert_eq!(steps(&scenario), ["note 1", "publish 1", "survived"]);
}

#[test]
fn a_note_that_fails_is_asked_for_again_before_anything_is_published() {
    let mut scenario = after(unclean(2), StuckPolicy::Park);
    scenario.leave(note);
    arrive(&mut scenario, 1);
    let ticket = scenario.ticket(|action| match action {
        Action::NoteTry { ticket, .. } => Some(*ticket),
        _ => None,
    });
    let failure = failure(FailureKind::Unreachable);
    scenario.event(Event::TryNoted(ticket, Err(failure)));
    assert_eq!(steps(&scenario), ["note 1"]);
    scenario.leave(|_| false);
    scenario.pass(Duration::from_secs(1));
    assert_eq!(steps(&scenario), ["note 1", "note 1", "publish 1"]);
}

#[test]
fn whoever_has_lost_its_claim_publishes_nothing_more() {
    let mut scenario = after(unclean(2), StuckPolicy::Park);
    scenario.leave(note);
    arrive(&mut scenario, 1);
    let ticket = scenario.ticket(|action| match action {
        Action::NoteTry { ticket, .. } => Some(*ticket),
        _ => None,
    });
    let failure = failure(FailureKind::ClaimSuperseded);
    scenario.event(Event::TryNoted(ticket, Err(failure)));
    assert_eq!(scenario.phase(), "standby");
    assert!(scenario.batches().is_empty());
}

#[test]
fn every_end_that_is_decided_is_noted_before_the_stream_is_closed() {
    let ends: [fn(&mut Scenario); 3] = [
        |scenario| scenario.event(Event::Drain),
        |scenario| scenario.event(Event::StreamEnded(failure(FailureKind::Unreachable))),
        |scenario| {
            scenario.leave(|action| publish(action).is_some());
            arrive(scenario, 1);
            scenario.outcome(Outcome::Fenced { reason: "r".into() });
        },
    ];
    for end in ends {
        let mut scenario = Scenario::caught_up();
        scenario.forget();
        end(&mut scenario);
        let place = |which: fn(&Action) -> bool| scenario.actions.iter().position(which);
        let noted = place(|action| matches!(action, Action::NoteEnd { .. })).unwrap();
        assert!(noted < place(|action| *action == Action::CloseStream).unwrap());
    }
}
