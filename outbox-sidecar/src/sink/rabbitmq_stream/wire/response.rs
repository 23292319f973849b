use std::collections::HashMap;
use std::fmt;

use bytes::Bytes;

use super::{Malformed, Reading};

/// How a broker answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Code(pub(in super::super) u16);

impl Code {
    pub(in super::super) const OK: Self = Self(1);
    pub(in super::super) const STREAM_MISSING: Self = Self(2);
    pub(in super::super) const STREAM_EXISTS: Self = Self(5);
    pub(in super::super) const STREAM_NOT_AVAILABLE: Self = Self(6);
    pub(in super::super) const MECHANISM_UNSUPPORTED: Self = Self(7);
    pub(in super::super) const AUTHENTICATION_FAILED: Self = Self(8);
    pub(in super::super) const SASL_ERROR: Self = Self(9);
    pub(in super::super) const SASL_CHALLENGE: Self = Self(10);
    pub(in super::super) const LOOPBACK_ONLY: Self = Self(11);
    pub(in super::super) const VHOST_REFUSED: Self = Self(12);
    pub(in super::super) const ACCESS_REFUSED: Self = Self(16);
    pub(in super::super) const PRECONDITION_FAILED: Self = Self(17);
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            1 => "ok",
            2 => "stream does not exist",
            5 => "stream exists already",
            6 => "stream is not available",
            7 => "authentication mechanism not supported",
            8 => "authentication failed",
            9 => "authentication error",
            10 => "further authentication asked for",
            11 => "the user may connect from the broker's own machine only",
            12 => "access to the vhost refused",
            13 => "unknown command",
            14 => "frame too large",
            15 => "internal error",
            16 => "access refused",
            17 => "precondition failed",
            18 => "publisher does not exist",
            _ => "unknown",
        };
        write!(f, "{text} (code {})", self.0)
    }
}

/// What every answer but METADATA's begins with.
pub(in super::super) fn code(body: &Bytes) -> Result<Code, Malformed> {
    Reading::new(body.clone()).u16().map(Code)
}

/// The last publishing id of a publisher: 0 when it has none.
pub(in super::super) fn sequence(body: Bytes) -> Result<(Code, u64), Malformed> {
    let mut reading = Reading::new(body);
    Ok((Code(reading.u16()?), reading.u64()?))
}

/// What the broker says of itself, by name.
pub(in super::super) fn properties(body: Bytes) -> Result<HashMap<String, String>, Malformed> {
    let mut reading = Reading::new(body);
    let _code = reading.u16()?;
    let count = reading.count(4)?;
    (0..count)
        .map(|_| Ok((reading.text()?, reading.text()?)))
        .collect()
}

/// The partitions of a super stream, in their order.
pub(in super::super) fn partitions(body: Bytes) -> Result<(Code, Vec<String>), Malformed> {
    let mut reading = Reading::new(body);
    let code = Code(reading.u16()?);
    let count = reading.count(2)?;
    let streams = (0..count)
        .map(|_| reading.text())
        .collect::<Result<_, _>>()?;
    Ok((code, streams))
}

/// Whether a stream can be published to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Availability {
    /// It has a leader.
    Ready,
    /// It has none now, or the broker cannot say.
    NoLeader,
    /// It does not exist.
    Missing,
}

/// What METADATA says of the one stream that was asked for.
pub(in super::super) fn availability(body: Bytes, stream: &str) -> Result<Availability, Malformed> {
    let mut reading = Reading::new(body);
    let brokers = reading.count(8)?;
    for _ in 0..brokers {
        let _reference = reading.u16()?;
        let _host = reading.text()?;
        let _port = reading.u32()?;
    }
    let streams = reading.count(10)?;
    for _ in 0..streams {
        let name = reading.text()?;
        let code = Code(reading.u16()?);
        let leader = reading.u16()?;
        let replicas = reading.count(2)?;
        for _ in 0..replicas {
            let _replica = reading.u16()?;
        }
        if name == stream {
            return Ok(match code {
                // No broker has the highest reference: it stands for none.
                Code::OK if leader != u16::MAX => Availability::Ready,
                Code::STREAM_MISSING => Availability::Missing,
                _ => Availability::NoLeader,
            });
        }
    }
    Err(Malformed(format!(
        "METADATA without {stream:?}, which was asked for"
    )))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let bytes = Bytes::from(bytes);
            let _ = code(&bytes);
            let _ = sequence(bytes.clone());
            let _ = partitions(bytes.clone());
            let _ = properties(bytes.clone());
            let _ = availability(bytes, "stream");
        }
    }
}
