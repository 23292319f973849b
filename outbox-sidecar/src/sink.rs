//! Batches to a broker, outcomes back: the implementations of [`outbox_core::sink::Sink`].
//!
//! Each broker's own language (its client library, its errors, its time-outs) ends in its module;
//! the relay sees only the contract.

pub mod at_least_once;
mod broker_tls;
#[cfg(test)]
mod conformance;
pub(crate) mod headers;
#[cfg(any(test, fuzzing))]
pub(crate) mod hostile;
pub mod kafka;
mod loopback;
pub mod memory;
pub(crate) mod message_text;
pub(crate) mod published;
pub mod rabbitmq;
pub mod rabbitmq_stream;
pub mod stdout;
