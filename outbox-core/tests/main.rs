//! The outbox in a real PostgreSQL, through both clients.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking"
)]

mod database;
mod enqueue;
mod grants;
mod migrate;
mod partitions;
mod sql_functions;
mod transactions_only;
