//! Rows, messages and records that were never in a database or a broker, and comparing them.

use std::collections::BTreeMap;

use fastrand::Rng;
use outbox_core::{Lsn, MessageId, Position, TimelineId, Timestamp};

use super::super::aside_record::{AsideRecord, Edit, Fate};
use super::super::comparison::Comparison;
use super::super::content::{Content, KeyText, Row};
use super::super::digest::Digester;
use super::super::findings::{Findings, Kind};
use super::super::gather::{Due, Gathered};
use super::super::join::hash;
use super::super::names::Names;
use super::super::position_range::PositionRange;
use super::super::progress::Progress;
use super::super::record::RowRecord;
use super::super::spill::Spill;
use super::super::tally::Tally;
use super::super::window::Window;
use crate::sink::published::Published;

const PARTITIONS: u32 = 3;
const TOPIC: &str = "events";
/// The number of the topic that is not the rows' own.
const ELSEWHERE: u32 = 1;

/// A row, and its message.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) id: MessageId,
    pub(super) key: Option<String>,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) position: u64,
    /// For the how-manieth time it was asked for, if it is a replay.
    pub(super) replay: Option<u32>,
    /// Published once more: its position is its request's.
    pub(super) is_redelivery: bool,
    /// Not in its row's topic.
    pub(super) is_elsewhere: bool,
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
        Published {
            partition: self.partition(),
            offset: offset as u64,
            id: Some(self.id),
            position: Some((TimelineId(1), position(self.position))),
            replay: self.replay,
            is_redelivery: self.is_redelivery,
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

pub(super) fn position(number: u64) -> Position {
    Position {
        commit_lsn: Lsn::new(number / 2 * 8),
        index: u32::try_from(number % 2).unwrap(),
    }
}

/// What `outbox.parked` says of an event.
#[derive(Clone, Debug)]
pub(super) struct Aside {
    pub(super) event: Event,
    pub(super) fate: Fate,
    pub(super) held_its_key: bool,
    /// The payload of the request, if there is an edit.
    pub(super) edited: Option<Vec<u8>>,
    pub(super) is_redirected: bool,
}

impl Aside {
    pub(super) fn of(event: &Event, fate: Fate) -> Self {
        Self {
            event: event.clone(),
            fate,
            held_its_key: false,
            edited: None,
            is_redirected: false,
        }
    }

    fn record(&self, digester: &Digester) -> AsideRecord {
        let content = Content::of_row(&self.event.row(), 0, digester);
        AsideRecord {
            id: self.event.id,
            position: (TimelineId(1), position(self.event.position)),
            created_at_ms: content.created_at_ms,
            fate: self.fate,
            held_its_key: self.held_its_key,
            redirected_to: self.is_redirected.then_some(ELSEWHERE),
            edit: self.edited.as_deref().map(|payload| Edit {
                message_type: content.message_type,
                content_type: content.content_type,
                payload: digester.bytes(Some(payload)),
                headers: content.headers,
            }),
        }
    }
}

pub(super) fn event(random: &mut Rng, position: usize, keys: usize) -> Event {
    let key = random.usize(0..=keys);
    Event {
        id: MessageId::from_bytes(std::array::from_fn(|_| random.u8(..))),
        key: (key < keys).then(|| format!("{key:0$}", 1 + key % 70)),
        payload: (random.u8(..8) > 0).then(|| position.to_string().into_bytes()),
        position: position as u64,
        replay: None,
        is_redelivery: false,
        is_elsewhere: false,
    }
}

pub(super) struct Compared {
    pub(super) findings: Findings,
    pub(super) tally: Tally,
}

/// Compares a table with what a broker shows, in this order. Little fits a pass.
pub(super) fn compare(rows: &[Event], messages: &[Event], may_repeat: bool) -> Compared {
    let all = PositionRange::default();
    compare_with(rows, messages, &[], may_repeat, all)
}

pub(super) fn compare_with(
    rows: &[Event],
    messages: &[Event],
    asides: &[Aside],
    may_repeat: bool,
    positions: PositionRange,
) -> Compared {
    let (digester, directory) = (Digester::default(), std::env::temp_dir());
    let mut names = Names::default();
    let destination = names.number(TOPIC).unwrap();
    assert_eq!(names.number("elsewhere"), Some(ELSEWHERE));
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
        positions,
        before: Lsn::new(u64::MAX),
    };
    for partition in 0..PARTITIONS {
        let here = messages
            .iter()
            .filter(|message| message.partition() == partition);
        for (offset, message) in here.enumerate() {
            let whereto = if message.is_elsewhere {
                ELSEWHERE
            } else {
                destination
            };
            let message = message.message(offset);
            gathered
                .put(&message, whereto, &due, &digester, &Progress::default())
                .unwrap();
        }
    }
    gathered.finish().unwrap();
    let mut put_aside = Spill::new(&directory).unwrap();
    for aside in asides {
        let record = aside.record(&digester);
        put_aside
            .push(hash(&digester, &record.id), &record)
            .unwrap();
    }
    put_aside.finish().unwrap();
    let comparison = Comparison {
        rows: &spilled,
        asides: &put_aside,
        positions,
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
pub(super) fn by_kind(findings: Findings) -> BTreeMap<Kind, Vec<String>> {
    let mut found: BTreeMap<Kind, Vec<String>> = BTreeMap::new();
    for finding in findings.into_listed() {
        found.entry(finding.kind).or_default().push(finding.id);
    }
    for ids in found.values_mut() {
        ids.sort();
    }
    found
}
