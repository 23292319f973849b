//! Gets the servers: pinned versions, fetched once by Maven into one cache; RabbitMQ comes with the
//! system's packages, or in version 4 with a Debian that is installed into the cache.
//!
//! The cache is `/var/cache/outbox-testbed` for root (the unprivileged user that runs the servers
//! must reach it, and root's home is private), else `$XDG_CACHE_HOME` or `~/.cache`; the variable
//! `OUTBOX_TESTBED_CACHE` names another. Each entry is unpacked aside and renamed into place under a
//! file lock, so parallel runs are safe and an interrupted one leaves nothing half done. Once the
//! cache is filled no network is needed.

mod cache;
mod command;
mod debian;
mod kafka;
mod maven;
mod postgres;
mod rabbitmq;

use std::path::PathBuf;

use crate::error::Error;

pub use kafka::{KafkaInstallation, kafka};
pub use postgres::{PostgresInstallation, PostgresVersion, postgres};
pub use rabbitmq::{RabbitInstallation, RabbitVersion, rabbitmq};

/// PgBouncer, of the system's packages.
///
/// # Errors
/// When it is not installed; the error names the package.
pub fn pgbouncer() -> Result<PathBuf, Error> {
    // Debian keeps it where only root's PATH leads.
    let usual = PathBuf::from("/usr/sbin/pgbouncer");
    if usual.is_file() {
        return Ok(usual);
    }
    command::require("pgbouncer", "pgbouncer")
}

/// A client program of PostgreSQL (`psql`, `pg_recvlogical`), which the server's distribution that
/// we fetch does not hold: from PATH, else from the newest installation of the system's packages.
///
/// # Errors
/// When it is not installed; the error names the package.
pub fn postgres_client(program: &str) -> Result<PathBuf, Error> {
    if let Some(path) = command::find(program) {
        return Ok(path);
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut installed: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin").join(program)))
        })
        .filter(|(_, path)| path.is_file())
        .collect();
    installed.sort();
    installed.pop().map(|(_, path)| path).ok_or_else(|| {
        Error::new(format!(
            "{program} is not installed; on Debian or Ubuntu: apt-get install postgresql-client"
        ))
    })
}
