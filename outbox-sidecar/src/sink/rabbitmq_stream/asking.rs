//! Questions to the broker, within a call's time.

use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use outbox_core::sink::RefusalReason;
use tokio::time::Instant;

use super::connection::{Connection, Lost};
use super::wire::{Availability, Code, Malformed, Request, availability, sequence};

/// Before a stream that has no leader is looked at again.
const LEADER_PAUSE: Duration = Duration::from_millis(100);

/// Why a message is refused for itself.
pub(super) type Refused = (RefusalReason, String);

/// Why a call ended before its batch did.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Halt {
    /// The same call again goes on.
    #[error("{0}")]
    Later(String),
    /// The connection is of no use any more.
    #[error("{0}")]
    Lost(String),
    /// The broker holds what the log does not.
    #[error("{0}")]
    Diverged(String),
    /// Going on would hide that something is wrong.
    #[error("{0}")]
    Fatal(String),
}

impl From<Lost> for Halt {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost.0)
    }
}

impl From<Malformed> for Halt {
    fn from(malformed: Malformed) -> Self {
        Self::Lost(malformed.to_string())
    }
}

/// The connection, until the call's end.
pub(super) struct Asking<'a> {
    pub(super) connection: &'a mut Connection,
    pub(super) deadline: Instant,
}

impl Asking<'_> {
    /// The answer's code and body.
    pub(super) async fn ask(&mut self, request: &Request, doing: &str) -> Result<Bytes, Halt> {
        let answer = self.connection.ask(request, self.deadline).await?;
        answer.ok_or_else(|| {
            Halt::Later(format!(
                "{doing}: the broker does not answer yet: it is busy, starts, or has a disk alarm"
            ))
        })
    }

    /// Whether a stream is there; waits until it has a leader.
    pub(super) async fn exists(&mut self, stream: &str) -> Result<bool, Halt> {
        let doing = format!("looking for stream {stream:?}");
        loop {
            let body = self.ask(&Request::metadata(stream), &doing).await?;
            match availability(body, stream)? {
                Availability::Ready => return Ok(true),
                Availability::Missing => return Ok(false),
                Availability::NoLeader if Instant::now() + LEADER_PAUSE >= self.deadline => {
                    return Err(Halt::Later(format!("{doing}: it has no leader yet")));
                }
                Availability::NoLeader => tokio::time::sleep(LEADER_PAUSE).await,
            }
        }
    }
}

/// The highest publishing id that a stream has seen of a publisher; 0 of one that it does not know.
pub(super) async fn last_id(
    asking: &mut Asking<'_>,
    stream: &ByteString,
    reference: &str,
) -> Result<Result<u64, Refused>, Halt> {
    let doing = format!("asking for the last publishing id in stream {stream:?}");
    let request = Request::query_sequence(reference, stream);
    let (code, last) = sequence(asking.ask(&request, &doing).await?)?;
    match code {
        Code::OK => Ok(Ok(last)),
        refused @ Code::ACCESS_REFUSED => {
            let text =
                format!("{doing}: {refused}: give the user the rights to read and to write it");
            Ok(Err((RefusalReason::NotAuthorised, text)))
        }
        other => Err(Halt::Lost(format!("{doing}: {other}"))),
    }
}
