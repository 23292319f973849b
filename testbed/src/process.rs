//! A program under test: the sidecar, an example, a small service.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use testbed_supervisor::{Exit, Signal, Spawn, Target};

use crate::canary::Printed;
use crate::directory::RunDirectory;
use crate::error::Error;
use crate::server::Server;
use crate::wait;

/// A program that the supervisor runs; dropped, it is killed.
///
/// Standard output and standard error go to a file each, which later runs append to. They are searched
/// when the program is dropped, which panics where they show a password
/// ([`CANARY`](crate::CANARY)).
///
/// ```no_run
/// # use std::time::Duration;
/// # async fn example(sidecar: &str) -> Result<(), testbed::Error> {
/// use testbed::{Program, Spawn};
///
/// let relay = Program::start("relay", Spawn::new(sidecar).args(["run", "-c", "outbox.toml"]))?;
/// relay.logged("active", Duration::from_secs(30), |line| line["message"] == "active").await?;
/// relay.kill().await?;
/// relay.restart()?;
/// relay.terminate()?;
/// assert_eq!(relay.exited(Duration::from_secs(30)).await?.code(), Some(0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Program {
    // In the order in which they are dropped: the end, what was printed until then, its files.
    server: Server,
    _printed: Printed,
    output: PathBuf,
    directory: RunDirectory,
}

impl Program {
    /// Starts a program; `name` stands in errors and in the name of its directory. The output set
    /// in `command` is replaced; without a directory set, it runs in that of this process.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(name: &str, command: Spawn) -> Result<Self, Error> {
        let directory = RunDirectory::create(name, None)?;
        let output = directory.path().join("stdout");
        let log = directory.path().join("stderr");
        let printed = Printed::to([output.clone(), log.clone()]);
        let server = Server::with_output(name, command, output.clone(), log);
        let program = Self {
            server,
            _printed: printed,
            output,
            directory,
        };
        program.restart()?;
        Ok(program)
    }

    /// Starts the ended program again, with the same command and files.
    ///
    /// # Errors
    /// When it runs, or cannot be started.
    pub fn restart(&self) -> Result<(), Error> {
        self.server.spawn()
    }

    /// The process id of the last start.
    ///
    /// # Errors
    /// When the program was never started.
    pub fn pid(&self) -> Result<u32, Error> {
        self.server.pid()
    }

    /// A directory of the program's own, gone when this value is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// How the program ended; `None` while it runs.
    ///
    /// # Errors
    /// When the supervisor does not answer.
    pub fn exit(&self) -> Result<Option<Exit>, Error> {
        self.server.exit()
    }

    /// Waits until the program has ended, and says how.
    ///
    /// # Errors
    /// When it has not within `deadline`; the error quotes the end of its log.
    pub async fn exited(&self, deadline: Duration) -> Result<Exit, Error> {
        self.server.ended(deadline).await
    }

    /// Waits until `ready` returns no error.
    ///
    /// # Errors
    /// When it still does after `deadline`, or the program ends; the error quotes the end of its
    /// log.
    pub async fn ready<F: Future<Output = Result<(), Error>>>(
        &self,
        deadline: Duration,
        ready: impl FnMut() -> F,
    ) -> Result<(), Error> {
        self.server.ready(deadline, ready).await
    }

    /// SIGTERM: asks the program to drain and end.
    ///
    /// # Errors
    /// When the supervisor does not answer.
    pub fn terminate(&self) -> Result<(), Error> {
        self.server.signal(Signal::Terminate, Target::Process)
    }

    /// SIGKILL; returns once the program is gone.
    ///
    /// # Errors
    /// When it is not gone within half a minute.
    pub async fn kill(&self) -> Result<(), Error> {
        self.server.kill().await
    }

    /// SIGSTOP: connections stay open, nothing is read or written.
    ///
    /// # Errors
    /// When the supervisor does not answer.
    pub fn freeze(&self) -> Result<(), Error> {
        self.server.signal(Signal::Stop, Target::Tree)
    }

    /// Ends a [`freeze`](Self::freeze).
    ///
    /// # Errors
    /// When the supervisor does not answer.
    pub fn thaw(&self) -> Result<(), Error> {
        self.server.signal(Signal::Continue, Target::Tree)
    }

    /// What it has written to standard output so far, in all its runs.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn stdout(&self) -> Result<String, Error> {
        read(&self.output)
    }

    /// What it has written to standard error so far, in all its runs.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn stderr(&self) -> Result<String, Error> {
        read(self.server.log())
    }

    /// The lines of standard error that are JSON objects, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn log(&self) -> Result<Vec<Value>, Error> {
        let text = self.stderr()?;
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        Ok(lines.filter(Value::is_object).collect())
    }

    /// Waits for a JSON line of standard error for which `matches` holds, and returns it.
    ///
    /// # Errors
    /// When there is none within `deadline`, or the program ends without one; the error quotes the
    /// end of its log.
    pub async fn logged(
        &self,
        what: &str,
        deadline: Duration,
        matches: impl Fn(&Value) -> bool,
    ) -> Result<Value, Error> {
        let look = || async {
            // The end first: what was written before it must still be read.
            let ended = self.exit().ok().flatten();
            let found = self
                .log()
                .unwrap_or_default()
                .into_iter()
                .find(|line| matches(line));
            match (found, ended) {
                (Some(line), _) => Some(Ok(line)),
                (None, Some(exit)) => Some(Err(Error::new(format!(
                    "{what}: the program ended first, {exit}"
                )))),
                (None, None) => None,
            }
        };
        let line = wait::until_some(what, deadline, look)
            .await
            .and_then(|found| found);
        line.map_err(|error| self.server.with_log(&error))
    }
}

fn read(path: &Path) -> Result<String, Error> {
    let bytes = std::fs::read(path)
        .map_err(Error::because(format!("{} cannot be read", path.display())))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A binary of this workspace that was built into the folder of the running executable.
///
/// # Errors
/// When it was not built; the error names the command.
pub fn beside_this_executable(name: &str) -> Result<PathBuf, Error> {
    let executable =
        std::env::current_exe().map_err(Error::because("the running executable is not known"))?;
    // Tests and examples lie one folder deeper.
    let candidates = executable
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name));
    candidates
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| {
            Error::new(format!(
                "{name} is not beside {}; build it first: cargo build -p {name}",
                executable.display()
            ))
        })
}
