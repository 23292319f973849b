//! Where one message of a running copy ends and the next begins.

use bytes::{Buf, Bytes, BytesMut};
use outbox_core::RequestId;

use crate::source::connection::FRAME_BYTES_MAX;
use crate::source::{STREAMING, SourceError};

/// A request's logical message is about 150 bytes; one that is larger is none, whoever wrote it.
const REQUEST_BYTES_MAX: usize = 4 * 1024;

/// Messages that are together as large as this are shared with the buffer they arrived in; smaller ones
/// are copied out of it, and hold no more memory than they have bytes.
const SHARED_BYTES_MIN: usize = 1024 * 1024;

/// Tag and length.
const HEADER_BYTES: usize = 5;
/// In front of a change: what XLogData begins with ('w', start, end, time).
const CHANGE: usize = HEADER_BYTES + 25;
/// The change's kind, flags and an LSN stand in front of a logical message's prefix.
const FLAGS: usize = CHANGE + 1;
const PREFIX: usize = FLAGS + 9;

/// The flag of a logical message that belongs to a transaction.
const TRANSACTIONAL: u8 = 1;

/// Cuts what arrives into whole messages, and passes over the logical messages of others while they
/// arrive: every database user may write some, of any size, and every subscriber gets them all.
#[derive(Debug, Default)]
pub(super) struct Framing {
    /// How much of a message that is passed over is still to come.
    passing_bytes: usize,
    /// Whether one of them said that it was a request.
    has_warned: bool,
}

/// What stands at one place of the buffer.
enum Found {
    /// Less than one needs to know.
    Incomplete,
    /// A whole message of so many bytes.
    Whole(usize),
    /// A message of so many bytes, whole or not, that means nothing to us.
    Foreign(usize),
    /// The same, and it says that it is a request.
    Oversized(usize),
}

/// What a message is, as far as its beginning tells.
enum Kind {
    Ours,
    Foreign,
    /// A request that is too large to be one.
    Oversized,
}

impl Framing {
    /// Takes the next whole messages off `input`, one after the other in one piece of memory; `None` when
    /// more has to arrive first.
    pub(super) fn take(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, SourceError> {
        loop {
            let passed = self.passing_bytes.min(input.len());
            input.advance(passed);
            self.passing_bytes -= passed;
            let mut whole = 0;
            let found = loop {
                match found_at(input.get(whole..).unwrap_or_default())? {
                    Found::Whole(bytes) => whole += bytes,
                    other => break other,
                }
            };
            if let Found::Oversized(bytes) = found {
                self.warn(bytes);
            }
            if let Found::Foreign(bytes) | Found::Oversized(bytes) = found {
                self.passing_bytes = bytes;
            }
            match (whole, found) {
                (0, Found::Foreign(_) | Found::Oversized(_)) => {}
                (0, _) => return Ok(None),
                _ => return Ok(Some(taken(input, whole))),
            }
        }
    }

    /// Once for a connection: anyone can write any number of them.
    fn warn(&mut self, bytes: usize) {
        if !self.has_warned {
            tracing::warn!(
                bytes,
                "a logical message that says it is a request is too large to be one, and is passed over, as will \
                 be others on this connection"
            );
        }
        self.has_warned = true;
    }
}

/// The first message of what [`Framing::take`] has taken, and what follows it.
pub(super) fn split_first(taken: &[u8]) -> Option<(&[u8], &[u8])> {
    taken.split_at_checked(announced(taken)? + 1)
}

fn taken(input: &mut BytesMut, bytes: usize) -> Bytes {
    if bytes >= SHARED_BYTES_MIN {
        return input.split_to(bytes).freeze();
    }
    let copy = Bytes::copy_from_slice(input.get(..bytes).unwrap_or_default());
    input.advance(bytes);
    copy
}

fn found_at(buffer: &[u8]) -> Result<Found, SourceError> {
    let Some(announced) = announced(buffer) else {
        return Ok(Found::Incomplete);
    };
    let frame_bytes = announced + 1;
    let frame = buffer.get(..frame_bytes);
    match kind(frame.unwrap_or(buffer)) {
        Some(Kind::Foreign) => return Ok(Found::Foreign(frame_bytes)),
        Some(Kind::Oversized) => return Ok(Found::Oversized(frame_bytes)),
        // Too early to say.
        None if frame.is_none() => return Ok(Found::Incomplete),
        _ => {}
    }
    if announced < HEADER_BYTES - 1 || frame_bytes > FRAME_BYTES_MAX {
        return Err(SourceError::Protocol(format!(
            "{STREAMING}: a message of {announced} bytes is announced, from 4 to \
             {FRAME_BYTES_MAX} are possible"
        )));
    }
    Ok(frame.map_or(Found::Incomplete, |_| Found::Whole(frame_bytes)))
}

/// The length that a message says it has, its tag left out.
fn announced(buffer: &[u8]) -> Option<usize> {
    let length = buffer.get(1..HEADER_BYTES)?;
    Some(
        length
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte)),
    )
}

/// What begins like this: a logical message that is no request is foreign; `None` when more of it is needed.
fn kind(begun: &[u8]) -> Option<Kind> {
    for (at, expected) in [(0, b'd'), (HEADER_BYTES, b'w'), (CHANGE, b'M')] {
        if *begun.get(at)? != expected {
            return Some(Kind::Ours);
        }
    }
    if begun.get(FLAGS)? & TRANSACTIONAL == 0 {
        // It has no place in the commit order.
        return Some(Kind::Foreign);
    }
    let ours = RequestId::PREFIX.as_bytes();
    let prefix = begun.get(PREFIX..)?;
    let known = prefix.len().min(ours.len());
    if prefix.get(..known) != ours.get(..known) {
        return Some(Kind::Foreign);
    }
    if known < ours.len() {
        return None;
    }
    Some(match announced(begun)? {
        bytes if bytes > REQUEST_BYTES_MAX => Kind::Oversized,
        _ => Kind::Ours,
    })
}

#[cfg(test)]
mod tests;
