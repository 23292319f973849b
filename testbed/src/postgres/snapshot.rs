//! A server's files as they lay at one moment: put back, or started as a server of its own.

use std::path::{Path, PathBuf};

use crate::directory::RunDirectory;
use crate::error::Error;
use crate::postgres::cluster::{Cluster, copy_files};
use crate::postgres::server::PostgresServer;
use crate::user::ServerUser;

/// What a disk held; dropped, it is gone.
#[derive(Debug)]
pub struct Snapshot {
    directory: RunDirectory,
}

impl Snapshot {
    /// Of the files of a server that does not run.
    pub(super) async fn of(data: &Path) -> Result<Self, Error> {
        let directory = RunDirectory::create("snapshot", ServerUser::when_root()?)?;
        let snapshot = Self { directory };
        copy_files(data, &snapshot.data()).await?;
        Ok(snapshot)
    }

    pub(super) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }
}

/// Copies of a server's disk.
impl PostgresServer {
    /// Kills the server, copies its files, slots included, and starts it again: like a snapshot of a
    /// disk under a running server, the copy holds what was written at one moment.
    ///
    /// # Errors
    /// When the files cannot be copied, or the server does not start again.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        self.kill().await?;
        let snapshot = Snapshot::of(&self.data_directory()).await?;
        self.restart().await?;
        Ok(snapshot)
    }

    /// Kills the server and starts it again with the files of the snapshot.
    ///
    /// # Errors
    /// When the files cannot be put back, or the server does not start.
    pub async fn put_back(&self, snapshot: &Snapshot) -> Result<(), Error> {
        self.kill().await?;
        let data = self.data_directory();
        std::fs::remove_dir_all(&data).map_err(Error::because(format!(
            "{} cannot be removed",
            data.display()
        )))?;
        copy_files(&snapshot.data(), &data).await?;
        self.restart().await
    }

    /// Starts a server of its own, on a port of its own, with the files of a snapshot of this one:
    /// the same cluster on the same timeline, with the same slots.
    ///
    /// # Errors
    /// When the files cannot be copied, or the server does not start.
    pub async fn start_copy(&self, snapshot: &Snapshot) -> Result<Self, Error> {
        let (installation, options) = (self.installation.clone(), self.options.clone());
        Self::start_from(installation, options, async |_| {
            Cluster::copy_of(&snapshot.data()).await
        })
        .await
    }
}
