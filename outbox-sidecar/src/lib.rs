//! The relay as a program: reads a PostgreSQL outbox's log and publishes to a broker.

mod assembly;
mod check;
pub mod cli;
mod config;
#[cfg(test)]
mod connection_table;
mod control;
mod count;
mod driver;
mod exit;
mod failpoint;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
#[cfg(any(test, fuzzing))]
mod hostile;
mod http;
mod operator;
mod phantoms;
mod redelivery;
mod report;
mod setup;
pub mod sink;
mod source;
mod stuck;
mod telemetry;
mod tls;
mod verify;
