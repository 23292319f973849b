//! Random tables and brokers with random faults: each is found, and nothing else.

mod events;
mod set_aside;

use std::collections::BTreeMap;

use fastrand::Rng;

use self::events::{Aside, by_kind, compare, compare_with, event};
use super::aside_record::Fate;
use super::findings::Kind;
use super::position_range::PositionRange;

fn seeds() -> impl Iterator<Item = u64> {
    let given = std::env::var("OUTBOX_TEST_SEED").ok();
    let given = given.map(|text| text.parse().unwrap());
    let count = if given.is_some() { 1 } else { 100 };
    (0..count).map(move |_| {
        let seed = given.unwrap_or_else(|| fastrand::u64(..));
        println!("OUTBOX_TEST_SEED={seed}");
        seed
    })
}

#[test]
fn planted_faults_are_found_and_nothing_else() {
    for seed in seeds() {
        let mut random = Rng::with_seed(seed);
        let (count, keys) = (random.usize(0..3000), random.usize(1..100));
        let rows: Vec<_> = (0..count).map(|at| event(&mut random, at, keys)).collect();
        let mut messages = Vec::new();
        let mut behind = Vec::new();
        let mut asides = Vec::new();
        let (mut waiting, mut given_up, mut sent_again) = (0, 0, 0);
        let mut expected: BTreeMap<Kind, Vec<String>> = BTreeMap::new();
        let mut last_of_key: BTreeMap<&str, usize> = BTreeMap::new();
        for row in &rows {
            let mut expect = |kind| {
                let ids: &mut Vec<String> = expected.entry(kind).or_default();
                ids.push(row.id.to_string());
            };
            let mut message = row.clone();
            match random.u8(..) {
                0 => {
                    expect(Kind::Missing);
                    continue;
                }
                1 => {
                    expect(Kind::Duplicated);
                    behind.push(message.clone());
                }
                2 => {
                    expect(Kind::Duplicated);
                    let mut again = message.clone();
                    again.position += 2 * count as u64;
                    behind.push(again);
                }
                3 => {
                    expect(Kind::Altered);
                    message.payload = Some(b"altered".to_vec());
                }
                4 => {
                    // Its key did not wait: the replay stands anywhere, and says what was asked for.
                    message.replay = Some(1);
                    message.payload = Some(b"repaired".to_vec());
                    let mut aside = Aside::of(row, Fate::Replayed);
                    aside.edited = message.payload.clone();
                    asides.push(aside);
                    behind.push(message);
                    continue;
                }
                5 => {
                    sent_again += 1;
                    let mut replay = message.clone();
                    replay.replay = Some(1);
                    behind.push(replay);
                }
                7 => {
                    asides.push(Aside::of(row, Fate::Waiting));
                    waiting += 1;
                    continue;
                }
                8 => {
                    asides.push(Aside::of(row, Fate::GivenUp));
                    given_up += 1;
                    continue;
                }
                9 => {
                    expect(Kind::Missing);
                    asides.push(Aside::of(row, Fate::Replayed));
                    continue;
                }
                10 => {
                    // Nobody asked for that.
                    expect(Kind::Altered);
                    message.replay = Some(1);
                    message.payload = Some(b"repaired".to_vec());
                    asides.push(Aside::of(row, Fate::Replayed));
                    behind.push(message);
                    continue;
                }
                11 => {
                    // Its key waited: it stands where it would have stood itself.
                    message.replay = Some(1);
                    let mut aside = Aside::of(row, Fate::Replayed);
                    aside.held_its_key = true;
                    asides.push(aside);
                }
                12 => {
                    // Its record is gone.
                    message.replay = Some(1);
                    behind.push(message);
                    continue;
                }
                6 if row.key.is_some() => {
                    // Changes places with the one of its key before it, which is then behind it.
                    if let Some(before) = last_of_key.remove(row.key.as_deref().unwrap()) {
                        let earlier = std::mem::replace(&mut messages[before], message);
                        let ids: &mut Vec<String> = expected.entry(Kind::OutOfOrder).or_default();
                        ids.push(earlier.id.to_string());
                        messages.push(earlier);
                        continue;
                    }
                }
                _ => {}
            }
            if let Some(key) = &row.key {
                last_of_key.insert(key, messages.len());
            }
            messages.push(message);
        }
        random.shuffle(&mut behind);
        // What is published at another position comes in the order of those.
        behind.sort_by_key(|message| {
            if message.position >= count as u64 {
                message.position
            } else {
                0
            }
        });
        messages.extend(behind);
        for ids in expected.values_mut() {
            ids.sort();
        }
        let all = PositionRange::default();
        let compared = compare_with(&rows, &messages, &asides, false, all);
        assert_eq!(by_kind(compared.findings), expected, "seed {seed}");
        let tally = compared.tally;
        assert_eq!(tally.without_row, 0, "seed {seed}");
        assert_eq!(
            (tally.set_aside, tally.given_up, tally.sent_again),
            (waiting, given_up, sent_again),
            "seed {seed}"
        );
    }
}

#[test]
fn an_id_that_is_enqueued_twice_counts_twice() {
    let mut random = Rng::with_seed(1);
    let first = event(&mut random, 0, 1);
    let mut second = event(&mut random, 2, 1);
    second.id = first.id;
    second.payload = Some(b"another".to_vec());
    let rows = [second.clone(), first.clone()];
    let both = compare(&rows, &[first.clone(), second.clone()], false);
    assert_eq!((both.findings.total(), both.tally.enqueued_again), (0, 1));
    let one = compare(&rows, &[second.clone()], false);
    assert_eq!(one.findings.count(Kind::Missing), 1);
    assert_eq!(one.findings.total(), 1);
    let twice = compare(
        &rows,
        &[first.clone(), second.clone(), second.clone()],
        false,
    );
    assert_eq!(
        (
            twice.findings.count(Kind::Duplicated),
            twice.findings.total()
        ),
        (1, 1)
    );
}

#[test]
fn at_least_once_may_repeat_and_keeps_its_order() {
    let mut random = Rng::with_seed(1);
    let mut rows: Vec<_> = (0..10).map(|at| event(&mut random, at, 1)).collect();
    for row in &mut rows {
        row.key = Some("k".into());
    }
    // Killed before the checkpoint: it went on from the fourth.
    let messages = [&rows[..7], &rows[3..]].concat();
    let compared = compare(&rows, &messages, true);
    assert_eq!((compared.findings.total(), compared.tally.repeated), (0, 4));
    let compared = compare(&rows, &messages, false);
    assert_eq!(compared.findings.count(Kind::Duplicated), 4);
    assert_eq!(compared.findings.total(), 4);
}

#[test]
fn what_has_no_row_is_counted_and_not_judged() {
    let mut random = Rng::with_seed(1);
    let strange: Vec<_> = (0..4).map(|at| event(&mut random, 9 - at, 1)).collect();
    let messages = [strange.as_slice(), &strange[..1]].concat();
    let compared = compare(&[], &messages, false);
    assert_eq!(
        (compared.findings.total(), compared.tally.without_row),
        (0, 5)
    );
}
