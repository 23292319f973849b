//! Parsers and what comes from outside: no input makes one panic, hang, or take memory that the input's
//! own size does not justify.
//!
//! What that means for each parser stands beside it, once: the fuzzer calls it through
//! [`crate::fuzzing`], the tests with a corpus and seeded mutations of it.

use std::hint::black_box;

use allocation_counter::measure;

/// What a parser may take whatever its input, for texts of errors and the like.
const BYTES_MAX: u64 = 64 * 1024;
/// And for each byte of its input.
const BYTES_MAX_PER_BYTE: u64 = 256;

/// Parses, and looks at the memory taken.
pub(crate) fn bounded<O>(input: &[u8], parse: impl FnOnce(&[u8]) -> O) {
    bounded_with_buffer(0, input, parse);
}

/// The same for a parser that reads into buffers of this size.
pub(crate) fn bounded_with_buffer<O>(
    buffer_bytes: u64,
    input: &[u8],
    parse: impl FnOnce(&[u8]) -> O,
) {
    let per_byte = BYTES_MAX_PER_BYTE.saturating_mul(input.len() as u64);
    let justified = BYTES_MAX + buffer_bytes + per_byte;
    let taken = measure(|| drop(black_box(parse(input)))).bytes_max;
    assert!(taken <= justified, "{taken} bytes for {}", input.len());
}

/// The same for a parser of text: what is no text is refused before.
pub(crate) fn bounded_text<O>(input: &[u8], parse: impl FnOnce(&str) -> O) {
    bounded_text_with_buffer(0, input, parse);
}

/// The same for a parser of text that takes so much besides.
pub(crate) fn bounded_text_with_buffer<O>(
    buffer_bytes: u64,
    input: &[u8],
    parse: impl FnOnce(&str) -> O,
) {
    let text = String::from_utf8_lossy(input);
    bounded_with_buffer(buffer_bytes, text.as_bytes(), |_| parse(&text));
}
