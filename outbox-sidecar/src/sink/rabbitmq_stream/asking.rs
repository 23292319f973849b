//! Questions to the broker, within a call's time.

use std::time::Duration;

use bytes::Bytes;
use outbox_core::sink::RefusalReason;
use tokio::time::Instant;

use super::connection::{Connection, Lost};
use super::wire::{Availability, Malformed, Request, availability};

/// Before a stream that has no leader is looked at again.
const LEADER_PAUSE: Duration = Duration::from_millis(100);

/// Why a message is refused for itself.
pub(super) type Refused = (RefusalReason, String);

/// Why a call ended before its batch did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// The same call again goes on.
    Later(String),
    /// The connection is of no use any more.
    Lost(String),
    /// Going on would hide that something is wrong.
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
        answer.ok_or_else(|| Halt::Later(format!("{doing}: the broker does not answer yet")))
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
