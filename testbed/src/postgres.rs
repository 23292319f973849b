//! PostgreSQL servers.

mod address;
mod cluster;
mod options;
mod server;

pub use address::PostgresAddress;
pub use options::PostgresOptions;
pub use server::{PostgresServer, Shutdown};
