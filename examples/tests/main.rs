//! The example programs, run as they are, on real servers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a helper of a test fails the test"
)]

mod core_app;
mod database;
mod enqueue_tokio_postgres;
mod orders;
mod report;
mod report_orders;
mod seed;
mod settlement;
