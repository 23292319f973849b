use bytes::{Buf, Bytes};

use super::{Malformed, Reading};

/// What stands between the length of the data and the data: the length of what follows them in
/// the file, and what is reserved.
const BEFORE_DATA_BYTES: usize = 8;
/// Set in the first byte of an entry that holds several messages, perhaps compressed.
const SUB_BATCH: u8 = 0x80;
/// The format of chunks: 5, in version 0.
const MAGIC: u8 = 0x50;
/// Chunks of messages; others are the broker's own.
const USER_CHUNK: u8 = 0;

/// Part of a stream, as the broker stores and delivers it.
#[derive(Clone, Debug)]
pub(in super::super) struct Chunk {
    /// The place of its first message.
    pub(in super::super) first_offset: u64,
    /// How many messages it holds.
    pub(in super::super) records: u32,
    /// When the broker stored it.
    pub(in super::super) unix_ms: i64,
    entries: u16,
    data: Bytes,
}

/// What a chunk consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Entry {
    Message(Bytes),
    /// So many messages that were sent as one. Nobody opens them here: we send none.
    SubBatch(u16),
}

impl Chunk {
    /// Reads a chunk's header.
    pub(in super::super) fn decode(chunk: Bytes) -> Result<Self, Malformed> {
        let mut reading = Reading::new(chunk);
        let (magic, kind) = (reading.u8()?, reading.u8()?);
        if (magic, kind) != (MAGIC, USER_CHUNK) {
            return Err(Malformed(format!(
                "a chunk of format {magic:#04x} and kind {kind}"
            )));
        }
        let entries = reading.u16()?;
        let records = reading.u32()?;
        let unix_ms = reading.u64()?.cast_signed();
        let _epoch = reading.u64()?;
        let first_offset = reading.u64()?;
        if !has_place(first_offset, records) {
            return Err(Malformed(format!(
                "a chunk of {records} messages from {first_offset} on"
            )));
        }
        let _checksum = reading.u32()?;
        let bytes = usize::try_from(reading.u32()?).unwrap_or(usize::MAX);
        let mut data = reading.rest();
        if data.len() < BEFORE_DATA_BYTES || data.len() - BEFORE_DATA_BYTES < bytes {
            return Err(Malformed("a chunk ends too early".into()));
        }
        data.advance(BEFORE_DATA_BYTES);
        data.truncate(bytes);
        Ok(Self {
            first_offset,
            records,
            unix_ms,
            entries,
            data,
        })
    }

    /// The place of its last message; of one without messages, of its first.
    pub(in super::super) fn last_offset(&self) -> u64 {
        self.first_offset + u64::from(self.records.max(1)) - 1
    }

    /// The entries, in their order.
    pub(in super::super) fn entries(&self) -> impl Iterator<Item = Result<Entry, Malformed>> {
        let mut data = self.data.clone();
        (0..self.entries).map(move |_| next_entry(&mut data))
    }
}

/// Whether all messages of a chunk have a place that a stream can have: clients count in signed numbers,
/// and what is counted from there must not wrap around.
fn has_place(first_offset: u64, records: u32) -> bool {
    let last = first_offset.checked_add(u64::from(records.max(1)) - 1);
    last.is_some_and(|last| i64::try_from(last).is_ok())
}

fn next_entry(data: &mut Bytes) -> Result<Entry, Malformed> {
    let short = || Malformed("an entry of a chunk ends too early".into());
    let first = *data.first().ok_or_else(short)?;
    if first & SUB_BATCH == 0 {
        let bytes = data.try_get_u32().map_err(|_| short())?;
        return take(data, bytes).map(Entry::Message).ok_or_else(short);
    }
    data.advance(1);
    let records = data.try_get_u16().map_err(|_| short())?;
    let _uncompressed = data.try_get_u32().map_err(|_| short())?;
    let bytes = data.try_get_u32().map_err(|_| short())?;
    take(data, bytes).ok_or_else(short)?;
    Ok(Entry::SubBatch(records))
}

