use std::fmt::Write as _;

use serde_json::Value;

use super::arguments::ShowArguments;
use super::open;
use crate::cli::words::{age, counted, moment, plain, plain_lines};
use crate::cli::{CliError, print};
use crate::config::Settings;
use crate::exit::ExitCode;
use crate::stuck::{LastRequest, ShownRow, StuckError, show};

/// So much of a payload is shown to people.
const PAYLOAD_SHOWN_BYTES_MAX: usize = 16 * 1024;

/// So much of it is given to programs: far more than any relay publishes.
pub(super) const PAYLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Shows every message of an id.
pub(super) async fn execute(command: &ShowArguments, settings: &Settings) -> Result<u8, CliError> {
    let payload_bytes_max = if command.json {
        PAYLOAD_BYTES_MAX
    } else {
        PAYLOAD_SHOWN_BYTES_MAX
    };
    let session = open(settings).await?;
    let rows = show(&session, command.id, payload_bytes_max).await?;
    if rows.is_empty() {
        return Err(CliError::Stuck(StuckError::Unknown {
            ids: vec![command.id],
            relay: session.relay().to_owned(),
        }));
    }
    if command.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| Value::Object(row.to_json()))
            .collect();
        print(&format!("{:#}", Value::Array(rows)));
    } else {
        let rows: Vec<_> = rows.iter().map(text).collect();
        print(&rows.join("\n"));
    }
    Ok(ExitCode::Done.number())
}

/// A line for each thing, then headers and payload.
pub(super) fn text(shown: &ShownRow) -> String {
    let row = &shown.row;
    let mut text = format!("message {}\n", row.id);
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<14}{value}");
    };
    line(
        "position",
        format!(
            "{} (timeline {}, transaction {}, committed {})",
            row.position,
            shown.timeline,
            shown.xid,
            moment(shown.commit_time)
        ),
    );
    if row.is_foreign {
        let system_id = plain(&row.system_id);
        line(
            "cluster",
            format!("{system_id}, another than this one: it cannot be replayed"),
        );
    }
    line("destination", plain(&row.destination));
    line(
        "key",
        row.key.as_deref().map_or_else(|| "-".to_owned(), plain),
    );
    line("type", plain(&row.message_type));
    line("content type", plain(&row.content_type));
    line("enqueued", moment(row.created_at));
    let parked_at = moment(row.parked_at);
    line("set aside", format!("{parked_at} ({} ago)", age(row.age_s)));
    line("reason", plain(&row.reason));
    line("error", plain(&row.error));
    line("attempts", row.attempts.to_string());
    line("replays", row.replays.to_string());
    line("state", state(shown));
    if shown.waiting_behind > 0 {
        let waiting = counted(shown.waiting_behind, "message");
        line("behind it", format!("{waiting} of its key"));
    }
    if let Some(first) = shown.waits_for {
        line(
            "waits for",
            format!("{first}, the first of its key that waits"),
        );
    }
    if let Some(request) = &shown.last_request {
        line("last request", request_text(request));
    }
    if let Some(note) = &row.note {
        line("note", plain(note));
    }
    text.push_str(&headers(&shown.headers));
    text.push_str(&payload(shown));
    text
}

fn state(shown: &ShownRow) -> String {
    let row = &shown.row;
    match row.settled_at {
        None => plain(&row.state),
        settled_at => format!("{} {}", plain(&row.state), moment(settled_at)),
    }
}

fn request_text(request: &LastRequest) -> String {
    let mut text = format!(
        "{} {} by {} (role {}), {}",
        request.kind,
        moment(request.requested_at),
        plain(&request.actor),
        plain(&request.role),
        request.state
    );
    if request.finished_at.is_some() {
        text.push_str(&format!(" {}", moment(request.finished_at)));
    }
    if let Some(destination) = &request.destination {
        text.push_str(&format!(", to {}", plain(destination)));
    }
    if request.is_edited {
        text.push_str(", edited");
    }
    if let Some(note) = &request.note {
        text.push_str(&format!(": {}", plain(note)));
    }
    format!("{text} [{}]", request.id)
}

fn headers(headers: &str) -> String {
    match serde_json::from_str(headers) {
        Ok(Value::Object(headers)) if headers.is_empty() => "headers: none\n".to_owned(),
        Ok(Value::Object(headers)) => {
            let mut text = "headers:\n".to_owned();
            for (name, value) in &headers {
                let value = match value {
                    Value::String(value) => plain(value),
                    other => plain(&other.to_string()),
                };
                let _ = writeln!(text, "  {}: {value}", plain(name));
            }
            text
        }
        _ => format!("headers: {}\n", plain(headers)),
    }
}

fn payload(shown: &ShownRow) -> String {
    let Some(payload) = &shown.payload else {
        return "payload: none, a tombstone\n".to_owned();
    };
    let bytes = shown.row.payload_bytes.unwrap_or_default();
    let here = if shown.has_whole_payload() {
        String::new()
    } else {
        format!(", of which {} are shown (all: --json)", payload.len())
    };
    match beginning_of_text(payload, !shown.has_whole_payload()) {
        Some(text) => {
            let text = plain_lines(text);
            format!("payload: {bytes} bytes{here}\n{text}\n")
        }
        None => format!("payload: {bytes} bytes that are no text (in Base64: --json)\n"),
    }
}

/// The text, without a last character that may have been cut.
fn beginning_of_text(bytes: &[u8], is_cut: bool) -> Option<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if is_cut && error.error_len().is_none() => bytes
            .get(..error.valid_up_to())
            .and_then(|bytes| std::str::from_utf8(bytes).ok()),
        Err(_) => None,
    }
}
