//! What was set aside, replayed, given up or sent again, and a part of the log.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::super::aside_record::Fate;
use super::super::findings::Kind;
use super::super::position_range::PositionRange;
use super::events::{Aside, Event, by_kind, compare_with, event, position};

/// Three messages of one key, of which the second was set aside and came last.
fn overtaken() -> (Vec<Event>, Vec<Event>) {
    let mut random = Rng::with_seed(1);
    let mut rows: Vec<_> = (0..3).map(|at| event(&mut random, at, 1)).collect();
    for row in &mut rows {
        row.key = Some("k".into());
    }
    let mut late = rows[1].clone();
    late.replay = Some(1);
    let messages = vec![rows[0].clone(), rows[2].clone(), late];
    (rows, messages)
}

#[test]
fn a_replay_keeps_the_order_of_its_key_if_that_has_waited_for_it() {
    let (rows, messages) = overtaken();
    let all = PositionRange::default();
    let mut aside = Aside::of(&rows[1], Fate::Replayed);
    let found = |asides: &[Aside]| {
        let compared = compare_with(&rows, &messages, asides, false, all);
        assert_eq!(compared.tally.sent_again, 0);
        by_kind(compared.findings)
    };
    assert_eq!(found(std::slice::from_ref(&aside)), BTreeMap::new());
    assert_eq!(found(&[]), BTreeMap::new());
    aside.held_its_key = true;
    let overtaken = BTreeMap::from([(Kind::OutOfOrder, vec![rows[1].id.to_string()])]);
    assert_eq!(found(&[aside]), overtaken);
}

#[test]
fn a_replay_that_came_twice_is_told_from_two_that_were_asked_for() {
    let mut random = Rng::with_seed(1);
    let row = event(&mut random, 0, 1);
    let replay = |number| Event {
        replay: Some(number),
        ..row.clone()
    };
    let redelivered = |position| Event {
        is_redelivery: true,
        position,
        ..replay(1)
    };
    let aside = [Aside::of(&row, Fate::Replayed)];
    let all = PositionRange::default();
    let compare = |messages: &[Event], may_repeat| {
        compare_with(
            std::slice::from_ref(&row),
            messages,
            &aside,
            may_repeat,
            all,
        )
    };
    let asked = [replay(1), replay(2), redelivered(50), redelivered(60)];
    let compared = compare(&asked, false);
    assert_eq!(
        (compared.findings.total(), compared.tally.sent_again),
        (0, 3)
    );
    // A number that is not to be read proves nothing.
    assert_eq!(compare(&[replay(0), replay(0)], false).findings.total(), 0);

    let twice = [asked.as_slice(), &[replay(2), redelivered(60)]].concat();
    let compared = compare(&twice, false);
    assert_eq!(compared.tally.sent_again, 3);
    let doubled = vec![row.id.to_string(); 2];
    assert_eq!(
        by_kind(compared.findings),
        BTreeMap::from([(Kind::Duplicated, doubled)])
    );
    let compared = compare(&twice, true);
    assert_eq!((compared.findings.total(), compared.tally.repeated), (0, 2));
}

#[test]
fn a_replay_that_came_twice_while_its_row_still_waits_is_doubled_and_no_more() {
    let mut random = Rng::with_seed(1);
    let row = event(&mut random, 0, 1);
    let replay = Event {
        replay: Some(1),
        ..row.clone()
    };
    let aside = [Aside::of(&row, Fate::Waiting)];
    let all = PositionRange::default();
    let messages = [replay.clone(), replay];
    let compared = compare_with(std::slice::from_ref(&row), &messages, &aside, true, all);
    assert_eq!((compared.tally.sent_again, compared.tally.repeated), (0, 1));
    assert_eq!(compared.tally.set_aside, 1);
}

#[test]
fn what_waits_and_is_published_all_the_same_is_told() {
    let (rows, _) = overtaken();
    let asides = [
        Aside::of(&rows[0], Fate::Waiting),
        Aside::of(&rows[1], Fate::GivenUp),
        Aside::of(&rows[2], Fate::Replayed),
    ];
    let compared = compare_with(&rows, &rows, &asides, false, PositionRange::default());
    assert_eq!(compared.findings.total(), 0);
    assert_eq!(compared.tally.aside_and_published, 2);
    assert_eq!((compared.tally.set_aside, compared.tally.given_up), (0, 0));
}

#[test]
fn a_range_of_positions_judges_what_is_known_to_lie_in_it() {
    let mut random = Rng::with_seed(1);
    let rows: Vec<_> = (0..30).map(|at| event(&mut random, at, 3)).collect();
    let altered = |event: &Event| {
        let mut altered = event.clone();
        altered.payload = Some(b"altered".to_vec());
        altered
    };
    let mut messages: Vec<_> = rows.iter().map(altered).collect();
    messages.push(messages[4].clone());
    messages.push(messages[14].clone());
    // Nothing tells where these stood.
    messages.remove(15);
    messages.remove(3);
    let asides = [2, 12, 22].map(|at| Aside::of(&rows[at], Fate::Waiting));
    messages.retain(|message| asides.iter().all(|aside| aside.event.id != message.id));
    let positions = PositionRange {
        from: Some(position(10)),
        to: Some(position(20)),
    };
    let compared = compare_with(&rows, &messages, &asides, false, positions);
    let count = |kind| compared.findings.count(kind);
    assert_eq!((count(Kind::Altered), count(Kind::Duplicated)), (8, 1));
    assert_eq!((count(Kind::Missing), count(Kind::OutOfOrder)), (0, 0));
    let tally = compared.tally;
    assert_eq!((tally.in_range, tally.set_aside), (9, 1));
    assert_eq!(tally.position_unknown, 2);
    let replayed = asides.map(|aside| Aside::of(&aside.event, Fate::Replayed));
    let compared = compare_with(&rows, &messages, &replayed, false, positions);
    let missing = by_kind(compared.findings).remove(&Kind::Missing);
    assert_eq!(missing, Some(vec![rows[12].id.to_string()]));
}

