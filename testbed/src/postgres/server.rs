//! A PostgreSQL server that a test can stop, kill, freeze and start again.

use std::path::Path;
use std::time::Duration;

use testbed_supervisor::{Signal, Target};
use tokio_postgres::Client;

use crate::certificates::Certificate;
use crate::error::Error;
use crate::ports::ReservedPort;
use crate::postgres::address::PostgresAddress;
use crate::postgres::cluster::Cluster;
use crate::postgres::options::PostgresOptions;
use crate::provision::{self, PostgresInstallation, PostgresVersion};
use crate::server::Server;

/// Recovery after a crash included, on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);
/// A port can be taken between its choice and the server's start.
const START_ATTEMPTS_MAX: usize = 3;

/// How a server is asked to shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// SIGTERM: waits for the clients to leave.
    Smart,
    /// SIGINT: ends the sessions, but waits until walsenders have delivered everything.
    Fast,
    /// SIGQUIT: at once, with recovery at the next start.
    Immediate,
}

/// A server with a cluster of its own; dropped, both are gone.
#[derive(Debug)]
pub struct PostgresServer {
    // Dropped before the cluster: files must not vanish under a running server.
    server: Server,
    address: PostgresAddress,
    pub(super) cluster: Cluster,
    pub(super) installation: PostgresInstallation,
    pub(super) options: PostgresOptions,
    _port: ReservedPort,
}

impl PostgresServer {
    /// A server with the test bed's settings.
    ///
    /// # Errors
    /// When PostgreSQL cannot be provisioned, or does not start within a minute.
    pub async fn start() -> Result<Self, Error> {
        Self::options().start().await
    }

    /// Options of a server, to be started by [`PostgresOptions::start`].
    #[must_use]
    pub fn options() -> PostgresOptions {
        PostgresOptions::default()
    }

    pub(super) async fn start_with(options: PostgresOptions) -> Result<Self, Error> {
        let version = match options.version {
            Some(version) => version,
            None => PostgresVersion::from_environment()?,
        };
        let installation = tokio::task::spawn_blocking(move || provision::postgres(version))
            .await
            .map_err(Error::because("provisioning PostgreSQL panicked"))??;
        Self::start_from(installation, options, async |installation| {
            Cluster::create(installation).await
        })
        .await
    }

    /// Starts a server with the files that `make` makes, anew for each attempt.
    pub(super) async fn start_from(
        installation: PostgresInstallation,
        options: PostgresOptions,
        make: impl AsyncFn(&PostgresInstallation) -> Result<Cluster, Error>,
    ) -> Result<Self, Error> {
        let mut attempt = 1;
        loop {
            let port = ReservedPort::find()?;
            let cluster = make(&installation).await?;
            cluster.configure(port.number(), &options.settings)?;
            cluster.authenticate(&options.hba)?;
            let command = cluster
                .command(&installation.program("postgres"))
                .arg("-D")
                .arg(cluster.data().to_string_lossy());
            let server = Self {
                server: Server::new("PostgreSQL", command, cluster.log()),
                address: PostgresAddress::local(port.number()),
                cluster,
                installation: installation.clone(),
                options: options.clone(),
                _port: port,
            };
            match server.restart().await {
                Ok(()) => return Ok(server),
                Err(error) if attempt == START_ATTEMPTS_MAX || !port_taken(&error) => {
                    return Err(error);
                }
                Err(_) => attempt += 1,
            }
        }
    }

    /// How the server is reached by TCP.
    #[must_use]
    pub fn address(&self) -> &PostgresAddress {
        &self.address
    }

    /// A URL by TCP for `user` and `database`.
    #[must_use]
    pub fn url(&self, user: &str, database: &str) -> String {
        self.address.url(user, database)
    }

    /// A URL by the Unix socket for `user` and `database`.
    #[must_use]
    pub fn socket_url(&self, user: &str, database: &str) -> String {
        let directory = self
            .socket_directory()
            .to_string_lossy()
            .replace('/', "%2F");
        format!(
            "postgres://{user}@{directory}:{}/{database}",
            self.address.port()
        )
    }

    /// The directory of the Unix socket.
    #[must_use]
    pub fn socket_directory(&self) -> &Path {
        self.cluster.socket_directory()
    }

    /// Connects by TCP, see [`PostgresAddress::connect`].
    ///
    /// # Errors
    /// When the server refuses or is down.
    pub async fn connect(&self, user: &str, database: &str) -> Result<Client, Error> {
        self.address.connect(user, database).await
    }

    /// Creates an empty database with a name of its own, see [`PostgresAddress::create_database`].
    ///
    /// # Errors
    /// When the server refuses or is down.
    pub async fn create_database(&self) -> Result<String, Error> {
        self.address.create_database().await
    }

    /// The postmaster's process id.
    ///
    /// # Errors
    /// When the server was never started.
    pub fn pid(&self) -> Result<u32, Error> {
        self.server.pid()
    }

