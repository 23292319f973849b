//! The rows and the messages of one id: what is missing, what is too many, what differs.

use super::content::Content;
use super::findings::{Finding, Findings, Kind, place};
use super::marks::Marks;
use super::names::Names;
use super::record::{MessageRecord, RowRecord};

/// What comes of comparing.
pub(super) struct Judge<'a> {
    pub(super) names: &'a Names,
    /// Whether the relay's delivery promises no more than at least once.
    pub(super) may_repeat: bool,
    pub(super) findings: Findings,
    /// The messages whose order counts, by their sequence: each row's first.
    pub(super) in_order: Marks,
    pub(super) tally: Tally,
}

/// What is told, and is no finding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Messages of ids that the table does not hold.
    pub(super) without_row: u64,
    /// Rows with the id of another row.
    pub(super) enqueued_again: u64,
    /// Second and later copies, where the delivery allows them.
    pub(super) repeated: u64,
    /// Messages that say of themselves that they are replays.
    pub(super) replays: u64,
}

impl Judge<'_> {
    /// Compares what has one id. Sorts both.
    pub(super) fn id(&mut self, rows: &mut [RowRecord], messages: &mut [MessageRecord]) {
        let rows_sorted = rows;
        if rows_sorted.is_empty() {
            // Deleted since, or never this table's.
            let due = messages.iter().filter(|message| message.is_due);
            self.tally.without_row += due.count() as u64;
            return;
        }
        self.tally.enqueued_again += rows_sorted.len() as u64 - 1;
        messages.sort_unstable_by_key(|message| {
            (message.is_replay, message.position, message.sequence)
        });
        let replays_at = messages.partition_point(|message| !message.is_replay);
        let (own, replays) = messages.split_at_mut(replays_at);
        self.tally.replays += replays.len() as u64;
        let mut firsts = self.firsts(own);

        rows_sorted.sort_unstable_by_key(|row| row.content);
        firsts.sort_unstable_by_key(|message| (message.content, message.sequence));
        let (rows, firsts) = unmatched(rows_sorted, firsts);
        for (row, message) in rows.iter().zip(&firsts) {
            let differs = message.content.differences(&row.content).join(", ");
            self.add(Kind::Altered, message, format!("differs in {differs}"));
        }
        let paired = rows.len().min(firsts.len());
        // A message that was stuck arrives as a replay, perhaps repaired.
        for row in rows.iter().skip(paired).skip(replays.len()) {
            let names = self.names;
            self.findings
                .add(Kind::Missing, || Finding::missing(row, names));
        }
        for message in firsts.iter().skip(paired).filter(|message| message.is_due) {
            let rows = rows_sorted.len();
            let detail = format!("published at another position too, for {rows} row(s) of this id");
            self.add(Kind::Duplicated, message, detail);
        }
    }

    /// The first message of each position; what comes again is a finding, or allowed.
    fn firsts(&mut self, messages: &[MessageRecord]) -> Vec<MessageRecord> {
        let mut firsts: Vec<MessageRecord> = Vec::with_capacity(1);
        for message in messages {
            match firsts.last() {
                Some(first) if first.position == message.position => {
                    if self.may_repeat {
                        self.tally.repeated += 1;
                    } else {
                        let detail = format!("first at {}", place(first, self.names));
                        self.add(Kind::Duplicated, message, detail);
                    }
                }
                _ => {
                    self.in_order.set(message.sequence);
                    firsts.push(*message);
                }
            }
        }
        firsts
    }

    fn add(&mut self, kind: Kind, message: &MessageRecord, detail: String) {
        let names = self.names;
        self.findings
            .add(kind, || Finding::of(kind, message, names, detail));
    }
}

/// Takes away the pairs that are equal. Both sides are sorted by their content.
fn unmatched(
    rows: &[RowRecord],
    messages: Vec<MessageRecord>,
) -> (Vec<&RowRecord>, Vec<MessageRecord>) {
    let mut left = Vec::new();
    let mut rows = rows.iter().peekable();
    let mut alone = Vec::new();
    for message in messages {
        let before = |row: &&&RowRecord| row.content < message.content;
        while let Some(row) = rows.next_if(|row| before(&row)) {
            alone.push(row);
        }
        let equal = |content: &Content| *content == message.content;
        if rows.next_if(|row| equal(&row.content)).is_none() {
            left.push(message);
        }
    }
    alone.extend(rows);
    (alone, left)
}
