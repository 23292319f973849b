use bytes::{BufMut, Bytes, BytesMut};

use super::{header, key};

/// Length, header, publisher, count.
const FRAME_HEAD_BYTES: usize = 4 + 4 + 1 + 4;
/// Id and length.
const MESSAGE_HEAD_BYTES: usize = 8 + 4;
const LENGTH_BYTES: usize = 4;
const COUNT_AT: usize = 9;

/// Messages of one publisher that go out together.
#[derive(Debug)]
pub(in super::super) struct PublishFrame {
    bytes: BytesMut,
    publisher: u8,
    count: u32,
}

impl PublishFrame {
    pub(in super::super) fn new(publisher: u8) -> Self {
        Self {
            bytes: BytesMut::new(),
            publisher,
            count: 0,
        }
    }

    /// The longest message that a frame of so many bytes, its length aside, can carry.
    pub(in super::super) fn message_bytes_max(frame_bytes_max: usize) -> usize {
        (frame_bytes_max + LENGTH_BYTES).saturating_sub(FRAME_HEAD_BYTES + MESSAGE_HEAD_BYTES)
    }

    pub(in super::super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether one more message keeps it within so many bytes.
    pub(in super::super) fn has_room(&self, message: &[u8], frame_bytes_max: usize) -> bool {
        let bytes = self.bytes.len().max(FRAME_HEAD_BYTES);
        bytes + MESSAGE_HEAD_BYTES + message.len() <= frame_bytes_max + LENGTH_BYTES
    }

    pub(in super::super) fn push(&mut self, id: u64, message: &[u8]) {
        if self.is_empty() {
            self.bytes.put_u32(0);
            self.bytes.put_slice(&header(key::PUBLISH));
            self.bytes.put_u8(self.publisher);
            self.bytes.put_u32(0);
        }
        self.bytes.put_u64(id);
        // Bounded by a frame. The first bit would mark a batch of messages.
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        self.bytes.put_u32(length);
        self.bytes.put_slice(message);
        self.count += 1;
    }

    /// The frame as it goes out; the next one is empty.
    pub(in super::super) fn take(&mut self) -> Bytes {
        let length = self.bytes.len().saturating_sub(LENGTH_BYTES);
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        if let Some(place) = self.bytes.get_mut(..LENGTH_BYTES) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        if let Some(place) = self.bytes.get_mut(COUNT_AT..FRAME_HEAD_BYTES) {
            place.copy_from_slice(&self.count.to_be_bytes());
        }
        self.count = 0;
        self.bytes.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_says_how_long_it_is_and_how_many_it_holds() {
        let mut frame = PublishFrame::new(7);
        frame.push(1, b"ab");
        frame.push(2, b"");
        let bytes = frame.take();
        assert_eq!(bytes.len(), 13 + 12 + 2 + 12);
        assert_eq!(bytes[..13], [0, 0, 0, 35, 0, 2, 0, 1, 7, 0, 0, 0, 2]);
        assert_eq!(
            bytes[13..27],
            [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, b'a', b'b']
        );
        assert!(frame.is_empty());
    }

    #[test]
    fn the_largest_message_fills_a_frame() {
        let largest = vec![0; PublishFrame::message_bytes_max(1000)];
        let mut frame = PublishFrame::new(0);
        assert!(frame.has_room(&largest, 1000));
        assert!(!frame.has_room(&[0; 980], 1000));
        frame.push(1, &largest);
        assert!(!frame.has_room(b"", 1000));
        assert_eq!(frame.take().len(), 1004);
    }
}
