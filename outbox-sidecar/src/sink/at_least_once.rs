//! A sink of two parts: messages go to a broker, and the checkpoint is kept where it can be written
//! only after them.
//!
//! The checkpoint is never ahead of what the broker has confirmed, so nothing is lost; it may be
//! behind, so a relay that is killed in between publishes some messages again. What that means for
//! consumers is the broker's matter: a stream drops what it has, a queue shows it twice.

use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::{AcquireError, Batch, Outcome, Sink};

/// The part that messages go to. Calls block, and each returns within a bounded time.
pub trait Publisher: Send {
    /// Takes the right to publish.
    ///
    /// # Errors
    /// See [`AcquireError`].
    fn acquire(&mut self) -> Result<(), AcquireError>;

    /// Publishes what of the batch is not confirmed yet.
    ///
    /// [`Outcome::Durable`] means: every message is confirmed. After [`Outcome::Poison`] those are
    /// that are not named and do not follow a named one in its key.
    fn publish(&mut self, batch: &Batch) -> Outcome;

    /// The checkpoint is durable: what it covers will not be handed in again. Called with the one
    /// that was found, too, after [`acquire`](Self::acquire).
    fn settled(&mut self, checkpoint: &Checkpoint);

    /// Gives up the right to publish, and the connections that serve it.
    fn release(&mut self);
}

/// The part that keeps the checkpoint. Calls block, and each returns within a bounded time.
pub trait CheckpointStore: Send {
    /// Reads the newest checkpoint without disturbing anyone who writes.
    ///
    /// # Errors
    /// See [`AcquireError`].
    fn peek(&mut self) -> Result<Option<Checkpoint>, AcquireError>;

    /// Takes the right to write from whoever had it, then reads the newest checkpoint.
    ///
    /// # Errors
    /// See [`AcquireError`].
    fn acquire(&mut self, epoch: u64) -> Result<Option<Checkpoint>, AcquireError>;

    /// Writes the next checkpoint, over the one before it and over no other.
    ///
    /// After [`Outcome::Retry`] and [`Outcome::Abort`] the same one may be handed in again.
    fn write(&mut self, checkpoint: &Checkpoint) -> Outcome;

    /// Gives up the right to write.
    fn release(&mut self);
}

/// Publisher and store, as one sink.
pub struct AtLeastOnce<P, S> {
    publisher: P,
    store: S,
    /// The checkpoint of a batch whose messages are all confirmed: only it is left to write.
    owed: Option<Checkpoint>,
}

impl<P: Publisher, S: CheckpointStore> AtLeastOnce<P, S> {
    /// A sink that has acquired nothing yet.
    pub const fn new(publisher: P, store: S) -> Self {
        Self {
            publisher,
            store,
            owed: None,
        }
    }
}

impl<P: Publisher, S: CheckpointStore> Sink for AtLeastOnce<P, S> {
    fn peek(&mut self) -> Result<Option<Checkpoint>, AcquireError> {
        self.store.peek()
    }

    /// The publisher first: once it is ours, whoever had it cannot send any more, and what it had
    /// confirmed is in the checkpoint or comes again.
    fn acquire(&mut self, epoch: u64) -> Result<Option<Checkpoint>, AcquireError> {
        self.owed = None;
        self.publisher.acquire()?;
        let found = self.store.acquire(epoch)?;
        if let Some(checkpoint) = &found {
            self.publisher.settled(checkpoint);
        }
        Ok(found)
    }

    fn publish(&mut self, batch: &Batch) -> Outcome {
        let mut outcome = if self.owed.as_ref() == Some(&batch.checkpoint) {
            Outcome::Durable
        } else {
            self.owed = None;
            self.publisher.publish(batch)
        };
        if outcome == Outcome::Durable {
            self.owed = Some(batch.checkpoint.clone());
            outcome = self.store.write(&batch.checkpoint);
        }
        match &outcome {
            Outcome::Durable => {
                self.owed = None;
                self.publisher.settled(&batch.checkpoint);
            }
            Outcome::Indefinite { .. }
            | Outcome::Fenced { .. }
            | Outcome::Diverged { .. }
            | Outcome::Fatal { .. } => self.release(),
            Outcome::Retry { .. }
            | Outcome::Ongoing { .. }
            | Outcome::Abort { .. }
            | Outcome::Poison(_) => {}
        }
        outcome
    }

    fn release(&mut self) {
        self.owed = None;
        self.publisher.release();
        self.store.release();
    }
}

#[cfg(test)]
mod tests;
