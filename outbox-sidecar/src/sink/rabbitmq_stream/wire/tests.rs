//! Frames of a broker that are almost right.

use bytes::Bytes;
use testbed::mutation;

use super::Chunk;
use crate::sink::rabbitmq_stream::hostile;

const TARGET_FRAMES: &str = "rabbitmq_stream_frames";
const TARGET_MESSAGES: &str = "rabbitmq_stream_messages";

/// Frames that a broker sends, with their lengths before them.
const FRAMES: [&[u8]; 8] = [
    b"\0\0\0\x11\0\x03\0\x01\x07\0\0\0\x01\0\0\0\0\0\0\0\x09",
    b"\0\0\0\x13\0\x04\0\x01\x07\0\0\0\x01\0\0\0\0\0\0\0\x09\0\x12",
    b"\0\0\0\x0a\0\x10\0\x01\0\x04\0\x02ab\0\0\0\x04\0\x17\0\x01",
    b"\0\0\0\x0c\0\x14\0\x01\0\x10\0\0\0\0\0\x3c",
    b"\0\0\0\x0f\0\x16\0\x01\0\0\0\x01\0\x01\0\x03bye",
    b"\0\0\0\x1b\x80\x11\0\x01\0\0\0\x01\0\x01\0\0\0\x01\0\x07version\0\x013",
    b"\0\0\0\x12\x80\x05\0\x01\0\0\0\x02\0\x01\0\0\0\0\0\0\0\x09",
    b"\0\0\0\x0b\0\x08\0\x01\x01\x50\0\0\x01\0\0",
];

/// What answers say behind their correlation.
const BODIES: [&[u8]; 4] = [
    b"\0\x01\0\0\0\x01\0\x07version\0\x043.10",
    b"\0\0\0\x01\0\x01\0\x01h\0\0\x15\xb0\0\0\0\x01\0\x06stream\0\x01\0\x01\0\0\0\x01\0\x01",
    b"\0\x01\0\0\0\0\0\0\0\x09",
    b"\0\x01\0\0\0\x02\0\x01a\0\x01b",
];

/// A chunk of two messages and a batch of three.
const CHUNK: &[u8] = b"\x50\0\0\x03\0\0\0\x05\0\0\x01\x8b\xcf\xe5\x68\0\0\0\0\0\0\0\0\x01\
    \0\0\0\0\0\0\0\x46\0\0\0\0\0\0\0\x16\0\0\0\0\0\0\0\0\
    \0\0\0\x02ab\0\0\0\0\x90\0\x03\0\0\0\x09\0\0\0\x01z";

#[test]
fn frames_with_seeded_mutations_are_understood_or_refused() {
    mutation::replay(TARGET_FRAMES, &FRAMES, hostile::frames);
}

#[test]
fn answers_with_seeded_mutations_are_understood_or_refused() {
    mutation::replay(TARGET_FRAMES, &BODIES, hostile::answer);
}

#[test]
fn chunks_with_seeded_mutations_are_messages_or_refused() {
    let read = Chunk::decode(Bytes::from_static(CHUNK)).unwrap();
    assert!(read.entries().all(|entry| entry.is_ok()));
    mutation::replay(TARGET_MESSAGES, &[CHUNK], hostile::chunk);
}
