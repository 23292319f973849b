//! What is kept of each row and each message until they are compared, and how it is written down.

use outbox_core::{Lsn, MessageId, Position, TimelineId};

use super::content::{Content, KeyText};
use super::position_range::At;

/// What can be put by.
pub(super) trait Record: Sized {
    /// Appends it.
    fn write(&self, out: &mut Vec<u8>);
    /// Takes one off from the front; `None` when that is not what was written.
    fn read(from: &mut &[u8]) -> Option<Self>;
}

/// A row of the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowRecord {
    pub(super) id: MessageId,
    pub(super) content: Content,
    pub(super) key_text: KeyText,
}

/// A message of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MessageRecord {
    pub(super) id: MessageId,
    pub(super) content: Content,
    pub(super) key_text: KeyText,
    pub(super) position: Option<At>,
    /// The how-manieth message it is that was read: each partition's are in its order.
    pub(super) sequence: u64,
    pub(super) partition: u32,
    pub(super) offset: u64,
    /// For the how-manieth time it was asked for, if it is a replay; 0 if it does not say.
    pub(super) replay: Option<u32>,
    /// Published once more: its position is not its row's.
    pub(super) is_redelivery: bool,
    /// Whether a row must be there if it is a message of this table: it was enqueued within the
    /// compared time, and published before the table was read.
    pub(super) is_due: bool,
}

/// A message with a key and a position, for the order of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OrderRecord {
    pub(super) sequence: u64,
    pub(super) id: MessageId,
    pub(super) key: u64,
    pub(super) destination: u32,
    pub(super) partition: u32,
    pub(super) position: Position,
}

const IS_REPLAY: u8 = 1;
const IS_DUE: u8 = 2;
const HAS_POSITION: u8 = 4;
const IS_REDELIVERY: u8 = 8;

/// In the place of a key's length: no key, and how much a cut key's length is raised by.
const NO_KEY: u8 = u8::MAX;
const CUT: u8 = 0x80;

impl MessageRecord {
    pub(super) const fn is_replay(&self) -> bool {
        self.replay.is_some()
    }
}

impl Record for RowRecord {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.id.as_bytes());
        self.content.write(out);
        self.key_text.write(out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        Some(Self {
            id: MessageId::from_bytes(take(from)?),
            content: Content::read(from)?,
            key_text: KeyText::read(from)?,
        })
    }
}

impl Record for MessageRecord {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.id.as_bytes());
        self.content.write(out);
        self.key_text.write(out);
        let mut flags = 0;
        for (flag, is_set) in [
            (IS_REPLAY, self.replay.is_some()),
            (IS_DUE, self.is_due),
            (IS_REDELIVERY, self.is_redelivery),
            (HAS_POSITION, self.position.is_some()),
        ] {
            flags |= if is_set { flag } else { 0 };
        }
        out.push(flags);
        if let Some((timeline, position)) = self.position {
            out.extend_from_slice(&timeline.0.to_le_bytes());
            position.write(out);
        }
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.partition.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        if let Some(number) = self.replay {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        let id = MessageId::from_bytes(take(from)?);
        let content = Content::read(from)?;
        let key_text = KeyText::read(from)?;
        let [flags] = take(from)?;
        let position = if flags & HAS_POSITION != 0 {
            let timeline = TimelineId(u32::from_le_bytes(take(from)?));
            Some((timeline, Position::read(from)?))
        } else {
            None
        };
        Some(Self {
            id,
            content,
            key_text,
            position,
            sequence: u64::from_le_bytes(take(from)?),
            partition: u32::from_le_bytes(take(from)?),
            offset: u64::from_le_bytes(take(from)?),
            replay: if flags & IS_REPLAY != 0 {
                Some(u32::from_le_bytes(take(from)?))
            } else {
                None
            },
            is_redelivery: flags & IS_REDELIVERY != 0,
            is_due: flags & IS_DUE != 0,
        })
    }
}

impl Record for OrderRecord {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(&self.key.to_le_bytes());
        out.extend_from_slice(&self.destination.to_le_bytes());
        out.extend_from_slice(&self.partition.to_le_bytes());
        self.position.write(out);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        Some(Self {
            sequence: u64::from_le_bytes(take(from)?),
            id: MessageId::from_bytes(take(from)?),
            key: u64::from_le_bytes(take(from)?),
            destination: u32::from_le_bytes(take(from)?),
            partition: u32::from_le_bytes(take(from)?),
            position: Position::read(from)?,
        })
    }
}

