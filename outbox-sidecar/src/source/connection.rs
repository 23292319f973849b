//! A connection to PostgreSQL that speaks the frontend/backend protocol, as a walsender's client.

mod address;
mod authentication;
mod startup;
mod wire;

pub(crate) use address::{Address, AddressError, Socket};
pub(crate) use startup::{Startup, start};
pub(crate) use wire::{FRAME_BYTES_MAX, Wire};
