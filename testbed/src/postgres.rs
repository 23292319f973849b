//! PostgreSQL servers.

mod address;
mod cluster;
mod options;
mod server;
mod snapshot;
mod standby;

pub use address::PostgresAddress;
pub use options::PostgresOptions;
pub use server::{PostgresServer, Shutdown};
pub use snapshot::Snapshot;
