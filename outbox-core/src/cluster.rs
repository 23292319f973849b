use std::fmt;
use std::str::FromStr;

use crate::Lsn;

/// The identifier that `initdb` gave a PostgreSQL cluster. A copy of the cluster keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SystemId(pub u64);

impl fmt::Display for SystemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One line of history of a cluster: a promotion starts the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimelineId(pub u32);

impl fmt::Display for TimelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A timeline that has ended, and where its successor branched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HistoryEntry {
    /// The timeline that ended.
    pub timeline: TimelineId,
    /// Its log is common to its successor up to here.
    pub switch_point: Lsn,
}

/// The ancestors of a cluster's current timeline, oldest first; empty on timeline 1.
///
/// Read from the file that `TIMELINE_HISTORY` returns
/// (<https://www.postgresql.org/docs/current/protocol-replication.html>).
///
/// ```
/// use outbox_core::{Lsn, TimelineHistory, TimelineId};
///
/// let history = TimelineHistory::parse("1\t0/3000148\tno recovery target specified\n")?;
/// assert_eq!(history.switch_point(TimelineId(1)), Some(Lsn::new(0x300_0148)));
/// assert_eq!(history.switch_point(TimelineId(2)), None);
/// # Ok::<(), outbox_core::TimelineHistoryError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimelineHistory(Vec<HistoryEntry>);

/// A timeline history file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the timeline history is not \"<timeline> <LSN> <reason>\": {text:?}")]
pub struct TimelineHistoryError {
    line: usize,
    text: String,
}

impl TimelineHistory {
    /// Reads the text of a `.history` file: one ancestor a line, comments and blank lines aside.
    ///
    /// # Errors
    /// A line that is not a timeline and an LSN, or timelines that do not grow.
    pub fn parse(text: &str) -> Result<Self, TimelineHistoryError> {
        let mut entries: Vec<HistoryEntry> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let content = line.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let mut words = content.split_whitespace();
            let entry = words
                .next()
                .and_then(|word| u32::from_str(word).ok())
                .zip(words.next().and_then(|word| Lsn::from_str(word).ok()))
                .map(|(timeline, switch_point)| HistoryEntry {
                    timeline: TimelineId(timeline),
                    switch_point,
                })
                .filter(|entry| {
                    entries
                        .last()
                        .is_none_or(|last| last.timeline < entry.timeline)
                })
                .ok_or_else(|| TimelineHistoryError {
                    line: number + 1,
                    text: line.to_owned(),
                })?;
            entries.push(entry);
        }
        Ok(Self(entries))
    }

    /// The ancestors, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[HistoryEntry] {
        &self.0
    }

    /// Where `timeline` was left; `None` when it is no ancestor.
    #[must_use]
    pub fn switch_point(&self, timeline: TimelineId) -> Option<Lsn> {
        self.0
            .iter()
            .find(|entry| entry.timeline == timeline)
            .map(|entry| entry.switch_point)
    }

    /// Whether `earlier` is the beginning of this history.
    #[must_use]
    pub fn starts_with(&self, earlier: &Self) -> bool {
        self.0.starts_with(&earlier.0)
    }
}

impl FromIterator<HistoryEntry> for TimelineHistory {
    fn from_iter<I: IntoIterator<Item = HistoryEntry>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_keeps_order_and_skips_comments() {
        let text = "# promoted\n1\t0/5000000\tno recovery target specified\n\n2\t1/0\tx\n";
        let history = TimelineHistory::parse(text).unwrap();
        assert_eq!(history.entries().len(), 2);
        assert_eq!(history.switch_point(TimelineId(2)), Some(Lsn::new(1 << 32)));
        let earlier = TimelineHistory::parse("1 0/5000000 x").unwrap();
        assert!(history.starts_with(&earlier));
        assert!(!earlier.starts_with(&history));
    }

    #[test]
    fn broken_history_names_its_line() {
        let error = TimelineHistory::parse("1 0/1 x\n1 0/2 x").unwrap_err();
        assert!(error.to_string().starts_with("line 2 "), "{error}");
        assert!(TimelineHistory::parse("one 0/1").is_err());
    }

    #[test]
    fn histories_with_seeded_mutations_are_read_or_refused() {
        let corpus = [
            "# promoted\n1\t0/5000000\tno recovery target specified\n\n2\t1/0\tx\n",
            "4294967295 FFFFFFFF/FFFFFFFF x",
        ];
        testbed::mutation::replay(
            "timeline_history",
            &corpus,
            crate::fuzzing::timeline_history,
        );
    }
}
