//! Compares what was committed with what was consumed.

use std::collections::HashMap;
use std::fmt;

use uuid::Uuid;

use crate::history::reader::Record;
use crate::history::writers::History;

const EXAMPLES_MAX: usize = 5;
/// The finding that at-least-once allows.
const DUPLICATED: &str = "duplicated";

/// How often one kind of fault was seen, and the first examples.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finding {
    /// How often.
    pub count: usize,
    /// The first few, in words.
    pub examples: Vec<String>,
}

impl Finding {
    fn add(&mut self, example: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(example());
        }
    }
}

/// What [`check`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Messages that the database committed.
    pub committed: usize,
    /// Messages that were rolled back.
    pub rolled_back: usize,
    /// Committed messages that were consumed at least once.
    pub published: usize,
    /// Committed, never consumed.
    pub lost: Finding,
    /// Consumed more than once; every time after the first counts.
    pub duplicated: Finding,
    /// Consumed although rolled back.
    pub rolled_back_seen: Finding,
    /// Consumed although nobody wrote it.
    pub unknown: Finding,
    /// Consumed in another order than committed, within one destination and key.
    pub out_of_order: Finding,
    /// Consumed from more than one partition, within one destination and key.
    pub split_keys: Finding,
    /// Consumed with another destination, key or payload than committed.
    pub altered: Finding,
}

impl Report {
    /// Each committed message once and unchanged, in order per key, and nothing else.
    #[must_use]
    pub fn is_exactly_once(&self) -> bool {
        self.findings()
            .iter()
            .all(|(_, finding)| finding.count == 0)
    }

    /// Each committed message at least once and unchanged, in order per key by its first time, and
    /// nothing else.
    #[must_use]
    pub fn is_at_least_once(&self) -> bool {
        self.findings()
            .iter()
            .all(|(name, finding)| *name == DUPLICATED || finding.count == 0)
    }

