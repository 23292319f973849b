//! What programs read, by the names of the table's columns.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::row::ParkedRow;
use super::shown::{LastRequest, ShownRow};
use super::summary::Summary;
use crate::sink::message_text::timestamp_text;

impl ParkedRow {
    /// One object.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "position": self.position.to_string(),
            "commit_lsn": self.position.commit_lsn.to_string(),
            "index": self.position.index,
            "system_id": self.system_id,
            "is_foreign": self.is_foreign,
            "id": self.id.to_string(),
            "destination": self.destination,
            "key": self.key,
            "type": self.message_type,
            "content_type": self.content_type,
            "payload_bytes": self.payload_bytes,
            "created_at": self.created_at.map(timestamp_text),
            "reason": self.reason,
            "error": self.error,
            "attempts": self.attempts,
            "blocks_key": self.blocks_key,
            "state": self.state,
            "parked_at": self.parked_at.map(timestamp_text),
            "age_s": self.age_s,
            "actor": self.actor,
            "note": self.note,
            "request": self.request.map(|id| id.to_string()),
            "replays": self.replays,
            "settled_at": self.settled_at.map(timestamp_text),
        })
    }
}

impl ShownRow {
    /// One object: what a list says of it, in full, and everything else.
    pub(crate) fn to_json(&self) -> Map<String, Value> {
        let mut object = match self.row.to_json() {
            Value::Object(object) => object,
            _ => Map::new(),
        };
        let headers = serde_json::from_str(&self.headers);
        let waits_for = self.waits_for.map(|id| id.to_string());
        for (name, value) in [
            ("timeline", json!(self.timeline)),
            ("xid", json!(self.xid)),
            ("commit_time", json!(self.commit_time.map(timestamp_text))),
            ("headers", headers.unwrap_or_else(|_| json!(self.headers))),
            ("waiting_behind", json!(self.waiting_behind)),
            ("waits_for", json!(waits_for)),
            (
                "last_request",
                json!(self.last_request.as_ref().map(LastRequest::to_json)),
            ),
        ] {
            object.insert(name.to_owned(), value);
        }
        let (name, value) = self.payload_json();
        object.insert(name.to_owned(), value);
        object
    }

    fn payload_json(&self) -> (&'static str, Value) {
        let Some(payload) = &self.payload else {
            return ("payload", Value::Null);
        };
        if !self.has_whole_payload() {
            return ("payload_omitted", json!(true));
        }
        match std::str::from_utf8(payload) {
            Ok(text) => ("payload", json!(text)),
            Err(_) => ("payload_base64", json!(STANDARD.encode(payload))),
        }
    }
}

impl LastRequest {
    fn to_json(&self) -> Value {
        json!({
            "id": self.id.to_string(),
            "kind": self.kind,
            "destination": self.destination,
            "edited": self.is_edited,
            "actor": self.actor,
            "role": self.role,
            "note": self.note,
            "state": self.state,
            "requested_at": self.requested_at.map(timestamp_text),
            "finished_at": self.finished_at.map(timestamp_text),
        })
    }
}

impl Summary {
    /// One object.
    pub(crate) fn to_json(&self) -> Value {
        let counts = self.counts.iter().map(|count| {
            json!({ "reason": count.reason, "state": count.state, "messages": count.messages })
        });
        json!({
            "messages": self.messages(),
            "counts": counts.collect::<Vec<_>>(),
            "blocked_keys": self.blocked_keys,
            "oldest_age_s": self.oldest_age_s,
        })
    }
}
