//! The files of a PostgreSQL cluster: made by initdb, then configured.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use testbed_supervisor::Spawn;

use crate::directory::RunDirectory;
use crate::error::Error;
use crate::provision::PostgresInstallation;
use crate::server::run_to_end;
use crate::user::ServerUser;

const INITDB_MAX: Duration = Duration::from_secs(120);
/// A small cluster's files, on a busy machine.
const COPY_MAX: Duration = Duration::from_secs(60);
const TRUST: [&str; 5] = [
    "local all all trust",
    "host all all 127.0.0.1/32 trust",
    "host all all ::1/128 trust",
    "local replication all trust",
    "host replication all 127.0.0.1/32 trust",
];
/// `fsync=off`: a killed process loses nothing by it, only a machine that loses power would.
const SETTINGS: [(&str, &str); 12] = [
    ("listen_addresses", "127.0.0.1"),
    ("fsync", "off"),
    ("wal_level", "logical"),
    ("max_wal_senders", "60"),
    ("max_replication_slots", "100"),
    ("max_prepared_transactions", "10"),
    ("max_connections", "200"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("log_line_prefix", "%m [%p] %a "),
    ("log_replication_commands", "on"),
    ("lc_messages", "C"),
];

/// A cluster in a directory of its own.
#[derive(Debug)]
pub(super) struct Cluster {
    directory: RunDirectory,
    user: Option<ServerUser>,
}

impl Cluster {
    pub(super) async fn create(installation: &PostgresInstallation) -> Result<Self, Error> {
        let user = ServerUser::when_root()?;
        let cluster = Self {
            directory: RunDirectory::create("pg", user)?,
            user,
        };
        let command = cluster
            .command(&installation.program("initdb"))
            .args([
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
            ])
            .arg("-D")
            .arg(cluster.data().to_string_lossy());
        run_to_end(
            "initdb",
            command,
            &cluster.directory.path().join("initdb.log"),
            INITDB_MAX,
        )
        .await?;
        Ok(cluster)
    }

    /// A cluster with the files of another, as they lie in this directory.
    pub(super) async fn copy_of(data: &Path) -> Result<Self, Error> {
        let user = ServerUser::when_root()?;
        let cluster = Self {
            directory: RunDirectory::create("pg", user)?,
            user,
        };
        copy_files(data, &cluster.data()).await?;
        for name in ["postmaster.pid", "postmaster.opts"] {
            remove_if_there(&cluster.data().join(name))?;
        }
        Ok(cluster)
    }

    /// Its slots, which no tool copies that makes a base backup.
    pub(super) fn remove_slots(&self) -> Result<(), Error> {
        let slots = self.data().join("pg_replslot");
        let fail = || format!("{} cannot be emptied", slots.display());
        for entry in fs::read_dir(&slots).map_err(Error::because(fail()))? {
            let entry = entry.map_err(Error::because(fail()))?;
            fs::remove_dir_all(entry.path()).map_err(Error::because(fail()))?;
        }
        Ok(())
    }

    /// A command that runs as the cluster's user in the cluster's directory.
    pub(super) fn command(&self, program: &Path) -> Spawn {
        let command = Spawn::new(program.to_string_lossy()).directory(self.directory.path());
        match self.user.map(ServerUser::ids) {
            Some((uid, gid)) => command.user(uid, gid),
            None => command,
        }
    }

    pub(super) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The log of the server; the directory of its socket is the cluster's.
    pub(super) fn log(&self) -> PathBuf {
        self.directory.path().join("postgres.log")
    }

    pub(super) fn socket_directory(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn configure(&self, port: u16, extra: &[(String, String)]) -> Result<(), Error> {
        let mut lines = String::new();
        let mut line = |name: &str, value: &str| {
            lines.push_str(&format!("{name} = '{}'\n", value.replace('\'', "''")));
        };
        SETTINGS.iter().for_each(|(name, value)| line(name, value));
        line("port", &port.to_string());
        line(
            "unix_socket_directories",
            &self.socket_directory().to_string_lossy(),
        );
        extra.iter().for_each(|(name, value)| line(name, value));
        self.write("postgresql.conf", &lines)
    }

    /// Writes pg_hba.conf: these lines, then trust for everybody on this machine.
    pub(super) fn authenticate(&self, lines: &[String]) -> Result<(), Error> {
        let lines = lines.iter().map(String::as_str).chain(TRUST);
        self.write(
            "pg_hba.conf",
            &(lines.collect::<Vec<_>>().join("\n") + "\n"),
        )
    }

    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.data().join(name);
        let fail = || format!("{} cannot be written", path.display());
        fs::write(&path, text).map_err(Error::because(fail()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
            .map_err(Error::because(fail()))?;
        self.user.map_or(Ok(()), |user| user.give(&path))
    }
}

/// Copies a directory with owners and permissions. Whoever writes there must have been stopped.
pub(super) async fn copy_files(from: &Path, to: &Path) -> Result<(), Error> {
    let command = Spawn::new("cp")
        .arg("-a")
        .arg(from.to_string_lossy())
        .arg(to.to_string_lossy());
    run_to_end("cp", command, &to.with_extension("log"), COPY_MAX).await
}

fn remove_if_there(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::because(format!(
            "{} cannot be removed",
            path.display()
        ))(error)),
        _ => Ok(()),
    }
}
