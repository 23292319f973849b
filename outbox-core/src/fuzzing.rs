//! The parsers of what is kept outside, for the fuzzer: docs/fuzzing.md. It is no part of the library; each
//! panics where its parser does what no input may make it do, such as to take memory that the input's
//! size does not justify.

use std::hint::black_box;

use allocation_counter::measure;

use crate::checkpoint::{Checkpoint, sealed};
use crate::{RequestId, TimelineHistory};

/// What a parser may take whatever its input, for texts of errors and the like.
const BYTES_MAX: u64 = 64 * 1024;
/// And for each byte of its input.
const BYTES_MAX_PER_BYTE: u64 = 64;

/// A record is a checkpoint or refused, also where its checksum fits.
pub fn checkpoint(input: &[u8]) {
    bounded(input, |input| {
        let checkpoint = Checkpoint::decode(input);
        if let Ok(checkpoint) = &checkpoint {
            assert_eq!(
                Checkpoint::decode(&checkpoint.encode()).ok().as_ref(),
                Some(checkpoint)
            );
        }
        checkpoint.is_ok()
    });
    // The fuzzer does not guess a checksum.
    if let Some(sealed) = sealed(input) {
        bounded(&sealed, |sealed| Checkpoint::decode(sealed).is_ok());
    }
}

/// A timeline's history is read or refused, and so is a request's id.
pub fn timeline_history(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    bounded(text.as_bytes(), |_| TimelineHistory::parse(&text).is_ok());
    bounded(input, |input| RequestId::read(input).is_some());
}

fn bounded<O>(input: &[u8], parse: impl FnOnce(&[u8]) -> O) {
    let justified = BYTES_MAX + BYTES_MAX_PER_BYTE.saturating_mul(input.len() as u64);
    let taken = measure(|| drop(black_box(parse(input)))).bytes_max;
    assert!(taken <= justified, "{taken} bytes for {}", input.len());
}
