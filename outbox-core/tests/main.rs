//! The outbox in a real PostgreSQL, through both clients.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking"
)]

mod database;
mod enqueue;
mod grants;
mod inbox;
mod inbox_at_once;
mod inbox_forgetting;
mod migrate;
mod parked;
mod partitions;
mod sql_functions;
mod transactions_only;
