use outbox_core::{MessageId, Position, TimelineId};

use super::content::Content;
use super::position_range::At;
use super::record::{Record, take};

/// What `outbox.parked` says of one message that was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AsideRecord {
    pub(super) id: MessageId,
    pub(super) position: At,
    /// Of its row.
    pub(super) created_at_ms: i64,
    pub(super) fate: Fate,
    /// Whether later messages of its key waited for it, or it for earlier ones: then its replay
    /// stands in the order of its key.
    pub(super) held_its_key: bool,
    /// Where its replay went, if not to its own destination.
    pub(super) redirected_to: Option<u32>,
    /// What its replay says instead of the row.
    pub(super) edit: Option<Edit>,
}

/// What became of a message that was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing yet: it waits, or is being replayed right now.
    Waiting,
    /// It was published on request.
    Replayed,
    /// An operator gave it up.
    GivenUp,
}

/// Digests of what takes the place of a row's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) message_type: u64,
    pub(super) content_type: u64,
    pub(super) payload: u64,
    pub(super) headers: u64,
}

impl AsideRecord {
    /// What the broker should show of this row's replay.
    pub(super) fn replayed(&self, row: &Content) -> Content {
        let edit = self.edit.unwrap_or(Edit {
            message_type: row.message_type,
            content_type: row.content_type,
            payload: row.payload,
            headers: row.headers,
        });
        Content {
            destination: self.redirected_to.unwrap_or(row.destination),
            message_type: edit.message_type,
            content_type: edit.content_type,
            payload: edit.payload,
            headers: edit.headers,
            ..*row
        }
    }
}

const HELD_ITS_KEY: u8 = 1;
const IS_REDIRECTED: u8 = 2;
const HAS_EDIT: u8 = 4;
const WAITS: u8 = 8;
const WAS_REPLAYED: u8 = 16;

impl Record for AsideRecord {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.id.as_bytes());
        let (timeline, position) = self.position;
        out.extend_from_slice(&timeline.0.to_le_bytes());
        position.write(out);
        out.extend_from_slice(&self.created_at_ms.to_le_bytes());
        let mut flags = 0;
        for (flag, is_set) in [
            (HELD_ITS_KEY, self.held_its_key),
            (IS_REDIRECTED, self.redirected_to.is_some()),
            (HAS_EDIT, self.edit.is_some()),
            (WAITS, self.fate == Fate::Waiting),
            (WAS_REPLAYED, self.fate == Fate::Replayed),
        ] {
            flags |= if is_set { flag } else { 0 };
        }
        out.push(flags);
        if let Some(destination) = self.redirected_to {
            out.extend_from_slice(&destination.to_le_bytes());
        }
        if let Some(edit) = self.edit {
            for digest in [
                edit.message_type,
                edit.content_type,
                edit.payload,
                edit.headers,
            ] {
                out.extend_from_slice(&digest.to_le_bytes());
            }
        }
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        let id = MessageId::from_bytes(take(from)?);
        let timeline = TimelineId(u32::from_le_bytes(take(from)?));
        let position = (timeline, Position::read(from)?);
        let created_at_ms = i64::from_le_bytes(take(from)?);
        let [flags] = take(from)?;
        let has = |flag| flags & flag != 0;
        let redirected_to = if has(IS_REDIRECTED) {
            Some(u32::from_le_bytes(take(from)?))
        } else {
            None
        };
        let mut digest = || Some(u64::from_le_bytes(take(from)?));
        let edit = if has(HAS_EDIT) {
            Some(Edit {
                message_type: digest()?,
                content_type: digest()?,
                payload: digest()?,
                headers: digest()?,
            })
        } else {
            None
        };
        Some(Self {
            id,
            position,
            created_at_ms,
            fate: match (has(WAITS), has(WAS_REPLAYED)) {
                (true, _) => Fate::Waiting,
                (false, true) => Fate::Replayed,
                (false, false) => Fate::GivenUp,
            },
            held_its_key: has(HELD_ITS_KEY),
            redirected_to,
            edit,
        })
    }
}

#[cfg(test)]
mod tests {
    use outbox_core::Lsn;

    use super::super::record::tests::assert_kept;
    use super::*;

    #[test]
    fn what_is_put_by_comes_back() {
        let edit = Edit {
            message_type: 1,
            content_type: 2,
            payload: 0,
            headers: u64::MAX,
        };
        for (fate, flag, edit) in [
            (Fate::Waiting, false, None),
            (Fate::Replayed, true, Some(edit)),
            (Fate::GivenUp, true, None),
        ] {
            assert_kept(&AsideRecord {
                id: MessageId::generate(),
                position: (
                    TimelineId(3),
                    Position {
                        commit_lsn: Lsn::new(u64::MAX),
                        index: 9,
                    },
                ),
                created_at_ms: -5,
                fate,
                held_its_key: flag,
                redirected_to: flag.then_some(7),
                edit,
            });
        }
    }
}
