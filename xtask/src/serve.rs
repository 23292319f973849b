//! One PostgreSQL and one Kafka for all test binaries of a run.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::failure::Failure;
use crate::run::{Runner, cargo, say, workspace};

/// Running servers; they end when this is dropped, or xtask ends.
#[derive(Debug)]
pub(crate) struct Servers {
    child: Child,
    variables: Vec<(String, String)>,
}

impl Servers {
    /// Starts `testbed serve` and waits for what it prints. Servers that the environment names
    /// already are used by the tests themselves, and make it needless.
    pub(crate) fn start(runner: &Runner) -> Result<Self, Failure> {
        runner.cargo(&[
            "build",
            "--quiet",
            "--package",
            "testbed",
            "--bin",
            "testbed",
        ])?;
        say("==> testbed serve");
        let fail = |error| Failure::new(format!("testbed serve cannot be started: {error}"));
        // Standard input stays open as long as we live: that is how it knows.
        let mut child = Command::new(cargo())
            .args([
                "run",
                "--quiet",
                "--package",
                "testbed",
                "--bin",
                "testbed",
                "--",
                "serve",
            ])
            .current_dir(workspace()?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(fail)?;
        let output = child
            .stdout
            .take()
            .ok_or_else(|| Failure::new("no output to read"))?;
        let mut variables = Vec::new();
        for line in BufReader::new(output).lines() {
            let line = line.map_err(fail)?;
            match line.split_once('=') {
                Some((name, value)) => variables.push((name.to_owned(), value.to_owned())),
                // An empty line ends the list.
                None => return Ok(Self { child, variables }),
            }
        }
        let status = child.wait().map_err(fail)?;
        Err(Failure::new(format!("testbed serve ended: {status}")))
    }

    /// The variables that name the servers to the tests. What the caller has set already wins.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let unset = |(name, _): &&(String, String)| std::env::var_os(name).is_none();
        self.variables.iter().filter(unset).cloned().collect()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
