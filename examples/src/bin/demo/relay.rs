//! The sidecar: set up by `init`, run, killed, started again.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use testbed::{Program, ReservedPort, Spawn, beside_this_executable};

use crate::kills::Kill;
use crate::servers::{RELAY_ROLE, SERVICE_ROLE, Servers};

const NAME: &str = "demo";
const PROGRAM: &str = "outbox-sidecar";
const INIT_MAX: Duration = Duration::from_secs(120);
/// Above the relay's own limit for a drain.
const STOP_MAX: Duration = Duration::from_secs(40);

/// The relay and its fate; dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Relay {
    program: Program,
    configuration: PathBuf,
    port: ReservedPort,
    /// Still to come, the next one last.
    kills: Vec<Kill>,
    killed: u32,
    /// While it is down: when it is started again.
    restart_at: Option<Instant>,
}

impl Relay {
    /// Writes the configuration, runs `init`, and starts the relay.
    pub(crate) async fn start(servers: &Servers, mut kills: Vec<Kill>) -> anyhow::Result<Self> {
        let port = ReservedPort::find()?;
        // Its directory is the one of the server, and gone with that, however we end.
        let configuration = servers.postgres.socket_directory().join("outbox.toml");
        std::fs::write(&configuration, toml(servers, port.number()))
            .with_context(|| format!("{} cannot be written", configuration.display()))?;
        let binary = beside_this_executable(PROGRAM)?;
        let command = |arguments: &[&str]| {
            Spawn::new(binary.to_string_lossy())
                .arg("-c")
                .arg(configuration.to_string_lossy())
                .args(arguments.iter().copied())
        };
        let admin_url = servers.admin_url();
        let init = command(&[
            "init",
            "--admin-url",
            &admin_url,
            "--relay-role",
            RELAY_ROLE,
            "--app-role",
            SERVICE_ROLE,
        ]);
        let init = Program::start("init", init)?;
        let exit = init.exited(INIT_MAX).await?;
        if !exit.success() {
            bail!(
                "`{PROGRAM} init` failed: {exit}\n{}{}",
                init.stdout()?,
                init.stderr()?
            );
        }
        kills.reverse();
        Ok(Self {
            program: Program::start("relay", command(&["run"]))?,
            configuration,
            port,
            kills,
            killed: 0,
            restart_at: None,
        })
    }

    /// Kills it or starts it again where that is due, `elapsed` after the load was started. A relay
    /// that ended by itself is an error.
    pub(crate) async fn turn(&mut self, elapsed: Duration) -> anyhow::Result<()> {
        if let Some(restart_at) = self.restart_at {
            if Instant::now() >= restart_at {
                self.program.restart()?;
                self.restart_at = None;
            }
            return Ok(());
        }
        if let Some(exit) = self.program.exit()? {
            let log = self.program.stderr()?;
            let lines: Vec<&str> = log.lines().rev().take(20).collect();
            let lines: Vec<&str> = lines.into_iter().rev().collect();
            bail!("the relay ended by itself: {exit}\n{}", lines.join("\n"));
        }
        if let Some(kill) = self.kills.pop_if(|kill| kill.after <= elapsed) {
            self.program.kill().await?;
            self.killed += 1;
            self.restart_at = Some(Instant::now() + kill.down);
        }
        Ok(())
    }

    /// Whether it runs now, for all we know.
    pub(crate) fn is_up(&self) -> bool {
        self.restart_at.is_none()
    }

    /// Whether no kill is left and the relay is up again.
    pub(crate) fn is_past_its_kills(&self) -> bool {
        self.kills.is_empty() && self.is_up()
    }

    /// How often it was killed.
    pub(crate) fn killed(&self) -> u32 {
        self.killed
    }

    /// SIGTERM; it must drain and say that all is well.
    pub(crate) async fn stop(&self) -> anyhow::Result<()> {
        self.program.terminate()?;
        let exit = self.program.exited(STOP_MAX).await?;
        if !exit.success() {
            bail!(
                "the relay did not stop in order: {exit}\n{}",
                self.program.stderr()?
            );
        }
        Ok(())
    }

    /// The slot that it reads.
    pub(crate) fn slot() -> String {
        format!("outbox_{NAME}")
    }

    /// Where health, metrics and status are.
    pub(crate) fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number())
    }

    /// Its configuration.
    pub(crate) fn configuration(&self) -> &Path {
        &self.configuration
    }

    /// Where its log is.
    pub(crate) fn directory(&self) -> &Path {
        self.program.directory()
    }
}

fn toml(servers: &Servers, port: u16) -> String {
    format!(
        r#"[relay]
name = "{NAME}"

[postgres]
url = "{}?sslmode=disable"

{}
[http]
listen = "127.0.0.1:{port}"
"#,
        servers.url(RELAY_ROLE),
        servers.outlet.section(),
    )
}
