//! Messages that were published and are to be published once more: a consumer lost its data.
//!
//! 1. [`Selection`] says which: a range of the time at which they were enqueued, and conditions.
//! 2. [`preview`] counts them, and changes nothing; [`choose`] puts them by in the session, in their
//!    order, once and for all.
//! 3. [`ask`] writes requests, each one transaction: a row of `outbox.request`, whose trigger puts it
//!    into the log, and copies of its messages in `outbox.redelivery`. The relay carries a request out
//!    where it meets it in the log.
//!
//! The table knows no positions, and what was set aside was never published: it is left out here, and
//! once more by the relay.

mod asking;
mod error;
mod plan;
mod selection;
#[cfg(test)]
mod tests;

pub(crate) use asking::{Answer, Wish, ask};
pub(crate) use error::RedeliveryError;
pub(crate) use plan::{Plan, preview};
pub(crate) use selection::{Chosen, Order, Selection, choose};
