//! Health, metrics and status over HTTP. Nothing can be changed here.

mod client;
mod health;
mod server;

pub(crate) use client::fetch_status;
pub(crate) use server::{Server, ServerState};
