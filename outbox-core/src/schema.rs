//! What stands in the database: the outbox tables and functions, and their versions.
//!
//! [`migrate`] brings a database to this crate's version and makes partitions ahead; a service may
//! call it at every start. [`steps`] yields the same SQL as text, for administrators who run it
//! themselves, and [`grants`] the rights that the service and the relay need.
//!
//! PostgreSQL 15 or later.

mod connection;
pub mod grants;
mod migrate;
mod migrations;
mod name;
#[cfg(feature = "sqlx")]
mod sqlx;
mod steps;
#[cfg(feature = "tokio-postgres")]
mod tokio_postgres;

pub use connection::Connection;
pub use migrate::{MigrateError, migrate, migrate_in};
pub use name::{SchemaName, SchemaNameError};
pub use steps::{Step, steps};
