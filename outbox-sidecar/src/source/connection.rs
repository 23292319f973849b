//! A connection to PostgreSQL that speaks the frontend/backend protocol, as a walsender's client.

mod address;
mod authentication;
mod socket;
mod ssl_mode;
mod startup;
mod wire;

pub(crate) use address::{Address, AddressError, HostAddress};
pub(crate) use socket::Socket;
pub(crate) use startup::{Server, Startup, start};
pub(crate) use wire::{ANSWER_MAX, FRAME_BYTES_MAX, Wire};
