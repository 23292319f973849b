//! Parsers and what comes from outside: no input makes one panic, hang, or take memory that the input's
//! own size does not justify.

use std::hint::black_box;

use allocation_counter::measure;
use testbed::mutation;

/// What a parser may take whatever its input, for texts of errors and the like.
const BYTES_MAX: u64 = 64 * 1024;
/// And for each byte of its input.
const BYTES_MAX_PER_BYTE: u64 = 256;

/// Replays a corpus with mutations, see [`mutation::replay`], and looks at the memory taken.
pub(crate) fn replay<I: AsRef<[u8]>, O>(corpus: &[I], parse: impl FnMut(&[u8]) -> O) {
    replay_with_buffer(0, corpus, parse);
}

/// The same for a parser that reads into a buffer of this size.
pub(crate) fn replay_with_buffer<I: AsRef<[u8]>, O>(
    buffer_bytes: usize,
    corpus: &[I],
    mut parse: impl FnMut(&[u8]) -> O,
) {
    let always = BYTES_MAX + u64::try_from(buffer_bytes).unwrap();
    mutation::replay(corpus, |input| {
        let taken = measure(|| drop(black_box(parse(input)))).bytes_max;
        let justified = always + BYTES_MAX_PER_BYTE * u64::try_from(input.len()).unwrap();
        assert!(taken <= justified, "{taken} bytes for {}", input.len());
    });
}

/// The same for a parser of text: what is no text is refused before.
pub(crate) fn replay_text<I: AsRef<[u8]>, O>(corpus: &[I], mut parse: impl FnMut(&str) -> O) {
    replay(corpus, |input| parse(&String::from_utf8_lossy(input)));
}