#[test]
fn an_id_that_is_enqueued_twice_may_be_set_aside_once() {
    let mut random = Rng::with_seed(1);
    let first = event(&mut random, 0, 1);
    let mut second = event(&mut random, 2, 1);
    second.id = first.id;
    second.payload = Some(b"another".to_vec());
    let rows = [second.clone(), first.clone()];
    let all = PositionRange::default();
    let waits = Aside::of(&second, Fate::Waiting);
    let compared = compare_with(&rows, std::slice::from_ref(&first), &[waits], false, all);
    assert_eq!(
        (compared.findings.total(), compared.tally.set_aside),
        (0, 1)
    );

    let mut replay = second.clone();
    replay.replay = Some(1);
    replay.payload = Some(b"repaired".to_vec());
    let mut aside = Aside::of(&second, Fate::Replayed);
    aside.edited = replay.payload.clone();
    let messages = [first.clone(), replay];
    let compared = compare_with(&rows, &messages, &[aside], false, all);
    assert_eq!(
        (compared.findings.total(), compared.tally.sent_again),
        (0, 0)
    );
}

#[test]
fn a_replay_elsewhere_stands_for_its_row_only_if_it_was_sent_there() {
    let mut random = Rng::with_seed(1);
    let row = event(&mut random, 4, 1);
    let mut replay = row.clone();
    replay.replay = Some(1);
    replay.is_elsewhere = true;
    let mut aside = Aside::of(&row, Fate::Replayed);
    let rows = std::slice::from_ref(&row);
    let compare = |message: &Event, asides: &[Aside]| {
        let all = PositionRange::default();
        let messages = std::slice::from_ref(message);
        compare_with(rows, messages, asides, false, all)
    };
    for asides in [&[][..], std::slice::from_ref(&aside)] {
        let compared = compare(&replay, asides);
        assert_eq!(compared.tally.sent_again, 1);
        let [missing] = &compared.findings.into_listed()[..] else {
            panic!("one is missing")
        };
        assert_eq!(missing.kind, Kind::Missing);
        assert_eq!(missing.position.as_deref(), Some("1:0/10:0"));
    }
    aside.is_redirected = true;
    let redirected = [aside];
    assert_eq!(compare(&replay, &redirected).findings.total(), 0);
    replay.is_elsewhere = false;
    let compared = compare(&replay, &redirected);
    assert_eq!(compared.findings.count(Kind::Missing), 1);
}

#[test]
fn what_was_redelivered_is_sent_again_and_no_finding() {
    let mut random = Rng::with_seed(1);
    let rows: Vec<_> = (0..12).map(|at| event(&mut random, at, 2)).collect();
    let again = |event: &Event, request: u64| {
        let mut again = event.clone();
        (again.replay, again.is_redelivery) = (Some(1), true);
        again.position = request;
        again
    };
    let all = PositionRange::default();
    // Twice, and once to another destination; between messages that were committed later.
    let mut messages = rows.clone();
    for (number, row) in (100..).zip(&rows[2..6]) {
        messages.push(again(row, number));
    }
    let mut elsewhere = again(&rows[3], 200);
    elsewhere.is_elsewhere = true;
    messages.insert(9, elsewhere);
    messages.insert(10, again(&rows[3], 201));
    let compared = compare_with(&rows, &messages, &[], false, all);
    assert_eq!(compared.findings.total(), 0);
    assert_eq!((compared.tally.sent_again, compared.tally.replays), (6, 6));

    // The broker has deleted what was old.
    messages.retain(|message| message.is_redelivery || message.id == rows[0].id);
    let asides: Vec<_> = rows[6..]
        .iter()
        .map(|row| Aside::of(row, Fate::Waiting))
        .collect();
    let compared = compare_with(&rows, &messages, &asides, false, all);
    let missing = by_kind(compared.findings);
    let expected = BTreeMap::from([(Kind::Missing, vec![rows[1].id.to_string()])]);
    assert_eq!(missing, expected);
    assert_eq!(compared.tally.sent_again, 6);

    // Its position is its request's, and says nothing of where the row stands.
    let positions = PositionRange {
        from: Some(position(100)),
        to: None,
    };
    let compared = compare_with(&rows, &messages, &asides, false, positions);
    assert_eq!(compared.findings.total(), 0);
    let tally = compared.tally;
    assert_eq!((tally.in_range, tally.sent_again), (0, 6));
    assert_eq!(tally.position_unknown, 5);
}

#[test]
fn what_was_redelivered_and_says_something_else_stands_for_no_row() {
    let mut random = Rng::with_seed(1);
    let row = event(&mut random, 4, 1);
    let mut again = row.clone();
    (again.replay, again.is_redelivery, again.position) = (Some(1), true, 50);
    again.payload = Some(b"altered".to_vec());
    let compare = |message: &Event, asides: &[Aside]| {
        let (rows, messages) = (std::slice::from_ref(&row), std::slice::from_ref(message));
        compare_with(rows, messages, asides, false, PositionRange::default())
    };
    assert_eq!(compare(&again, &[]).findings.count(Kind::Missing), 1);
    // What was replayed corrected is redelivered corrected.
    let mut aside = Aside::of(&row, Fate::Replayed);
    aside.edited = again.payload.clone();
    assert_eq!(compare(&again, &[aside]).findings.total(), 0);
}
