//! What happens next: the relay's decisions, free of IO and clocks.
//!
//! A [`Relay`] is told what happened ([`Event`]) and when ([`Now`]), and answers with what to do
//! ([`Action`]). It opens no connection, reads no clock and starts no thread, so the very code
//! that runs in production also runs in a simulation, from a seed, under any schedule of faults.
//!
//! Invariants, asserted in release builds; where one does not hold the relay stops and publishes
//! nothing more:
//! - nothing is confirmed to the slot that the durable checkpoint does not cover;
//! - the checkpoint only grows within a cluster and timeline;
//! - a message behind the durable frontier is never published again, one before it never skipped.

mod action;
mod activation;
mod active;
mod asking;
mod backoff;
mod blocked_keys;
mod buffer;
mod careful;
mod catch_up;
mod compare;
mod compared;
mod core;
mod earlier_ends;
mod event;
mod gone;
mod halving;
mod intake;
mod isolation;
mod linger;
mod machine;
mod parked_message;
mod parking;
mod pending_request;
mod phantoms;
mod progress;
mod publishing;
mod putting_back;
mod recovery;
mod replay;
mod request_parts;
mod server_shutdown;
mod settings;
mod standby;
mod status;
mod stop;
mod stream;
mod stuck;
#[cfg(test)]
mod tests;

pub use action::{Action, Notice, Ticket};
pub use active::Claim;
pub use earlier_ends::{EarlierEnds, EarlierTries, TriedBatch};
pub use event::{
    Event, FailureKind, Holder, Identity, Inspection, Now, RelayRow, SlotState, SourceFailure,
};
pub use machine::Relay;
pub use parked_message::{
    BlockedKey, ParkReason, ParkedEarlier, ParkedMessage, StuckPolicy, UncoveredRow,
};
pub use phantoms::{Phantom, PhantomList, Phantoms};
pub use request_parts::{
    FinishedRequest, KeyAfter, LeftToPublish, RefusedAgain, ReplayedMessage, RequestPart,
    RequestPlace, SkippedMessage,
};
pub use settings::{BackoffLimits, BatchLimits, GoneLimits, Settings};
pub use status::{Phase, Status};
pub use stop::{HaltedMessage, Stop};
pub use stream::StreamEvent;