impl Record for Content {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.destination.to_le_bytes());
        for digest in [
            self.key,
            self.message_type,
            self.content_type,
            self.payload,
            self.headers,
        ] {
            out.extend_from_slice(&digest.to_le_bytes());
        }
        out.extend_from_slice(&self.created_at_ms.to_le_bytes());
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        Some(Self {
            destination: u32::from_le_bytes(take(from)?),
            key: u64::from_le_bytes(take(from)?),
            message_type: u64::from_le_bytes(take(from)?),
            content_type: u64::from_le_bytes(take(from)?),
            payload: u64::from_le_bytes(take(from)?),
            headers: u64::from_le_bytes(take(from)?),
            created_at_ms: i64::from_le_bytes(take(from)?),
        })
    }
}

impl Record for KeyText {
    fn write(&self, out: &mut Vec<u8>) {
        let Some(kept) = self.kept() else {
            return out.push(NO_KEY);
        };
        let length = u8::try_from(kept.len()).unwrap_or_default();
        out.push(if self.is_cut { length | CUT } else { length });
        out.extend_from_slice(kept);
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        let [length] = take(from)?;
        if length == NO_KEY {
            return Some(Self::new(None));
        }
        let (kept, rest) = from.split_at_checked(usize::from(length & !CUT))?;
        *from = rest;
        let mut text = Self::new(Some(kept));
        text.is_cut = length & CUT != 0;
        Some(text)
    }
}

impl Record for Position {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.commit_lsn.as_u64().to_le_bytes());
        out.extend_from_slice(&self.index.to_le_bytes());
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        Some(Self {
            commit_lsn: Lsn::new(u64::from_le_bytes(take(from)?)),
            index: u32::from_le_bytes(take(from)?),
        })
    }
}

pub(super) fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*taken)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn content(number: u64) -> Content {
        Content {
            destination: 7,
            key: number,
            message_type: number + 1,
            content_type: number + 2,
            payload: u64::MAX,
            headers: 0,
            created_at_ms: -1,
        }
    }

    pub(in super::super) fn assert_kept<R: Record + PartialEq + std::fmt::Debug>(record: &R) {
        let mut bytes = Vec::new();
        record.write(&mut bytes);
        record.write(&mut bytes);
        let mut from = bytes.as_slice();
        assert_eq!(R::read(&mut from).as_ref(), Some(record));
        assert_eq!(R::read(&mut from).as_ref(), Some(record));
        assert!(from.is_empty());
        assert_eq!(
            R::read(&mut bytes.get(..bytes.len() / 2 - 1).unwrap()),
            None
        );
    }

    #[test]
    fn what_is_put_by_comes_back() {
        let position = Position {
            commit_lsn: Lsn::new(u64::MAX),
            index: 3,
        };
        let id = MessageId::generate();
        for key in [
            None,
            Some(vec![]),
            Some(vec![b'k'; 64]),
            Some(vec![0xff; 65]),
        ] {
            let key_text = KeyText::new(key.as_deref());
            let content = content(9);
            assert_kept(&RowRecord {
                id,
                content,
                key_text,
            });
            for (position, replay) in [(Some((TimelineId(3), position)), Some(9)), (None, None)] {
                assert_kept(&MessageRecord {
                    id,
                    content,
                    key_text,
                    position,
                    sequence: 1 << 40,
                    partition: 5,
                    offset: 1 << 50,
                    replay,
                    is_redelivery: replay.is_some(),
                    is_due: replay.is_none(),
                });
            }
        }
        assert_kept(&OrderRecord {
            sequence: 8,
            id,
            key: 1,
            destination: 2,
            partition: 3,
            position,
        });
    }

    #[test]
    fn a_long_key_is_shown_by_its_beginning() {
        let shown = |key: Option<&[u8]>| KeyText::new(key).shown();
        assert_eq!(shown(None), None);
        assert_eq!(shown(Some(b"")).as_deref(), Some(""));
        assert_eq!(shown(Some(b"4711")).as_deref(), Some("4711"));
        assert_eq!(
            shown(Some(&[b'x'; 65])),
            Some(format!("{}…", "x".repeat(64)))
        );
    }
}
