//! The relay: reads the outbox from PostgreSQL's write-ahead log and publishes it to a broker.

pub mod sink;
