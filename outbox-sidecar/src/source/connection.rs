//! A connection to PostgreSQL as libpq users expect it, and the frontend/backend protocol on it as
//! a walsender's client.

mod address;
mod address_error;
mod allowance;
mod authentication;
mod conninfo;
mod guarded;
mod host;
#[cfg(any(test, fuzzing))]
pub(crate) mod hostile;
mod keywords;
mod parameters;
mod password_file;
mod service;
mod socket;
mod ssl_mode;
mod startup;
mod surroundings;
mod tls;
mod ways;
mod wire;

pub(crate) use address::Address;
pub(crate) use address_error::AddressError;
pub(crate) use authentication::Login;
pub(crate) use host::HostAddress;
pub(crate) use socket::Socket;
pub(crate) use startup::{Server, Startup, start};
pub(crate) use surroundings::Surroundings;
pub(crate) use tls::TlsError;
pub(crate) use ways::both_messages;
pub(crate) use wire::{ANSWER_MAX, FRAME_BYTES_MAX, Wire};

#[cfg(test)]
mod tests;
