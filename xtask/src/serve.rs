//! One PostgreSQL and one Kafka for all test binaries of a run.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::failure::Failure;
use crate::run::{Runner, cargo, say, workspace};

/// Running servers; they end when this is dropped, or xtask ends.
#[derive(Debug)]
pub(crate) struct Servers {
    child: Child,
    output: BufReader<ChildStdout>,
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
        let mut output = BufReader::new(output);
        let mut variables = Vec::new();
        for line in output.by_ref().lines() {
            let line = line.map_err(fail)?;
            match line.split_once('=') {
                Some((name, value)) => variables.push((name.to_owned(), value.to_owned())),
                // An empty line ends the list.
                None => {
                    return Ok(Self {
                        child,
                        output,
                        variables,
                    });
                }
            }
        }
        let status = child.wait().map_err(fail)?;
        Err(Failure::new(format!("testbed serve ended: {status}")))
    }

    /// Ends the servers. Where one of them had ended by itself, that is why tests failed, and is added
    /// to what they said.
    pub(crate) fn close(mut self, tests: Result<(), Failure>) -> Result<(), Failure> {
        drop(self.child.stdin.take());
        let mut why = String::new();
        // What cannot be read was not said.
        let _ = self.output.read_to_string(&mut why);
        match tests {
            Err(failure) if !why.is_empty() => {
                Err(failure.after(&format!("a server that all tests share has ended: {why}")))
            }
            tests => tests,
        }
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
