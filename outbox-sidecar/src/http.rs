//! Health, metrics and status over HTTP. Nothing can be changed here.

mod client;
mod connections;
mod health;
mod server;
#[cfg(test)]
mod tests;

pub(crate) use client::fetch_status;
pub(crate) use server::{Server, ServerState};
