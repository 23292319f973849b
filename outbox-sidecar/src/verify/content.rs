use outbox_core::{MessageId, Timestamp};

use super::digest::Digester;
use crate::sink::published::Published;

/// So much of a key is kept for people to read; what is compared is its digest.
const KEY_TEXT_BYTES_MAX: usize = 64;

/// A row of the outbox, as it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) id: MessageId,
    pub(super) destination: &'a str,
    pub(super) key: Option<&'a str>,
    pub(super) message_type: &'a str,
    pub(super) content_type: &'a str,
    pub(super) payload: Option<&'a [u8]>,
    pub(super) headers: &'a str,
    pub(super) created_at: Timestamp,
}

/// What is compared of a row and of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Content {
    /// Its number among the destinations.
    pub(super) destination: u32,
    pub(super) key: u64,
    pub(super) message_type: u64,
    pub(super) content_type: u64,
    pub(super) payload: u64,
    pub(super) headers: u64,
    /// To the millisecond: no broker shows less.
    pub(super) created_at_ms: i64,
}

impl Content {
    /// What a broker should show of this row.
    pub(super) fn of_row(row: &Row<'_>, destination: u32, digester: &Digester) -> Self {
        let bytes = |text: &str| digester.bytes(Some(text.as_bytes()));
        Self {
            destination,
            key: digester.bytes(row.key.map(str::as_bytes)),
            message_type: bytes(row.message_type),
            content_type: bytes(row.content_type),
            payload: digester.bytes(row.payload),
            headers: digester.row_headers(row.headers),
            created_at_ms: row.created_at.as_unix_ms(),
        }
    }

    /// What a broker shows.
    pub(super) fn of_message(
        message: &Published<'_>,
        destination: u32,
        digester: &Digester,
    ) -> Self {
        Self {
            destination,
            key: digester.bytes(message.key),
            message_type: digester.bytes(message.message_type),
            content_type: digester.bytes(message.content_type),
            payload: digester.bytes(message.payload),
            headers: digester.headers(message.headers.iter().copied()),
            created_at_ms: message.created_at.map_or(i64::MIN, Timestamp::as_unix_ms),
        }
    }

    /// What of it differs, by the names of the table's columns.
    pub(super) fn differences(&self, other: &Self) -> Vec<&'static str> {
        let compared = [
            ("destination", self.destination == other.destination),
            ("key", self.key == other.key),
            ("type", self.message_type == other.message_type),
            ("content_type", self.content_type == other.content_type),
            ("payload", self.payload == other.payload),
            ("headers", self.headers == other.headers),
            ("created_at", self.created_at_ms == other.created_at_ms),
        ];
        let differs = compared.into_iter().filter(|(_, equal)| !equal);
        differs.map(|(name, _)| name).collect()
    }
}

/// A key as people read it: its beginning, where it is long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyText {
    /// Without a key, none.
    pub(super) bytes_len: Option<u8>,
    pub(super) bytes: [u8; KEY_TEXT_BYTES_MAX],
    pub(super) is_cut: bool,
}

impl KeyText {
    pub(super) fn new(key: Option<&[u8]>) -> Self {
        let mut text = Self {
            bytes_len: None,
            bytes: [0; KEY_TEXT_BYTES_MAX],
            is_cut: false,
        };
        let Some(key) = key else {
            return text;
        };
        let (kept, cut) = key
            .split_at_checked(KEY_TEXT_BYTES_MAX)
            .unwrap_or((key, &[]));
        if let Some(place) = text.bytes.get_mut(..kept.len()) {
            place.copy_from_slice(kept);
        }
        text.bytes_len = u8::try_from(kept.len()).ok();
        text.is_cut = !cut.is_empty();
        text
    }

    /// Its bytes, as far as they are kept.
    pub(super) fn kept(&self) -> Option<&[u8]> {
        self.bytes.get(..usize::from(self.bytes_len?))
    }

    /// For people; `None` of a message without a key.
    pub(super) fn shown(&self) -> Option<String> {
        let text = String::from_utf8_lossy(self.kept()?);
        let end = if self.is_cut { "…" } else { "" };
        Some(format!("{text}{end}"))
    }
}
