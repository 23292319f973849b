use std::fmt::Write as _;

use serde_json::{Value, json};

use super::findings::{Finding, Findings, KINDS};
use super::position_range::PositionRange;
use super::tally::Tally;

/// What a comparison came to.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(super) relay: String,
    /// Section and delivery of the sink.
    pub(super) sink: (&'static str, &'static str),
    /// Everything committed before it was compared.
    pub(super) end: String,
    pub(super) positions: PositionRange,
    pub(super) destinations: usize,
    pub(super) rows: u64,
    pub(super) messages: u64,
    pub(super) foreign: u64,
    pub(super) rolled_back: u64,
    pub(super) tally: Tally,
    pub(super) notes: Vec<String>,
    pub(super) findings: Findings,
}

impl Report {
    /// Whether anything is not as it should be.
    pub(crate) fn has_findings(&self) -> bool {
        self.findings.total() > 0
    }

    /// For people: numbers, then a line for each finding, then remarks.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        let (section, delivery) = self.sink;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "relay {}, {section} {delivery}: what was committed before {}",
            self.relay, self.end
        );
        let mut line = |name: &str, count: u64| {
            let _ = writeln!(text, "{name:<14}{count}");
        };
        line("rows", self.rows);
        if self.positions.is_bounded() {
            line("in range", self.tally.in_range);
        }
        line("messages", self.messages);
        line("set aside", self.tally.set_aside);
        line("given up", self.tally.given_up);
        for kind in KINDS {
            line(kind.word(), self.findings.count(kind));
        }
        let listed = self.findings.clone().into_listed();
        for finding in &listed {
            let _ = writeln!(text, "{}", finding_line(finding));
        }
        let more = self.findings.total().saturating_sub(listed.len() as u64);
        if more > 0 {
            let _ = writeln!(text, "and {more} more (--findings-max)");
        }
        for note in self.remarks() {
            let _ = writeln!(text, "note: {note}");
        }
        text
    }

    /// The same, for programs.
    pub(crate) fn to_json(&self) -> Value {
        let counts: serde_json::Map<String, Value> = KINDS
            .iter()
            .filter_map(|kind| {
                let name = json!(kind).as_str()?.to_owned();
                Some((name, json!(self.findings.count(*kind))))
            })
            .collect();
        let (section, delivery) = self.sink;
        json!({
            "ok": !self.has_findings(),
            "relay": self.relay,
            "sink": section,
            "delivery": delivery,
            "committed_before": self.end,
            "destinations": self.destinations,
            "from_position": self.positions.from.map(|position| position.to_string()),
            "to_position": self.positions.to.map(|position| position.to_string()),
            "rows": self.rows,
            "rows_in_range": self.positions.is_bounded().then_some(self.tally.in_range),
            "position_unknown": self.tally.position_unknown,
            "messages": self.messages,
            "set_aside": self.tally.set_aside,
            "given_up": self.tally.given_up,
            "counts": counts,
            "findings": self.findings.clone().into_listed(),
            "foreign": self.foreign,
            "rolled_back": self.rolled_back,
            "without_row": self.tally.without_row,
            "enqueued_again": self.tally.enqueued_again,
            "repeated": self.tally.repeated,
            "replays": self.tally.replays,
            "sent_again": self.tally.sent_again,
            "aside_and_published": self.tally.aside_and_published,
            "notes": self.notes,
        })
    }

    /// What is worth knowing and no finding.
    fn remarks(&self) -> Vec<String> {
        let counted = [
            (
                self.rolled_back,
                "more messages were rolled back: only readers of uncommitted records see them",
            ),
            (
                self.tally.without_row,
                "messages have no row: it was deleted, or is another table's. They were not judged",
            ),
            (
                self.tally.enqueued_again,
                "rows have the id of another row: each counts",
            ),
            (
                self.tally.repeated,
                "messages came again, which at-least-once allows",
            ),
            (
                self.tally.position_unknown,
                "rows have neither a message nor a record in outbox.parked: nothing tells whether \
                 they lie in the range. Missing or not, they are not findings: compare without a \
                 range, or by time",
            ),
            (
                self.tally.set_aside,
                "rows are set aside and wait for an operator: `outbox-sidecar stuck list`",
            ),
            (
                self.tally.aside_and_published,
                "messages wait or are given up, by what outbox.parked says, and are published all \
                 the same: a replay would send them again",
            ),
            (self.tally.replays, "messages are replays"),
            (
                self.tally.sent_again,
                "messages were sent again on request: replays beside the one that stands for their row, \
                 and what was redelivered",
            ),
            (self.foreign, "messages have no id of ours"),
        ];
        let counted = counted
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"));
        counted.chain(self.notes.iter().cloned()).collect()
    }
}

fn finding_line(finding: &Finding) -> String {
    let mut line = format!("{:<14}{}", finding.kind.word(), finding.id);
    for (name, value) in [
        ("destination", Some(&finding.destination)),
        ("key", finding.key.as_ref()),
        ("position", finding.position.as_ref()),
        ("at", finding.at.as_ref()),
    ] {
        if let Some(value) = value {
            let _ = write!(line, "  {name} {value}");
        }
    }
    let _ = write!(line, ": {}", finding.detail);
    line
}
