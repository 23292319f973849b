//! The program as people run it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod command_line;
mod crash;
mod idle;
mod program;
mod scenario;
mod shutdown;
mod smoke;
mod takeover;
mod without_servers;
