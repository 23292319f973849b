//! What commands that ask the relay say of what is asked: of whom, and how much.

use outbox_core::relay::SourceFailure;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::words::{age, counted, either, plain};
use crate::operator::{Extent, LeftOut, OpenRequests, Presence, Session};

/// Of whom is asked.
pub(super) struct Described<'a> {
    pub(super) relay: &'a str,
    pub(super) slot: &'a str,
    /// Where messages go instead.
    pub(super) destination: Option<&'a str>,
    pub(super) presence: Presence,
    /// What it was asked before.
    pub(super) open: OpenRequests,
    pub(super) is_dry_run: bool,
}

impl<'a> Described<'a> {
    /// As the session finds it.
    pub(super) async fn by(
        session: &'a Session,
        destination: Option<&'a str>,
        is_dry_run: bool,
    ) -> Result<Self, SourceFailure> {
        Ok(Self {
            relay: session.relay(),
            slot: session.slot(),
            destination,
            presence: session.presence().await?,
            open: OpenRequests::read(session).await?,
            is_dry_run,
        })
    }

    /// What was asked for before and is still to be carried out; nothing if there is none.
    pub(super) fn open_text(&self) -> String {
        let Some(newest) = &self.open.newest else {
            return String::new();
        };
        format!(
            "{} of relay {} {} still to be carried out; the newest is to {} {}, by {}, {} ago\n",
            counted(self.open.count, "request"),
            self.relay,
            either(self.open.count, "is", "are"),
            plain(&newest.kind),
            counted(newest.chosen, "message"),
            plain(&newest.actor),
            age(newest.age_s),
        )
    }

    /// Whether anyone carries requests out now.
    pub(super) fn presence_text(&self) -> String {
        self.presence.text(self.relay, self.slot)
    }

    /// What every answer to a program begins with.
    pub(super) fn head(&self) -> Map<String, Value> {
        object([
            ("dry_run", json!(self.is_dry_run)),
            ("relay", json!(self.relay)),
            ("presence", json!(self.presence.as_str())),
            ("open_requests", json!(self.open.count)),
        ])
    }
}

/// An object of these members.
pub(super) fn object<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// How many messages, and `preposition` which destinations.
pub(super) fn extent_text(extent: &Extent, preposition: &str) -> String {
    let mut named: Vec<_> = extent
        .destinations
        .iter()
        .map(|(name, messages)| format!("{messages} {preposition} {}", plain(name)))
        .collect();
    let more = extent.destination_count.saturating_sub(named.len() as u64);
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    format!(
        "{} of {}, {} bytes, in {}: {}",
        counted(extent.messages, "message"),
        counted(extent.keys, "key"),
        extent.payload_bytes,
        counted(extent.destination_count, "destination"),
        named.join(", "),
    )
}

/// The same, for programs.
pub(super) fn extent_members(extent: &Extent) -> Map<String, Value> {
    let destinations: Vec<_> = extent
        .destinations
        .iter()
        .map(|(name, messages)| json!({ "destination": name, "messages": messages }))
        .collect();
    object([
        ("chosen", json!(extent.messages)),
        ("payload_bytes", json!(extent.payload_bytes)),
        ("keys", json!(extent.keys)),
        ("destination_count", json!(extent.destination_count)),
        ("destinations", json!(destinations)),
    ])
}

/// So many messages are asked for, in requests with these ids: to be put behind what is asked.
pub(super) fn requests_text(count: u64, requests: &[Uuid]) -> String {
    let count = counted(count, "request");
    match requests {
        [] => count,
        [only] => format!("{count} ({only})"),
        [first, .., last] => format!("{count} ({first} to {last})"),
    }
}

/// The same, for programs.
pub(super) fn requests_json(requests: &[Uuid]) -> Value {
    requests.iter().map(ToString::to_string).collect()
}

/// A line for each of them, which begins with `what` happened to it.
pub(super) fn left_out_text(what: &str, left_out: &[LeftOut]) -> String {
    let line = |left_out: &LeftOut| {
        format!(
            "{what}: {} of {}: {}: {}\n",
            left_out.id,
            plain(&left_out.destination),
            plain(&left_out.reason),
            plain(&left_out.error)
        )
    };
    left_out.iter().map(line).collect()
}

/// The same, for programs.
pub(super) fn left_out_json(left_out: &[LeftOut]) -> Value {
    let each = left_out.iter().map(|left_out| {
        json!({
            "request": left_out.request.to_string(),
            "id": left_out.id.to_string(),
            "destination": left_out.destination,
            "reason": left_out.reason,
            "error": left_out.error,
        })
    });
    each.collect()
}
