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
mod asking;
mod connection;
mod destinations;
mod handshake;
mod hash;
mod inspection;
mod lane;
mod lanes;
mod message;
mod publishing;
mod publishing_id;
mod settings;
mod suspects;
mod transport;
mod wire;

pub use inspection::{Presence, StreamInspection};
pub use settings::{StreamSettings, StreamSettingsError};

use std::sync::Arc;

use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::{AcquireError, Batch, Outcome};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::rustls::ClientConfig;

use super::at_least_once::Publisher;
use address::Address;
use connection::Connection;
use publishing::{Publishing, Session};

/// A relay's access to RabbitMQ streams.
pub struct StreamPublisher {
    settings: StreamSettings,
    addresses: Vec<Address>,
    tls: Option<Arc<ClientConfig>>,
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
        let addresses = settings.addresses()?;
        let needs_tls = addresses.iter().any(|address| address.tls);
        let tls = needs_tls.then(transport::tls_config).transpose()?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("rabbitmq-stream")
            .enable_all()
            .build()
            .map_err(|error| StreamSettingsError::Thread(error.to_string()))?;
        Ok(Self {
            settings,
            addresses,
            tls,
            runtime,
            session: None,
            publishing: Publishing::default(),
        })
    }
}

impl Publisher for StreamPublisher {
    /// Connects. Nobody is kept from publishing by it, and nobody needs to be.
    fn acquire(&mut self) -> Result<(), AcquireError> {
        self.release();
        let opening = Connection::open(&self.settings, &self.addresses, self.tls.as_ref());
        let connection = self.runtime.block_on(opening)?;
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
        if matches!(outcome, Outcome::Indefinite { .. } | Outcome::Fatal { .. }) {
            self.release();
        }
        outcome
    }

    /// The broker remembers what it has.
    fn settled(&mut self, _: &Checkpoint) {}

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
