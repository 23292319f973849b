//! The orders service.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use testbed::{Error, Program, Spawn, beside_this_executable};

use crate::servers::{DESTINATION, SERVICE_ROLE, Servers};

const START_MAX: Duration = Duration::from_secs(60);

/// The running service; dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Service {
    program: Program,
    pub(crate) address: SocketAddr,
}

impl Service {
    /// Starts it, and waits until it listens.
    pub(crate) async fn start(servers: &Servers) -> anyhow::Result<Self> {
        let binary = beside_this_executable("orders")?;
        let command = Spawn::new(binary.to_string_lossy())
            .args(["--listen", "127.0.0.1:0", "--destination", DESTINATION])
            .args(["--database-url", &servers.url(SERVICE_ROLE)]);
        let program = Program::start("orders", command)?;
        let listens = async || match address(&program.stdout()?) {
            Some(_) => Ok(()),
            None => Err(Error::new("no address printed yet")),
        };
        program.ready(START_MAX, listens).await?;
        let address = address(&program.stdout()?).context("orders printed no address")?;
        Ok(Self { program, address })
    }

    /// Where its log is.
    pub(crate) fn directory(&self) -> &std::path::Path {
        self.program.directory()
    }
}

/// The service prints one line of JSON once it listens.
fn address(output: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(output.lines().next()?).ok()?;
    line.get("listening")?.as_str()?.parse().ok()
}
