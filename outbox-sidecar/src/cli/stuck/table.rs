use crate::cli::words::{age, counted, moment, plain, short};
use crate::stuck::{ParkedRow, ReasonCount, Summary};

/// How wide texts of others may be.
const TEXT_MAX: usize = 32;

/// How much of an error is shown.
const ERROR_MAX: usize = 60;

const TITLES: [&str; 11] = [
    "position",
    "id",
    "destination",
    "key",
    "type",
    "reason",
    "state",
    "attempts",
    "parked_at",
    "age",
    "error",
];

/// A line for each message, in columns.
pub(super) fn table(rows: &[ParkedRow]) -> String {
    let mut lines = vec![TITLES.map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    let mut widths = [0; TITLES.len()];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for line in &lines {
        let mut shown = String::new();
        for (cell, width) in line.iter().zip(widths) {
            shown.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text
}

fn cells(row: &ParkedRow) -> [String; TITLES.len()] {
    let elsewhere = if row.is_foreign {
        " (other cluster)"
    } else {
        ""
    };
    [
        row.position.to_string(),
        row.id.to_string(),
        short(&row.destination, TEXT_MAX),
        short(row.key.as_deref().unwrap_or("-"), TEXT_MAX),
        short(&row.message_type, TEXT_MAX),
        short(&row.reason, TEXT_MAX),
        format!("{}{elsewhere}", plain(&row.state)),
        row.attempts.to_string(),
        moment(row.parked_at),
        age(row.age_s),
        short(&row.error, ERROR_MAX),
    ]
}

/// All that fit, whatever page is shown.
pub(super) fn summary_line(summary: &Summary) -> String {
    if summary.counts.is_empty() {
        return "no messages".to_owned();
    }
    let each = |count: &ReasonCount| {
        format!(
            "{} {} {}",
            count.messages,
            plain(&count.reason),
            count.state
        )
    };
    let counts: Vec<_> = summary.counts.iter().map(each).collect();
    let mut line = format!(
        "{}: {}; {}",
        counted(summary.messages(), "message"),
        counts.join(", "),
        counted(summary.blocked_keys, "blocked key"),
    );
    if let Some(oldest) = summary.oldest_age_s {
        line.push_str(&format!("; the oldest was set aside {} ago", age(oldest)));
    }
    line
}
