//! Bytes that are almost right, as a broken wire, a broken disk or an attacker may hand them to a
//! parser.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tests alone run this, and are to be repeated by what it prints"
)]

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Instant;

use fastrand::Rng;

/// How often a parser runs: a few seconds for all of them in a debug build.
pub const EXECUTIONS: usize = 20_000;

/// The most changes to one input.
const CHANGES_MAX: usize = 4;
/// The most bytes that are put in or repeated at once.
const PIECE_BYTES_MAX: usize = 64;
/// No input grows beyond it.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// Hands a parser these inputs and those that the fuzzer has kept for `target` as they are, and then
/// altered ones, [`EXECUTIONS`] in all.
///
/// The seed is taken from `OUTBOX_TEST_SEED` where that is set, and printed; so is the input at which
/// `parse` panics.
///
/// # Panics
/// When `parse` does, or where the target has no corpus, `fuzz/corpus/<target>`.
pub fn replay<I: AsRef<[u8]>>(target: &str, written: &[I], mut parse: impl FnMut(&[u8])) {
    let given = std::env::var("OUTBOX_TEST_SEED").ok();
    let seed = given.and_then(|text| text.parse().ok());
    let mut random = seed.map_or_else(Rng::new, Rng::with_seed);
    println!("OUTBOX_TEST_SEED={}", random.get_seed());
    let kept = kept(target);
    let written = written.iter().map(AsRef::as_ref);
    let corpus: Vec<_> = written.chain(kept.iter().map(Vec::as_slice)).collect();
    assert!(corpus.len() <= EXECUTIONS, "each is to be tried");
    let started = Instant::now();
    for number in 0..EXECUTIONS {
        let input = match corpus.get(number) {
            Some(input) => input.to_vec(),
            None => altered(&corpus, &mut random),
        };
        let told = Told(&input);
        parse(told.0);
    }
    println!("{EXECUTIONS} executions in {:?}", started.elapsed());
}

/// The inputs that the fuzzer has found worth keeping, in the order of their names: a seed stands for the
/// same mutations everywhere.
fn kept(target: &str) -> Vec<Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let folder = corpus.join(target);
    let entries = fs::read_dir(&folder);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Says what was parsed when a parser panicked.
struct Told<'a>(&'a [u8]);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the input: b\"{}\"", self.0.escape_ascii());
        }
    }
}

fn altered(corpus: &[&[u8]], random: &mut Rng) -> Vec<u8> {
    let mut input = any_of(corpus, random).to_vec();
    for _ in 0..random.usize(1..=CHANGES_MAX) {
        change(&mut input, corpus, random);
        input.truncate(INPUT_BYTES_MAX);
    }
    input
}

fn any_of<'a>(corpus: &[&'a [u8]], random: &mut Rng) -> &'a [u8] {
    corpus[random.usize(..corpus.len())]
}

fn change(input: &mut Vec<u8>, corpus: &[&[u8]], random: &mut Rng) {
    let at = random.usize(..=input.len());
    let end = (at + random.usize(..=PIECE_BYTES_MAX)).min(input.len());
    match random.u8(..8) {
        0 if at < input.len() => input[at] ^= 1 << random.u8(..8),
        1 if at < input.len() => input[at] = random.u8(..),
        2 => input.truncate(at),
        3 => drop(input.drain(at..end)),
        4 => {
            let again = input[at..end].to_vec();
            drop(input.splice(at..at, again));
        }
        5 => {
            let other = any_of(corpus, random);
            let from = random.usize(..=other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        6 => {
            let piece = std::iter::repeat_with(|| random.u8(..));
            let piece: Vec<_> = piece.take(end - at).collect();
            drop(input.splice(at..at, piece));
        }
        _ => blow_up(input, at, random),
    }
}

/// Writes a number over what may be a length, in binary or in digits.
fn blow_up(input: &mut Vec<u8>, at: usize, random: &mut Rng) {
    let number = match random.u8(..6) {
        0 => 0,
        1 => u64::MAX,
        2 => i64::MAX.unsigned_abs(),
        3 => u64::from(u32::MAX >> random.u8(..32)),
        4 => 1 << random.u8(..64),
        _ => u64::try_from(input.len()).unwrap_or(u64::MAX) + 1,
    };
    let bytes = match random.u8(..5) {
        0 => number.to_string().into_bytes(),
        power => number.to_be_bytes()[8 - (1 << (power - 1))..].to_vec(),
    };
    let end = (at + bytes.len()).min(input.len());
    drop(input.splice(at..end, bytes));
}
