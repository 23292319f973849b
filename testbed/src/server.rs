//! One supervised server process, whichever it is.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use testbed_supervisor::{Exit, Output, Process, Signal, Spawn, Target};

use crate::error::Error;
use crate::supervised::supervisor;
use crate::wait;

/// Longest wait for a killed tree to be gone; the kernel needs milliseconds.
const GONE_MAX: Duration = Duration::from_secs(30);
/// How much of a log an error quotes.
const LOG_LINES_QUOTED: usize = 30;

/// A program that is started again and again with the same command.
#[derive(Debug)]
pub(crate) struct Server {
    name: String,
    command: Spawn,
    log: PathBuf,
    process: Mutex<Option<Process>>,
}

impl Server {
    /// A server whose output goes to `log`.
    pub(crate) fn new(name: &str, command: Spawn, log: PathBuf) -> Self {
        let command = command.output(Output::File(log.clone()));
        Self {
            name: name.to_owned(),
            command,
            log,
            process: Mutex::new(None),
        }
    }

    /// A program whose results go to `output`, and everything else to `log`.
    pub(crate) fn with_output(name: &str, command: Spawn, output: PathBuf, log: PathBuf) -> Self {
        let command = command.output(Output::Files(output, log.clone()));
        Self {
            name: name.to_owned(),
            command,
            log,
            process: Mutex::new(None),
        }
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    pub(crate) fn pid(&self) -> Result<u32, Error> {
        Ok(self.process()?.pid)
    }

    /// Starts the process; it must not run.
    pub(crate) fn spawn(&self) -> Result<(), Error> {
        if self.exit()?.is_none() && self.process().is_ok() {
            return Err(Error::new(format!("{} runs already", self.name)));
        }
        let process = supervisor()?.spawn(&self.command)?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
        Ok(())
    }

    /// How it ended; `None` while it runs and before it was started.
    pub(crate) fn exit(&self) -> Result<Option<Exit>, Error> {
        match self.process() {
            Ok(process) => Ok(supervisor()?.exit(process.id)?),
            Err(_) => Ok(None),
        }
    }

    /// Fails, with the end of its log, when it has ended.
    pub(crate) fn still_runs(&self) -> Result<(), Error> {
        match self.exit()? {
            None => Ok(()),
            Some(exit) => Err(self.with_log(&Error::new(format!("{} ended: {exit}", self.name)))),
        }
    }

    pub(crate) fn signal(&self, signal: Signal, target: Target) -> Result<(), Error> {
        Ok(supervisor()?.signal(self.process()?.id, signal, target)?)
    }

    /// Waits until the process has ended.
    pub(crate) async fn ended(&self, deadline: Duration) -> Result<Exit, Error> {
        let what = format!("end of {} (pid {})", self.name, self.pid()?);
        // An error is no answer either; it comes again after the wait.
        let exit = async || self.exit().ok().flatten();
        wait::until_some(&what, deadline, exit)
            .await
            .map_err(|error| self.with_log(&error))
    }

    /// SIGKILL for the process and all its descendants; returns once they are gone.
    pub(crate) async fn kill(&self) -> Result<(), Error> {
        self.signal(Signal::Kill, Target::Tree)?;
        self.ended(GONE_MAX).await.map(drop)
    }

    /// Waits until `ready` holds; fails as soon as the process ends.
    pub(crate) async fn ready<F: Future<Output = Result<(), Error>>>(
        &self,
        deadline: Duration,
        mut ready: impl FnMut() -> F,
    ) -> Result<(), Error> {
        let last = Mutex::new(None);
        let what = format!("{} ready", self.name);
        let outcome = wait::until_some(&what, deadline, || {
            let answer = ready();
            async {
                if let Err(error) = self.still_runs() {
                    return Some(Err(error));
                }
                match answer.await {
                    Ok(()) => Some(Ok(())),
                    Err(error) => {
                        *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        None
                    }
                }
            }
        })
        .await;
        let last = last.into_inner().unwrap_or_else(PoisonError::into_inner);
        match (outcome, last) {
            (Ok(Ok(())), _) => Ok(()),
            (Ok(Err(error)), _) => Err(error),
            (Err(error), None) => Err(self.with_log(&error)),
            (Err(error), Some(last)) => {
                Err(self.with_log(&Error::new(format!("{error}; last seen: {last}"))))
            }
        }
    }

    fn process(&self) -> Result<Process, Error> {
        let process = *self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.ok_or_else(|| Error::new(format!("{} was not started", self.name)))
    }

    pub(crate) fn with_log(&self, error: &Error) -> Error {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines
            .get(lines.len().saturating_sub(LOG_LINES_QUOTED)..)
            .unwrap_or(&lines);
        Error::new(format!(
            "{error}; end of {}:\n{}",
            self.log.display(),
            tail.join("\n")
        ))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing to do about a failure here: the supervisor's end repeats it.
        let _ = self.signal(Signal::Kill, Target::Tree);
        if let (Ok(process), Ok(supervisor)) = (self.process(), supervisor()) {
            let deadline = std::time::Instant::now() + GONE_MAX;
            while matches!(supervisor.exit(process.id), Ok(None))
                && std::time::Instant::now() < deadline
            {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

/// Runs a command to its end, as the given user, and returns an error with its output otherwise.
pub(crate) async fn run_to_end(
    what: &'static str,
    command: Spawn,
    log: &Path,
    deadline: Duration,
) -> Result<(), Error> {
    let server = Server::new(what, command, log.to_owned());
    server.spawn()?;
    let exit = server.ended(deadline).await?;
    if exit.success() {
        return Ok(());
    }
    Err(server.with_log(&Error::new(format!("{what} failed: {exit}"))))
}
