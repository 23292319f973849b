//! RabbitMQ queues and exchanges: every message at least once, none lost, none silently dropped.
//!
//! [`RabbitPublisher`] sends persistent, `mandatory` messages on a channel in confirm mode:
//!
//! - A batch counts as published once the broker has confirmed each of its messages and returned
//!   none. A returned message is known by its id, over the whole window.
//! - Messages of one key and destination go out one after the other: whatever the broker refuses,
//!   returns or delays is never overtaken by what follows in its key.
//! - After a lost connection what was not confirmed is sent again, with the same `message_id`: a
//!   consumer may see it twice, and its inbox acts on it once.
//! - The right to publish is an exclusive queue, `outbox-<relay>`, on the very connection that
//!   publishes. A frozen holder keeps it until the broker misses its heartbeats; what the holder
//!   had sent before stays sent.
//!
//! The checkpoint is kept elsewhere (see [`super::at_least_once`]): RabbitMQ has no place that is
//! written with the messages.

mod attempt;
mod destinations;
mod errors;
mod inspection;
mod message;
mod publishing;
mod routing;
mod session;
mod settings;
mod transport;
mod window;

pub use inspection::{GuardPlace, Objects, QueueFacts, RabbitInspection};
pub use routing::Route;
pub use settings::{RabbitSettings, RabbitSettingsError};

use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::{AcquireError, Batch, Outcome};
use tokio::runtime::{Builder, Runtime};

use super::at_least_once::Publisher;
use crate::telemetry::names;
use publishing::Publishing;
use routing::Routing;
use session::Session;

/// A relay's access to RabbitMQ.
pub struct RabbitPublisher {
    settings: RabbitSettings,
    routing: Routing,
    // Answers heartbeats while the sink is idle: a thread of its own.
    runtime: Runtime,
    session: Option<Session>,
    publishing: Publishing,
}

impl RabbitPublisher {
    /// A publisher that has not connected yet.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub fn new(settings: RabbitSettings) -> Result<Self, RabbitSettingsError> {
        settings.check_ranges()?;
        let routing = settings.routing()?;
        settings.brokers()?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("rabbitmq")
            .enable_all()
            .build()
            .map_err(|error| RabbitSettingsError::Thread(error.to_string()))?;
        Ok(Self {
            settings,
            routing,
            runtime,
            session: None,
            publishing: Publishing::default(),
        })
    }
}

impl Publisher for RabbitPublisher {
    /// Connects, and takes the guard from nobody: while another connection has it, there is no right
    /// to publish.
    fn acquire(&mut self) -> Result<(), AcquireError> {
        self.release();
        // A rotated address is read anew.
        let brokers = self.settings.brokers();
        let brokers = brokers.map_err(|error| AcquireError::Fatal(error.to_string()))?;
        let opening = Session::open(&self.settings, &brokers);
        self.session = Some(self.runtime.block_on(opening)?);
        Ok(())
    }

    fn publish(&mut self, batch: &Batch) -> Outcome {
        let Some(session) = &mut self.session else {
            let reason = "the right to publish was not acquired".to_owned();
            return Outcome::Indefinite { reason };
        };
        let publishing = self
            .publishing
            .publish(session, &self.settings, &self.routing, batch);
        let outcome = self.runtime.block_on(publishing);
        let is_blocked = session.is_blocked() && outcome != Outcome::Durable;
        metrics::gauge!(names::SINK_BLOCKED).set(if is_blocked { 1.0 } else { 0.0 });
        if matches!(
            outcome,
            Outcome::Indefinite { .. } | Outcome::Fenced { .. } | Outcome::Fatal { .. }
        ) {
            self.release();
        }
        outcome
    }

    fn settled(&mut self, checkpoint: &Checkpoint) {
        self.publishing.settled(checkpoint.frontier);
    }

    /// Gives the guard up.
    fn release(&mut self) {
        metrics::gauge!(names::SINK_BLOCKED).set(0.0);
        self.publishing.disconnected();
        if let Some(session) = self.session.take() {
            self.runtime.block_on(session.close());
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
