//! What a broker is asked, and what it may answer.
//!
//! A [`Sink`] takes one [`Batch`] at a time and makes it durable together with its checkpoint, or
//! says in one of seven [`Outcome`]s why not. Whatever a broker's client library reports is folded
//! into these once, in the sink; the relay knows nothing else.

mod batch;
mod outcome;

pub use batch::{Batch, Delivery, Replay};
pub use outcome::{AcquireError, Outcome, Refusal, RefusalReason};

use crate::checkpoint::Checkpoint;

/// A broker, seen from the relay.
///
/// Calls block and come one at a time, from a thread that belongs to the sink. Each returns within
/// a bounded time whatever the broker does. Dropping a sink lets go of the broker without waiting.
pub trait Sink: Send {
    /// Reads the newest checkpoint without disturbing anyone who publishes.
    ///
    /// # Errors
    /// See [`AcquireError`].
    fn peek(&mut self) -> Result<Option<Checkpoint>, AcquireError>;

    /// Takes the right to publish from whoever had it, then reads the newest checkpoint.
    ///
    /// Once it returns, nothing that an earlier holder made durable is missing from the checkpoint,
    /// and no earlier holder (this process included) can write another. What an earlier holder can
    /// still make visible until it notices is said by each sink: exactly-once sinks leave it
    /// nothing.
    ///
    /// `epoch` is what the relay has just claimed in `outbox.relay`: a checkpoint that is kept in
    /// PostgreSQL is written under it.
    ///
    /// # Errors
    /// See [`AcquireError`]. The right to publish is then nobody's, or still another's.
    fn acquire(&mut self, epoch: u64) -> Result<Option<Checkpoint>, AcquireError>;

    /// Publishes the batch and its checkpoint: both become durable, or neither.
    ///
    /// After [`Outcome::Retry`], [`Outcome::Ongoing`] and [`Outcome::Abort`] the same batch is handed
    /// in again; after [`Outcome::Indefinite`] and [`Outcome::Fenced`] nothing is, until `acquire`
    /// succeeded.
    fn publish(&mut self, batch: &Batch) -> Outcome;

    /// Gives up the right to publish and whatever connections serve only that.
    fn release(&mut self);
}
