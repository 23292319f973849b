//! The relay as a program: reads a PostgreSQL outbox's log and publishes to a broker.

mod control;
mod driver;
mod report;
mod source;
mod telemetry;
