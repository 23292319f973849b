//! What is where messages are to go, seen without changing anything that lasts.

use std::time::Duration;

use bytestring::ByteString;
use outbox_core::sink::AcquireError;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::asking::{Asking, Halt};
use super::checkpoint_copies::{require_access, try_access};
use super::connection::Connection;
use super::opening::open_to_look;
use super::settings::StreamSettings;
use super::wire::{Code, Request, partitions};

/// How long the broker may take for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A connection that looks at streams.
pub struct StreamInspection {
    connection: Connection,
    runtime: Runtime,
}

/// What a destination is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// A stream.
    Stream,
    /// A super stream, and the streams that are its partitions.
    SuperStream(Vec<String>),
    /// Neither.
    Missing,
}

impl StreamInspection {
    /// Connects to the first broker that answers, as the relay would.
    ///
    /// # Errors
    /// See [`AcquireError`].
    pub fn connect(settings: &StreamSettings) -> Result<Self, AcquireError> {
        let (connection, runtime) = open_to_look(settings, 0)?;
        Ok(Self {
            connection,
            runtime,
        })
    }

    /// The broker's version, if it says.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.connection.version()
    }

    /// Whether copies of the checkpoint can be written and asked for.
    ///
    /// # Errors
    /// See [`AcquireError`].
    pub fn try_checkpoint_stream(&mut self, settings: &StreamSettings) -> Result<(), AcquireError> {
        let mut asking = Asking {
            connection: &mut self.connection,
            deadline: Instant::now() + ANSWER_MAX,
        };
        let stream = ByteString::from(settings.checkpoint_stream.as_str());
        let trying = require_access(&mut asking, &stream, &settings.relay);
        self.runtime.block_on(trying)
    }

    /// Whether a stream may be read and written by the relay; if not, what the broker says.
    ///
    /// # Errors
    /// The broker does not answer, or takes nothing from anyone.
    pub fn refuses(&mut self, stream: &str, relay: &str) -> Result<Option<String>, String> {
        let mut asking = Asking {
            connection: &mut self.connection,
            deadline: Instant::now() + ANSWER_MAX,
        };
        let stream = ByteString::from(stream);
        let tried = self
            .runtime
            .block_on(try_access(&mut asking, &stream, relay));
        match tried {
            Ok(()) => Ok(None),
            Err(Halt::Fatal(refused)) => Ok(Some(refused)),
            Err(halt) => Err(halt.to_string()),
        }
    }

    /// What a destination is.
    ///
    /// # Errors
    /// The broker does not answer, or not in a way that is understood.
    pub fn look(&mut self, destination: &str) -> Result<Presence, String> {
        let mut asking = Asking {
            connection: &mut self.connection,
            deadline: Instant::now() + ANSWER_MAX,
        };
        let looking = async {
            if asking.exists(destination).await? {
                return Ok(Presence::Stream);
            }
            let doing = format!("looking for super stream {destination:?}");
            let body = asking
                .ask(&Request::partitions(destination), &doing)
                .await?;
            Ok(match partitions(body)? {
                (Code::OK, streams) if !streams.is_empty() => Presence::SuperStream(streams),
                _ => Presence::Missing,
            })
        };
        let looked: Result<_, Halt> = self.runtime.block_on(looking);
        looked.map_err(|halt| halt.to_string())
    }
}
