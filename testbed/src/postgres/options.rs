//! What a test may choose of a PostgreSQL server.

use crate::error::Error;
use crate::postgres::server::PostgresServer;
use crate::provision::PostgresVersion;

/// How a server is set up; start from [`PostgresServer::options`].
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    pub(super) version: Option<PostgresVersion>,
    pub(super) settings: Vec<(String, String)>,
    pub(super) hba: Vec<String>,
}

impl PostgresOptions {
    /// This version instead of the run's.
    #[must_use]
    pub fn version(mut self, version: PostgresVersion) -> Self {
        self.version = Some(version);
        self
    }

    /// A line of postgresql.conf; later ones win, and all win over the test bed's own.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A line of pg_hba.conf, before the ones that trust everybody.
    #[must_use]
    pub fn hba(mut self, line: &str) -> Self {
        self.hba.push(line.to_owned());
        self
    }

    /// Makes a cluster and starts its server.
    ///
    /// # Errors
    /// When PostgreSQL cannot be provisioned, or does not start within a minute.
    pub async fn start(self) -> Result<PostgresServer, Error> {
        PostgresServer::start_with(self).await
    }
}
