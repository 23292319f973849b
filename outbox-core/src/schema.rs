//! What stands in the database: the outbox tables and functions, and their versions.
//!
//! [`migrate`] brings a database to this crate's version and makes partitions ahead; a service may
//! call it at every start. [`steps`] yields the same SQL as text, for administrators who run it
//! themselves, and [`grants`] the rights that the service and the relay need.
//!
//! PostgreSQL 15 or later.
//!
//! # Partitions
//!
//! The outbox has a partition a day (UTC). `select * from outbox.maintain_partitions()` makes the
//! missing ones up to seven days ahead; [`migrate`] and the relay call it. A default partition
//! catches what has none, so that no enqueue fails for it. Rows in it are an alarm: the same
//! function moves them, up to 10 000 a call (its second argument), and answers how many it moved
//! and how many are left. Moved rows are not published again through a publication of
//! `outbox.message`; another tool's publication `FOR ALL TABLES` would see them as rows of the
//! partition's own name.

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
pub(crate) use connection::sealed::Script;
pub use migrate::{MigrateError, migrate, migrate_in};
pub use name::{SchemaName, SchemaNameError};
pub use steps::{Step, VERSION, steps};
