//! The relay as a program: reads a PostgreSQL outbox's log and publishes to a broker.

mod control;
mod driver;
mod report;
pub mod sink;
mod source;
mod telemetry;
