//! The program as people run it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod away;
mod command_line;
mod consumer;
mod crash;
mod idle;
mod init;
mod large;
mod program;
mod refused;
mod scenario;
mod shutdown;
mod takeover;
mod trials;
mod unfit;
mod without_servers;
