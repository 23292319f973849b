//! What a broker's frames, and what others have written into a stream, may do to their readers.

use bytes::Bytes;

use super::amqp_reading::read;
use super::wire::{
    Chunk, Entry, FrameReader, Incoming, READ_BYTES, availability, code, partitions, properties,
    sequence,
};
use crate::hostile;

const FRAME_BYTES_MAX: usize = 1024 * 1024;

/// What the reader of frames asks for at once, twice.
const BUFFER_BYTES: u64 = 2 * READ_BYTES as u64;

/// Frames are understood or refused, with all that lies in them.
pub(crate) fn frames(input: &[u8]) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else {
        return;
    };
    hostile::bounded_with_buffer(BUFFER_BYTES, input, |input| {
        runtime.block_on(async {
            let mut frames = FrameReader::new(input, FRAME_BYTES_MAX);
            // The stream ends; so must this.
            while let Ok(frame) = frames.next().await {
                let Ok(incoming) = Incoming::decode(frame) else {
                    continue;
                };
                let _ = incoming.bytes();
                match incoming {
                    Incoming::Answer { body, .. } => read_answer(&body),
                    Incoming::Delivered { chunk, .. } => read_chunk(chunk),
                    _ => {}
                }
            }
        });
    });
}

/// What an answer says behind its correlation is understood or refused.
pub(crate) fn answer(input: &[u8]) {
    hostile::bounded(input, |input| read_answer(&Bytes::copy_from_slice(input)));
}

/// A chunk is messages with their places, or refused.
pub(crate) fn chunk(input: &[u8]) {
    hostile::bounded(input, |input| read_chunk(Bytes::copy_from_slice(input)));
}

/// An AMQP 1.0 message is read or none.
pub(crate) fn message(input: &[u8]) {
    hostile::bounded(input, |input| read(input).is_some());
}

fn read_answer(body: &Bytes) {
    let _ = code(body);
    let _ = sequence(body.clone());
    let _ = partitions(body.clone());
    let _ = properties(body.clone());
    let _ = availability(body.clone(), "stream");
}

fn read_chunk(chunk: Bytes) {
    let Ok(chunk) = Chunk::decode(chunk) else {
        return;
    };
    assert!(chunk.first_offset <= chunk.last_offset());
    let mut offset = chunk.first_offset;
    for entry in chunk.entries() {
        match entry {
            Ok(Entry::Message(message)) => {
                let _ = read(&message);
                offset += 1;
            }
            Ok(Entry::SubBatch(records)) => offset += u64::from(records),
            Err(_) => break,
        }
    }
    assert!(chunk.first_offset <= offset);
}