fn take(data: &mut Bytes, bytes: u32) -> Option<Bytes> {
    let bytes = usize::try_from(bytes).ok()?;
    (bytes <= data.len()).then(|| data.split_to(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunk(entries: u16, records: u32, data: &[u8]) -> Vec<u8> {
        let mut chunk = vec![MAGIC, USER_CHUNK];
        chunk.extend_from_slice(&entries.to_be_bytes());
        chunk.extend_from_slice(&records.to_be_bytes());
        chunk.extend_from_slice(&1_700_000_000_000_i64.to_be_bytes());
        chunk.extend_from_slice(&1_u64.to_be_bytes());
        chunk.extend_from_slice(&70_u64.to_be_bytes());
        chunk.extend_from_slice(&[0; 4]);
        chunk.extend_from_slice(&u32::try_from(data.len()).unwrap().to_be_bytes());
        chunk.extend_from_slice(&[0; 8]);
        chunk.extend_from_slice(data);
        chunk
    }

    #[test]
    fn messages_and_batches_of_them_are_told_apart() {
        let mut data = vec![0, 0, 0, 2, b'a', b'b', 0, 0, 0, 0];
        data.extend_from_slice(&[0x90, 0, 3, 0, 0, 0, 9, 0, 0, 0, 1, b'z']);
        let read = Chunk::decode(Bytes::from(chunk(3, 5, &data))).unwrap();
        assert_eq!((read.first_offset, read.records), (70, 5));
        assert_eq!(read.unix_ms, 1_700_000_000_000);
        let entries: Vec<_> = read.entries().collect();
        let expected = [
            Ok(Entry::Message(Bytes::from_static(b"ab"))),
            Ok(Entry::Message(Bytes::new())),
            Ok(Entry::SubBatch(3)),
        ];
        assert_eq!(entries, expected);
    }

    #[test]
    fn what_is_no_chunk_of_messages_is_refused() {
        let good = chunk(1, 1, &[0, 0, 0, 2, b'a', b'b']);
        for end in 0..good.len() {
            assert!(Chunk::decode(Bytes::copy_from_slice(&good[..end])).is_err());
        }
        for (at, byte) in [(0, 0x51), (1, 1)] {
            let mut other = good.clone();
            other[at] = byte;
            assert!(Chunk::decode(Bytes::from(other)).is_err());
        }
        for data in [&[][..], &[0, 0, 0, 2, b'a'], &[0x90, 0, 3]] {
            let read = Chunk::decode(Bytes::from(chunk(1, 1, data))).unwrap();
            assert!(read.entries().all(|entry| entry.is_err()));
        }
    }

    /// A broker may say anything of where a chunk stands; who reads on counts from there.
    #[test]
    fn a_chunk_whose_messages_have_no_place_is_refused() {
        const AT: std::ops::Range<usize> = 24..32;
        let mut bytes = chunk(1, 2, &[0, 0, 0, 2, b'a', b'b']);
        bytes[AT].copy_from_slice(&(i64::MAX as u64 - 1).to_be_bytes());
        let read = Chunk::decode(Bytes::from(bytes.clone())).unwrap();
        assert_eq!(read.last_offset(), i64::MAX as u64);
        for first in [i64::MAX as u64, u64::MAX] {
            bytes[AT].copy_from_slice(&first.to_be_bytes());
            let read = Chunk::decode(Bytes::from(bytes.clone()));
            assert!(read.is_err(), "{}", read.unwrap().last_offset());
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..96), entries in 0..9_u16) {
            let _ = Chunk::decode(Bytes::from(bytes.clone()));
            let read = Chunk::decode(Bytes::from(chunk(entries, 1, &bytes))).unwrap();
            prop_assert_eq!(read.entries().count(), usize::from(entries));
        }
    }
}
