use serde::Serialize;

use super::names::Names;
use super::position_range::At;
use super::record::{MessageRecord, RowRecord};

/// What can be wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A row without its message.
    Missing,
    /// More messages than rows.
    Duplicated,
    /// A message behind one of its key that was committed later.
    OutOfOrder,
    /// A message that is not what its row says.
    Altered,
}

/// All kinds, in the order in which they are told.
pub(crate) const KINDS: [Kind; 4] = [
    Kind::Missing,
    Kind::Duplicated,
    Kind::OutOfOrder,
    Kind::Altered,
];

impl Kind {
    /// As it stands in a table.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Duplicated => "duplicated",
            Self::OutOfOrder => "out of order",
            Self::Altered => "altered",
        }
    }
}

/// One message that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    pub(crate) destination: String,
    /// Without one, none. A long one is cut.
    pub(crate) key: Option<String>,
    /// `<timeline>:<commit LSN>:<index>`; none where nothing tells it.
    pub(crate) position: Option<String>,
    /// Where the broker has it: `destination[partition]@offset`.
    pub(crate) at: Option<String>,
    /// What is wrong with it, in words.
    pub(crate) detail: String,
}

impl Finding {
    /// About a row whose message is not there: where it would stand, if that is known, and what more
    /// is.
    pub(super) fn missing(row: &RowRecord, at: Option<At>, more: &str, names: &Names) -> Self {
        let ms = row.content.created_at_ms;
        Self {
            kind: Kind::Missing,
            id: row.id.to_string(),
            destination: names.name(row.content.destination),
            key: row.key_text.shown(),
            position: at.map(shown),
            at: None,
            detail: format!("enqueued at {}{more}", names.time(ms)),
        }
    }

    /// About a message.
    pub(super) fn of(kind: Kind, message: &MessageRecord, names: &Names, detail: String) -> Self {
        Self {
            kind,
            id: message.id.to_string(),
            destination: names.name(message.content.destination),
            key: message.key_text.shown(),
            position: message.position.map(shown),
            at: Some(place(message, names)),
            detail,
        }
    }
}

/// A position as the broker's messages carry it.
fn shown((timeline, position): At) -> String {
    format!("{}:{position}", timeline.0)
}

/// Where the broker has a message.
pub(super) fn place(message: &MessageRecord, names: &Names) -> String {
    let destination = names.name(message.content.destination);
    format!("{destination}[{}]@{}", message.partition, message.offset)
}

/// What was found: everything counted, and of each kind the first few listed.
#[derive(Clone, Debug)]
pub(crate) struct Findings {
    listed_max: usize,
    listed: Vec<Finding>,
    counts: [u64; KINDS.len()],
}

impl Findings {
    /// None yet; of each kind so many are listed at most.
    pub(super) const fn new(listed_max: usize) -> Self {
        Self {
            listed_max,
            listed: Vec::new(),
            counts: [0; KINDS.len()],
        }
    }

    /// Counts one, and makes it only if there is room for it.
    pub(super) fn add(&mut self, kind: Kind, make: impl FnOnce() -> Finding) {
        let Ok(()) = self.try_add(kind, || Ok::<_, std::convert::Infallible>(make()));
    }

    /// The same of one that may not come about.
    pub(super) fn try_add<E>(
        &mut self,
        kind: Kind,
        make: impl FnOnce() -> Result<Finding, E>,
    ) -> Result<(), E> {
        if self.count(kind) < self.listed_max as u64 {
            self.listed.push(make()?);
        }
        if let Some(count) = self.counts.get_mut(kind as usize) {
            *count += 1;
        }
        Ok(())
    }

    /// How many there are of a kind.
    pub(crate) fn count(&self, kind: Kind) -> u64 {
        self.counts.get(kind as usize).copied().unwrap_or_default()
    }

    /// How many there are.
    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Those that are listed, by kind, destination and id.
    pub(crate) fn into_listed(mut self) -> Vec<Finding> {
        self.listed.sort_by(|a, b| {
            (a.kind, &a.destination, &a.id, &a.at).cmp(&(b.kind, &b.destination, &b.id, &b.at))
        });
        self.listed
    }
}