    /// Fails, with the end of its log, when the server has ended.
    ///
    /// # Errors
    /// When it has, or when that cannot be found out.
    pub fn still_runs(&self) -> Result<(), Error> {
        self.server.still_runs()
    }

    /// The server's log.
    #[must_use]
    pub fn log(&self) -> &Path {
        self.server.log()
    }

    /// The cluster's data directory.
    #[must_use]
    pub fn data_directory(&self) -> std::path::PathBuf {
        self.cluster.data()
    }

    /// Starts the stopped or killed server on the same port and data; returns once it answers.
    ///
    /// # Errors
    /// When it runs already, or does not answer within a minute.
    pub async fn restart(&self) -> Result<(), Error> {
        self.server.spawn()?;
        self.server
            .ready(START_MAX, async || {
                let client = self.address.connect_as_superuser().await?;
                client
                    .simple_query("select 1")
                    .await
                    .map_err(Error::because("select 1"))?;
                Ok(())
            })
            .await
    }

    /// Asks the server to shut down, without waiting for it.
    ///
    /// # Errors
    /// When the server was never started.
    pub fn request_stop(&self, shutdown: Shutdown) -> Result<(), Error> {
        let signal = match shutdown {
            Shutdown::Smart => Signal::Terminate,
            Shutdown::Fast => Signal::Interrupt,
            Shutdown::Immediate => Signal::Quit,
        };
        self.server.signal(signal, Target::Process)
    }

    /// Waits until the server has ended.
    ///
    /// # Errors
    /// When it has not within `deadline`.
    pub async fn stopped(&self, deadline: Duration) -> Result<(), Error> {
        self.server.ended(deadline).await.map(drop)
    }

    /// Shuts the server down and waits, up to a minute, until it is gone.
    ///
    /// # Errors
    /// When it is not gone within a minute.
    pub async fn stop(&self, shutdown: Shutdown) -> Result<(), Error> {
        self.request_stop(shutdown)?;
        self.stopped(START_MAX).await
    }

    /// SIGKILL for the postmaster and every backend; returns once they are gone.
    ///
    /// # Errors
    /// When they are not gone within half a minute.
    pub async fn kill(&self) -> Result<(), Error> {
        self.server.kill().await
    }

    /// SIGSTOP for the postmaster and every backend: connections stay open, nothing answers.
    ///
    /// # Errors
    /// When the server was never started.
    pub fn freeze(&self) -> Result<(), Error> {
        self.server.signal(Signal::Stop, Target::Process)?;
        self.server.signal(Signal::Stop, Target::Tree)
    }

    /// Ends a [`freeze`](Self::freeze).
    ///
    /// # Errors
    /// When the server was never started.
    pub fn thaw(&self) -> Result<(), Error> {
        self.server.signal(Signal::Continue, Target::Tree)
    }

    /// Replaces the lines of pg_hba.conf that stand before those that trust everybody, and makes
    /// the server read them. New connections obey them.
    ///
    /// # Errors
    /// When the file cannot be written, the server does not take it, or it is down.
    pub async fn set_hba(&self, lines: &[&str]) -> Result<(), Error> {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        self.cluster.authenticate(&lines)?;
        self.reload().await
    }

    /// Writes a file, such as a certificate, into the data directory: the server's own, and
    /// readable by nobody else. A [`reload`](Self::reload) makes the server read it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_file(&self, name: &str, text: &str) -> Result<(), Error> {
        self.cluster.write(name, text)
    }

    /// Lets the server show this certificate, and turns TLS on.
    ///
    /// # Errors
    /// When the files cannot be written, or the server is down.
    pub async fn serve_tls(&self, certificate: &Certificate) -> Result<(), Error> {
        self.set_file("server.crt", &certificate.pem)?;
        self.set_file("server.key", &certificate.key_pem)?;
        let client = self.connect(self.address.superuser(), "postgres").await?;
        let set = client.batch_execute("alter system set ssl = on").await;
        set.map_err(Error::because("TLS cannot be turned on"))?;
        self.reload().await
    }

    /// Makes the server read its configuration files again; returns once it has.
    ///
    /// # Errors
    /// When the server is down or does not do so within a minute.
    pub async fn reload(&self) -> Result<(), Error> {
        let client = self.connect(self.address.superuser(), "postgres").await?;
        let loaded = async || {
            let row = client
                .query_one("select pg_conf_load_time()::text", &[])
                .await;
            row.and_then(|row| row.try_get::<_, String>(0))
                .map_err(Error::because("load time"))
        };
        let before = loaded().await?;
        self.server.signal(Signal::Hangup, Target::Process)?;
        crate::wait::until(
            "PostgreSQL has read its files again",
            START_MAX,
            async || loaded().await.is_ok_and(|now| now != before),
        )
        .await
    }
}

fn port_taken(error: &Error) -> bool {
    error.to_string().contains("Address already in use")
}
