//! The program as people run it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod away;
mod broker;
mod check;
mod command_line;
mod conformance;
mod consumer;
mod copies;
mod crash;
mod crashes;
mod encrypted;
mod failover;
mod getting_started;
mod idle;
mod impostors;
mod indefinite;
mod init;
mod large;
mod large_headers;
mod many;
mod page;
mod program;
mod rabbitmq;
mod redeliver;
mod refused;
mod restored;
mod roles;
mod runbook;
mod scenario;
mod secrets;
mod setting_aside;
mod shutdown;
mod slow_broker;
mod stdout;
mod strangers;
mod stuck;
mod takeover;
mod target;
mod transactional_id;
mod trials;
mod twin;
mod unfit;
mod verify;
mod visitors;
mod without_servers;
