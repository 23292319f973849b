//! Random tables and brokers with random faults: each is found, and nothing else.

use std::collections::BTreeMap;

use fastrand::Rng;
use outbox_core::{Lsn, MessageId, Position, TimelineId, Timestamp};

use super::comparison::Comparison;
use super::content::{Content, KeyText, Row};
use super::digest::Digester;
use super::findings::{Findings, Kind};
use super::gather::{Due, Gathered};
use super::join::hash;
use super::judge::Tally;
use super::names::Names;
use super::progress::Progress;
use super::record::RowRecord;
use super::spill::Spill;
use super::window::Window;
use crate::sink::published::Published;

const PARTITIONS: u32 = 3;
const TOPIC: &str = "events";

/// A row, and its message.
#[derive(Clone, Debug)]
struct Event {
    id: MessageId,
    key: Option<String>,
    payload: Option<Vec<u8>>,
    position: u64,
    is_replay: bool,
}

impl Event {
    fn row(&self) -> Row<'_> {
        Row {
            id: self.id,
            destination: TOPIC,
            key: self.key.as_deref(),
            message_type: "T",
            content_type: "text/plain",
            payload: self.payload.as_deref(),
            headers: r#"{"tenant": "7"}"#,
            created_at: Timestamp::from_unix_us(1_234_567),
        }
    }

    fn message(&self, offset: usize) -> Published<'_> {
        let position = Position {
            commit_lsn: Lsn::new(self.position / 2 * 8),
            index: u32::try_from(self.position % 2).unwrap(),
        };
        Published {
            partition: self.partition(),
            offset: offset as u64,
            id: Some(self.id),
            position: Some((TimelineId(1), position)),
            is_replay: self.is_replay,
            key: self.key.as_deref().map(str::as_bytes),
            message_type: Some(b"T"),
            content_type: Some(b"text/plain"),
            created_at: Some(Timestamp::from_unix_us(1_234_000)),
            payload: self.payload.as_deref(),
            headers: vec![("tenant", b"7")],
        }
    }

    fn partition(&self) -> u32 {
        self.key
            .as_ref()
            .map_or(0, |key| key.len() as u32 % PARTITIONS)
    }
}

fn event(random: &mut Rng, position: usize, keys: usize) -> Event {
    let key = random.usize(0..=keys);
    Event {
        id: MessageId::from_bytes(std::array::from_fn(|_| random.u8(..))),
        key: (key < keys).then(|| format!("{key:0$}", 1 + key % 70)),
        payload: (random.u8(..8) > 0).then(|| position.to_string().into_bytes()),
        position: position as u64,
        is_replay: false,
    }
}

struct Compared {
    findings: Findings,
    tally: Tally,
}

/// Compares a table with what a broker shows, in this order. Little fits a pass.
fn compare(rows: &[Event], messages: &[Event], may_repeat: bool) -> Compared {
    let (digester, directory) = (Digester::default(), std::env::temp_dir());
    let mut names = Names::default();
    let destination = names.number(TOPIC).unwrap();
    let mut spilled = Spill::new(&directory).unwrap();
    for row in rows {
        let record = RowRecord {
            id: row.id,
            content: Content::of_row(&row.row(), destination, &digester),
            key_text: KeyText::new(row.key.as_deref().map(str::as_bytes)),
        };
        spilled.push(hash(&digester, &row.id), &record).unwrap();
    }
    spilled.finish().unwrap();
    let mut gathered = Gathered::new(&directory).unwrap();
    let due = Due {
        window: Window::default(),
        before: Lsn::new(u64::MAX),
    };
    for partition in 0..PARTITIONS {
        let here = messages
            .iter()
            .filter(|message| message.partition() == partition);
        for (offset, message) in here.enumerate() {
            let message = message.message(offset);
            gathered
                .put(&message, destination, &due, &digester, &Progress::default())
                .unwrap();
        }
    }
    gathered.finish().unwrap();
    let comparison = Comparison {
        rows: &spilled,
        names: &names,
        gathered: &gathered,
        digester: &digester,
        may_repeat,
        findings_max: usize::MAX,
        join_bytes: 500,
        order_bytes: 500,
    };
    let (findings, tally) = comparison.run(|_| {}).unwrap();
    Compared { findings, tally }
}

/// The ids of each kind, sorted.
fn by_kind(findings: Findings) -> BTreeMap<Kind, Vec<String>> {
    let mut found: BTreeMap<Kind, Vec<String>> = BTreeMap::new();
    for finding in findings.into_listed() {
        found.entry(finding.kind).or_default().push(finding.id);
    }
    for ids in found.values_mut() {
        ids.sort();
    }
    found
}

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
                    // A replay is as good as a message, and stands anywhere.
                    message.is_replay = true;
                    message.payload = Some(b"repaired".to_vec());
                    behind.push(message);
                    continue;
                }
                5 => {
                    let mut replay = message.clone();
                    replay.is_replay = true;
                    behind.push(replay);
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
        let compared = compare(&rows, &messages, false);
        assert_eq!(by_kind(compared.findings), expected, "seed {seed}");
        assert_eq!(compared.tally.without_row, 0, "seed {seed}");
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
