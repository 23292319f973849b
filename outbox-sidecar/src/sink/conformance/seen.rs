//! Messages as consumers see them, and what all sinks are told.

use std::collections::BTreeMap;

use testbed::history::Record;

/// What is told of every sink that a configuration can limit.
pub(super) const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// A message as a consumer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) id: String,
    pub(super) key: Option<String>,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) headers: BTreeMap<String, String>,
}

impl Seen {
    /// What a consumer of a broker has read.
    pub(super) fn of_record(record: &Record) -> Self {
        let headers: BTreeMap<String, String> = record
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), String::from_utf8(value.clone()).unwrap()))
            .collect();
        let is_tombstone = headers.contains_key("outbox-tombstone");
        Self {
            id: record.id.map(|id| id.to_string()).unwrap_or_default(),
            key: record.key.clone(),
            payload: record.payload.clone().filter(|_| !is_tombstone),
            headers,
        }
    }
}