    fn findings(&self) -> [(&'static str, &Finding); 7] {
        [
            ("lost", &self.lost),
            (DUPLICATED, &self.duplicated),
            ("rolled back seen", &self.rolled_back_seen),
            ("unknown", &self.unknown),
            ("out of order", &self.out_of_order),
            ("split keys", &self.split_keys),
            ("altered", &self.altered),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "committed         {:>8}", self.committed)?;
        writeln!(f, "rolled back       {:>8}", self.rolled_back)?;
        write!(f, "published         {:>8}", self.published)?;
        for (name, finding) in self.findings() {
            write!(f, "\n{name:<17} {:>8}", finding.count)?;
            for example in &finding.examples {
                write!(f, "\n    {example}")?;
            }
        }
        Ok(())
    }
}

/// Compares a history with the records of its topics, which must be in order of offset within each
/// partition. Pure: reads nothing, asks nobody.
#[must_use]
pub fn check(history: &History, records: &[Record]) -> Report {
    let mut report = Report {
        committed: history.committed.len(),
        rolled_back: history.rolled_back.len(),
        ..Report::default()
    };
    let mut first_seen: HashMap<Uuid, &Record> = HashMap::new();
    let mut last_of_key: HashMap<(&str, &str), (u64, &Record)> = HashMap::new();
    for record in records {
        let Some(id) = record.id else {
            report.unknown.add(|| format!("{record} has no outbox-id"));
            continue;
        };
        if let Some(first) = first_seen.get(&id) {
            report
                .duplicated
                .add(|| format!("{id} at {first} and {record}"));
            continue;
        }
        first_seen.insert(id, record);
        let Some(written) = history.committed.get(&id) else {
            if history.rolled_back.contains(&id) {
                report.rolled_back_seen.add(|| format!("{id} at {record}"));
            } else {
                report.unknown.add(|| format!("{id} at {record}"));
            }
            continue;
        };
        report.published += 1;
        if (&record.topic, &record.key, &record.payload)
            != (&written.destination, &written.key, &written.payload)
        {
            report.altered.add(|| format!("{id} at {record}"));
        }
        let Some(key) = &written.key else { continue };
        let place = (written.destination.as_str(), key.as_str());
        if let Some((sequence, last)) = last_of_key.get(&place) {
            if last.partition != record.partition {
                report
                    .split_keys
                    .add(|| format!("key {key}: {last} and {record}"));
            }
            if written.key_sequence <= *sequence {
                report.out_of_order.add(|| {
                    let number = written.key_sequence;
                    format!("key {key}: number {number} at {record} after {sequence} at {last}")
                });
            }
        }
        last_of_key.insert(place, (written.key_sequence, record));
    }
    for (id, written) in &history.committed {
        if !first_seen.contains_key(id) {
            report.lost.add(|| format!("{id}: {written}"));
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::history::writers::Written;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn written(number: u64) -> Written {
        Written {
            destination: "orders".to_owned(),
            key: Some("k".to_owned()),
            key_sequence: number,
            payload: Some(number.to_string().into_bytes()),
        }
    }

    fn record(number: u64, offset: i64) -> Record {
        Record {
            id: Some(id(number.into())),
            topic: "orders".to_owned(),
            key: Some("k".to_owned()),
            partition: 0,
            offset,
            payload: Some(number.to_string().into_bytes()),
            headers: Vec::new(),
            received: Instant::now(),
        }
    }

    /// Messages 1, 2 and 3 committed, 9 rolled back.
    fn history() -> History {
        History {
            committed: (1..=3).map(|n| (id(n.into()), written(n))).collect(),
            rolled_back: [id(9)].into(),
        }
    }

    #[test]
    fn a_clean_run_is_exactly_once() {
        let report = check(&history(), &[record(1, 0), record(2, 1), record(3, 3)]);
        assert!(report.is_exactly_once(), "{report}");
        assert_eq!(
            (report.committed, report.published, report.rolled_back),
            (3, 3, 1)
        );
    }

    #[test]
    fn each_planted_fault_is_found_and_no_other() {
        type Count = fn(&Report) -> usize;
        let moved = Record {
            partition: 1,
            ..record(3, 0)
        };
        let changed = Record {
            payload: None,
            ..record(3, 2)
        };
        let nameless = Record {
            id: None,
            ..record(3, 3)
        };
        let cases: [(&str, Vec<Record>, Count); 8] = [
            ("lost", vec![record(1, 0), record(3, 1)], |r| r.lost.count),
            (
                "duplicated",
                vec![record(1, 0), record(2, 1), record(1, 2), record(3, 3)],
                |r| r.duplicated.count,
            ),
            (
                "rolled back",
                vec![record(1, 0), record(2, 1), record(3, 2), record(9, 3)],
                |r| r.rolled_back_seen.count,
            ),
            (
                "unknown",
                vec![record(1, 0), record(2, 1), record(3, 2), record(7, 3)],
                |r| r.unknown.count,
            ),
            (
                "without id",
                vec![record(1, 0), record(2, 1), record(3, 2), nameless],
                |r| r.unknown.count,
            ),
            (
                "order",
                vec![record(1, 0), record(3, 1), record(2, 2)],
                |r| r.out_of_order.count,
            ),
            ("split", vec![record(1, 0), record(2, 1), moved], |r| {
                r.split_keys.count
            }),
            ("altered", vec![record(1, 0), record(2, 1), changed], |r| {
                r.altered.count
            }),
        ];
        for (name, records, count) in cases {
            let report = check(&history(), &records);
            assert_eq!(count(&report), 1, "{name}: {report}");
            let all: usize = report
                .findings()
                .iter()
                .map(|(_, finding)| finding.count)
                .sum();
            assert_eq!(all, 1, "{name}: {report}");
            assert!(!report.is_exactly_once());
            assert_eq!(report.is_at_least_once(), name == DUPLICATED);
        }
    }

    #[test]
    fn the_report_shows_the_first_examples_only() {
        let records: Vec<Record> = (100..120).map(|n| record(n, 0)).collect();
        let report = check(&history(), &records);
        assert_eq!((report.unknown.count, report.lost.count), (20, 3));
        assert_eq!(report.unknown.examples.len(), EXAMPLES_MAX);
        let text = report.to_string();
        assert!(text.contains("unknown                 20"), "{text}");
        assert!(text.contains("orders[0]@0"), "{text}");
    }
}
