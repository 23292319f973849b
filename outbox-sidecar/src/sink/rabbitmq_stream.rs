//! RabbitMQ streams: each message exactly once in its stream, in commit order.
//!
//! [`StreamPublisher`] speaks the stream protocol itself:
//!
//! - A message's publisher name and publishing id follow from its position alone. The broker keeps
//!   the highest id of each name and drops what is not above it, so whatever is sent again, by this
//!   relay, by its successor or by one that was thought dead, is in the stream once.
//! - A stream's messages go out in commit order through one connection. On any doubt the connection
//!   is given up, and the batch is sent again from its beginning: what the broker has, it drops.
//! - After a message that is refused, its stream gets nothing more until the relay has decided about
//!   that message: the batch without it is handed in again.
//! - A stream that holds what the surviving timeline does not, or misses a message that the broker
//!   refused before it took later ones, is published to no more.
//!
//! Nothing fences an earlier holder: what it still sends is what its successor sends. The checkpoint
//! is kept elsewhere. docs/adr/0018 has the reasons and what was measured.

mod address;
mod amqp;
mod amqp_reading;
mod asking;
mod checking;
mod checkpoint_copies;
mod connection;
mod destinations;
mod handshake;
mod hash;
#[cfg(any(test, fuzzing))]
pub(crate) mod hostile;
mod inspection;
mod lane;
mod lanes;
mod message;
mod opening;
mod prepared;
mod publishing;
mod publishing_id;
mod settings;
mod stream_reader;
mod suspects;
mod transport;
mod wire;

pub use inspection::{Presence, StreamInspection};
pub use settings::{StreamSettings, StreamSettingsError};
pub(crate) use stream_reader::StreamReader;

use std::time::Duration;

use bytestring::ByteString;
use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::{AcquireError, Batch, Outcome};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use super::at_least_once::Publisher;
use asking::Asking;
use connection::Connection;
use publishing::{Publishing, Session};

/// How long the broker may take to answer questions before publishing begins.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A relay's access to RabbitMQ streams.
pub struct StreamPublisher {
    settings: StreamSettings,
    // Answers heartbeats while the sink is idle: a thread of its own.
    runtime: Runtime,
    session: Option<Session>,
    publishing: Publishing,
}

impl StreamPublisher {
    /// A publisher that has not connected yet.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub fn new(settings: StreamSettings) -> Result<Self, StreamSettingsError> {
        settings.check_ranges()?;
        settings.addresses()?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("rabbitmq-stream")
            .enable_all()
            .build()
            .map_err(|error| StreamSettingsError::Thread(error.to_string()))?;
        Ok(Self {
            settings,
            runtime,
            session: None,
            publishing: Publishing::default(),
        })
    }

    /// Makes the stream of the checkpoint's copies, unless it is there.
    ///
    /// # Errors
    /// See [`AcquireError`].
    pub fn create_checkpoint_stream(&mut self) -> Result<(), AcquireError> {
        let mut connection = self.connect()?;
        let mut asking = Asking {
            connection: &mut connection,
            deadline: Instant::now() + ANSWER_MAX,
        };
        let stream = ByteString::from(self.settings.checkpoint_stream.as_str());
        let creating = checkpoint_copies::create_stream(&mut asking, &stream);
        let created = self.runtime.block_on(creating);
        self.runtime.block_on(connection.close());
        created
    }

    fn connect(&self) -> Result<Connection, AcquireError> {
        // A rotated address is read anew.
        let addresses = self.settings.addresses();
        let addresses = addresses.map_err(|error| AcquireError::Fatal(error.to_string()))?;
        let opening = Connection::open(&self.settings, &addresses);
        self.runtime.block_on(opening)
    }
}

impl Publisher for StreamPublisher {
    /// Connects. Nobody is kept from publishing by it, and nobody needs to be.
    fn acquire(&mut self) -> Result<(), AcquireError> {
        self.release();
        let mut connection = self.connect()?;
        let mut asking = Asking {
            connection: &mut connection,
            deadline: Instant::now() + ANSWER_MAX,
        };
        let stream = ByteString::from(self.settings.checkpoint_stream.as_str());
        let relay = &self.settings.relay;
        let requiring = checkpoint_copies::require_access(&mut asking, &stream, relay);
        self.runtime.block_on(requiring)?;
        self.session = Some(Session::new(connection));
        Ok(())
    }

    /// For about five seconds at most. Messages that follow a refused one in its stream are not
    /// published; the batch without those that are named is handed in again, and what of it is in
    /// the stream already is not added twice.
    fn publish(&mut self, batch: &Batch) -> Outcome {
        let Some(session) = &mut self.session else {
            let reason = "the right to publish was not acquired".to_owned();
            return Outcome::Indefinite { reason };
        };
        let publishing = self.publishing.publish(session, &self.settings, batch);
        let outcome = self.runtime.block_on(publishing);
        if matches!(
            outcome,
            Outcome::Indefinite { .. } | Outcome::Diverged { .. } | Outcome::Fatal { .. }
        ) {
            self.release();
        }
        outcome
    }

    /// The broker gets a copy, which nothing waits for.
    fn settled(&mut self, checkpoint: &Checkpoint) {
        let session = self.session.as_mut();
        let settling = self.publishing.settled(session, checkpoint);
        self.runtime.block_on(settling);
    }

    /// Ends the connection.
    fn release(&mut self) {
        self.publishing.disconnected();
        if let Some(session) = self.session.take() {
            self.runtime.block_on(session.connection.close());
        }
    }
}

#[cfg(test)]
mod tests;
