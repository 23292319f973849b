//! The rows and the messages of one id: what is missing, what is too many, what differs.

use std::collections::BTreeMap;

use super::aside_record::{AsideRecord, Fate};
use super::content::Content;
use super::findings::{Finding, Findings, Kind, place};
use super::marks::Marks;
use super::names::Names;
use super::places::{Place, Standing, places};
use super::position_range::PositionRange;
use super::record::{MessageRecord, RowRecord};
use super::tally::Tally;

/// What comes of comparing.
pub(super) struct Judge<'a> {
    pub(super) names: &'a Names,
    /// Whether the relay's delivery promises no more than at least once.
    pub(super) may_repeat: bool,
    /// What lies outside is known, and not judged.
    pub(super) positions: PositionRange,
    pub(super) findings: Findings,
    /// The messages whose order counts, by their sequence: of each place one at most.
    pub(super) in_order: Marks,
    pub(super) tally: Tally,
}

impl Judge<'_> {
    /// Compares what has one id. Sorts all of it.
    pub(super) fn id(
        &mut self,
        rows: &mut [RowRecord],
        messages: &mut [MessageRecord],
        asides: &mut [AsideRecord],
    ) {
        if rows.is_empty() {
            // Deleted since, or never this table's.
            let due = messages.iter().filter(|message| message.is_due);
            self.tally.without_row += due.count() as u64;
            return;
        }
        self.tally.enqueued_again += rows.len() as u64 - 1;
        rows.sort_unstable_by_key(|row| row.content);
        let rows = &*rows;
        messages.sort_unstable_by_key(|message| message.is_redelivery);
        let at = messages.partition_point(|message| !message.is_redelivery);
        let (messages, redelivered) = messages.split_at_mut(at);
        let redelivered = &*redelivered;
        self.count_redelivered(redelivered);
        let standing: Vec<_> = places(messages, asides)
            .map(|place| self.place(&place, rows))
            .collect();
        match (rows, standing.as_slice()) {
            ([row], [standing]) => self.row(row, standing, redelivered),
            _ => self.several(rows, standing, redelivered),
        }
    }

    /// What was published once more stands at the place of its request, and is in no order with
    /// anything. It may have another destination, and say what an edit said.
    fn count_redelivered(&mut self, redelivered: &[MessageRecord]) {
        let positions = self.positions;
        let judged = redelivered
            .iter()
            .filter(|message| positions.judges(message.position));
        let count = judged.count();
        // Each has a place of its own in the log.
        let doubled = self.doubled(redelivered, |message| {
            message
                .position
                .filter(|_| positions.judges(message.position))
        });
        self.tally.replays += count as u64;
        self.tally.sent_again += (count - doubled) as u64;
    }

    /// Counts what is there besides the message that stands for the row.
    fn place<'p>(&mut self, place: &Place<'p>, rows: &[RowRecord]) -> Standing<'p> {
        let standing = place.standing(rows);
        if let Some(message) = standing.message.filter(|_| standing.is_in_order()) {
            self.in_order.set(message.sequence);
        }
        if !self.positions.judges(place.at) {
            return standing;
        }
        self.tally.replays += place.replays.len() as u64;
        let doubled = self.doubled(place.replays, |message| {
            message.replay.filter(|number| *number > 0)
        });
        let waits = |aside: &AsideRecord| aside.fate != Fate::Replayed;
        let stands_for_row = match (standing.message, place.aside) {
            (Some(message), _) if message.is_replay() => 1,
            (None, Some(aside)) if waits(aside) => place.replays.len() - doubled,
            _ => 0,
        };
        self.tally.sent_again += (place.replays.len() - stands_for_row - doubled) as u64;
        if !place.own.is_empty() && place.aside.is_some_and(waits) {
            self.tally.aside_and_published += 1;
        }
        self.doubled(place.own, |_| Some(()));
        standing
    }

    /// Of messages that `key` says were to be published once, all but the first. Returns how many.
    fn doubled<K: Ord>(
        &mut self,
        messages: &[MessageRecord],
        key: impl Fn(&MessageRecord) -> Option<K>,
    ) -> usize {
        let mut known = BTreeMap::new();
        let mut count = 0;
        for message in messages {
            let Some(key) = key(message) else {
                continue;
            };
            let first = *known.entry(key).or_insert(message);
            if first.sequence == message.sequence {
                continue;
            }
            count += 1;
            if self.may_repeat {
                self.tally.repeated += 1;
            } else {
                let detail = format!("first at {}", self::place(first, self.names));
                self.add(Kind::Duplicated, message, detail);
            }
        }
        count
    }

    /// An id that was enqueued, or published, more than once: what is equal belongs together, then
    /// what was enqueued at the same time.
    fn several(
        &mut self,
        rows: &[RowRecord],
        standing: Vec<Standing<'_>>,
        redelivered: &[MessageRecord],
    ) {
        let (mut plain, mut left): (Vec<_>, Vec<_>) = standing
            .into_iter()
            .partition(|standing| standing.message.is_some() && !standing.is_changed());
        let content = |standing: &Standing<'_>| standing.message.map(|message| message.content);
        plain.sort_unstable_by_key(|standing| (content(standing), standing.at));
        let mut alone = Vec::new();
        let mut rows = rows.iter().peekable();
        for standing in plain {
            let found = content(&standing);
            while let Some(row) = rows.next_if(|row| Some(row.content) < found) {
                alone.push(row);
            }
            match rows.next_if(|row| Some(row.content) == found) {
                Some(row) => self.row(row, &standing, redelivered),
                None => left.push(standing),
            }
        }
        alone.extend(rows);
        alone.sort_unstable_by_key(|row| (row.content.created_at_ms, row.content));
        left.sort_unstable_by_key(|standing| (standing.created_at_ms(), standing.at));
        for (row, standing) in alone.iter().zip(&left) {
            self.row(row, standing, redelivered);
        }
        let paired = alone.len().min(left.len());
        for row in alone.iter().skip(paired) {
            self.row_without_place(row, redelivered);
        }
        for message in left.iter().skip(paired).filter_map(|left| left.message) {
            if message.is_due {
                let detail = "published at another position too; the table has no row for that";
                self.add(Kind::Duplicated, message, detail.to_owned());
            }
        }
    }

    /// A row, and what stands for it.
    fn row(&mut self, row: &RowRecord, standing: &Standing<'_>, redelivered: &[MessageRecord]) {
        if !self.positions.judges(standing.at) {
            return;
        }
        self.tally.in_range += 1;
        if let Some(message) = standing.message {
            let expected = standing.expected(&row.content);
            if message.content != expected {
                let differs = message.content.differences(&expected).join(", ");
                self.add(Kind::Altered, message, format!("differs in {differs}"));
            }
            return;
        }
        match standing.aside {
            Some(aside) if aside.fate == Fate::Waiting => self.tally.set_aside += 1,
            Some(aside) if aside.fate == Fate::GivenUp => self.tally.given_up += 1,
            Some(aside) if stands_again(redelivered, &aside.replayed(&row.content)) => {}
            Some(aside) => {
                let whereto = aside.redirected_to.unwrap_or(row.content.destination);
                let whereto = self.names.name(whereto);
                let more = format!("; set aside, then replayed to {whereto}");
                self.missing(row, standing, &more);
            }
            None if stands_again(redelivered, &row.content) => {}
            None => self.missing(row, standing, "; sent again elsewhere"),
        }
    }

    fn row_without_place(&mut self, row: &RowRecord, redelivered: &[MessageRecord]) {
        if self.positions.is_bounded() {
            self.tally.position_unknown += 1;
        } else if !stands_again(redelivered, &row.content) {
            let names = self.names;
            self.findings
                .add(Kind::Missing, || Finding::missing(row, None, "", names));
        }
    }

    fn missing(&mut self, row: &RowRecord, standing: &Standing<'_>, more: &str) {
        let names = self.names;
        self.findings.add(Kind::Missing, || {
            Finding::missing(row, standing.at, more, names)
        });
    }

    fn add(&mut self, kind: Kind, message: &MessageRecord, detail: String) {
        let names = self.names;
        self.findings
            .add(kind, || Finding::of(kind, message, names, detail));
    }
}

/// Whether a message is there once more that is gone from its own place: a broker that deletes by age
/// keeps what was published last.
fn stands_again(redelivered: &[MessageRecord], content: &Content) -> bool {
    redelivered
        .iter()
        .any(|message| message.content == *content)
}
