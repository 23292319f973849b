//! The messages of pgoutput, protocol version 1, and what they mean for an outbox.
//!
//! <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>
//!
//! No input makes this panic: what is not understood is an error that ends the stream.

mod begin;
mod commit;
mod decoder;
#[cfg(any(test, fuzzing))]
pub(crate) mod hostile;
mod insert;
mod logical_message;
mod reader;
mod relation;
#[cfg(test)]
mod tests;
mod text_format;
mod value;

pub(crate) use decoder::Decoder;
