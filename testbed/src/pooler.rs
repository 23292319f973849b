//! PgBouncer: what people put between services and PostgreSQL.

use std::time::Duration;

use testbed_supervisor::Spawn;
use tokio::net::TcpStream;

use crate::directory::RunDirectory;
use crate::error::Error;
use crate::ports::ReservedPort;
use crate::postgres::PostgresAddress;
use crate::process::Program;
use crate::provision::pgbouncer;
use crate::user::ServerUser;

const READY_MAX: Duration = Duration::from_secs(30);

/// A pooler before a server, in transaction mode; it lets everyone in. Dropped, it is killed.
#[derive(Debug)]
pub struct Pooler {
    _program: Program,
    _directory: RunDirectory,
    port: ReservedPort,
}

impl Pooler {
    /// Starts PgBouncer before a server, for these users.
    ///
    /// # Errors
    /// When it is not installed, or does not listen within half a minute.
    pub async fn start(server: &PostgresAddress, users: &[&str]) -> Result<Self, Error> {
        let program = pgbouncer()?;
        let user = ServerUser::when_root()?;
        let directory = RunDirectory::create("pgbouncer", user)?;
        let port = ReservedPort::find()?;
        let file = |name: &str, text: String| {
            let path = directory.path().join(name);
            let written = std::fs::write(&path, text);
            written.map_err(Error::because(format!(
                "{} cannot be written",
                path.display()
            )))?;
            Ok::<_, Error>(path)
        };
        let users = users.iter().map(|user| format!("\"{user}\" \"\"\n"));
        let users = file("users.txt", users.collect())?;
        let configuration = format!(
            "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\n\
             pool_mode = transaction\nignore_startup_parameters = extra_float_digits,options\n",
            server.host(),
            server.port(),
            port.number(),
            users.display(),
        );
        let configuration = file("pgbouncer.ini", configuration)?;
        let command = Spawn::new(program.to_string_lossy()).arg(configuration.to_string_lossy());
        let command = match user.map(ServerUser::ids) {
            Some((uid, gid)) => command.user(uid, gid),
            None => command,
        };
        let program = Program::start("pgbouncer", command)?;
        program
            .ready(READY_MAX, async || {
                let connected = TcpStream::connect(("127.0.0.1", port.number())).await;
                connected
                    .map(drop)
                    .map_err(Error::because("PgBouncer does not listen"))
            })
            .await?;
        Ok(Self {
            _program: program,
            _directory: directory,
            port,
        })
    }

    /// A URL for connections through it.
    #[must_use]
    pub fn url(&self, user: &str, database: &str) -> String {
        format!(
            "postgres://{user}@127.0.0.1:{}/{database}",
            self.port.number()
        )
    }
}
