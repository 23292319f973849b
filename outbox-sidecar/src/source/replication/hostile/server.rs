//! A server that says what it was told to, and streams that come in pieces.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Stands in an input for the client's nonce, which is random and has to be said back.
pub(super) const NONCE: &[u8; 24] = b"the-nonce-of-the-client-";

/// A header, and the least length that one may say.
const HEADER_BYTES: usize = 5;

/// The most digits of a number of SCRAM's iterations that is tried: the client does up to 100,000,
/// which take a debug build seconds.
const ITERATION_DIGITS_MAX: usize = 2;

/// Whether an answer asks for more iterations than a test has time for.
pub(super) fn asks_for_much_work(input: &[u8]) -> bool {
    let digits = |from: &[u8]| from.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let numbers = input
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| *pair == b"i=");
    let mut texts = numbers.filter_map(|(at, _)| input.get(at + 2..));
    texts.any(|text| digits(text) > ITERATION_DIGITS_MAX)
}

/// Says one message after the other, whatever is said to it, with the client's nonce in place.
pub(super) struct Server {
    rest: Vec<u8>,
    nonce: Option<[u8; NONCE.len()]>,
}

impl Server {
    pub(super) fn saying(input: &[u8]) -> Self {
        Self {
            rest: input.to_vec(),
            nonce: None,
        }
    }

    /// The length of the next message; of what is none, all of it.
    fn next_bytes(&self) -> usize {
        let length = self.rest.get(1..).and_then(|rest| rest.first_chunk::<4>());
        let length = length.map_or(u32::MAX, |length| u32::from_be_bytes(*length));
        let bytes = usize::try_from(length)
            .unwrap_or(usize::MAX)
            .saturating_add(1);
        bytes.max(HEADER_BYTES).min(self.rest.len())
    }

    fn fill_in_nonce(&mut self) {
        let Some(nonce) = self.nonce else { return };
        let mut rest = self.rest.as_mut_slice();
        while let Some(at) = rest.windows(NONCE.len()).position(|part| part == NONCE) {
            let Some((place, after)) = rest.split_at_mut(at).1.split_first_chunk_mut() else {
                return;
            };
            *place = nonce;
            rest = after;
        }
    }
}

impl AsyncRead for Server {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.fill_in_nonce();
        let bytes = self.next_bytes().min(into.remaining());
        into.put_slice(&self.rest.drain(..bytes).collect::<Vec<_>>());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Server {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        said: &[u8],
    ) -> Poll<io::Result<usize>> {
        let nonce = said.windows(2).position(|pair| pair == b"r=");
        let nonce = nonce.and_then(|at| said.get(at + 2..)?.first_chunk());
        self.nonce = self.nonce.or(nonce.copied());
        Poll::Ready(Ok(said.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// An input that comes in pieces of these sizes, in turn.
pub(super) struct Pieces<'a> {
    rest: &'a [u8],
    sizes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
}

impl<'a> Pieces<'a> {
    pub(super) fn of(input: &'a [u8], sizes: &'a [usize]) -> Self {
        Self {
            rest: input,
            sizes: sizes.iter().cycle(),
        }
    }
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let size = self.sizes.next().copied().unwrap_or(usize::MAX);
        let bytes = size.min(self.rest.len()).min(into.remaining());
        let (piece, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        into.put_slice(piece);
        Poll::Ready(Ok(()))
    }
}
