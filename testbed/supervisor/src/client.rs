//! The client side: asks the supervisor to start, signal and watch processes.

use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::error::Error;
use crate::exit::Exit;
use crate::locate;
use crate::protocol::{FINGERPRINT, Request, Signal, Target, join, split};
use crate::spawn::Spawn;

/// A frozen machine aside, every answer takes milliseconds.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A process that the supervisor started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Names the process to the supervisor; never used twice.
    pub id: u64,
    /// Its process id; it leads a process group of the same number.
    pub pid: u32,
}

/// A running supervisor. Everything it started ends when this value is dropped, or with the
/// process that holds it, however that ends.
#[derive(Debug)]
pub struct Supervisor {
    connection: Mutex<BufReader<UnixStream>>,
    child: Child,
}

impl Supervisor {
    /// Starts the supervisor: the binary beside the running executable, else one built with cargo.
    ///
    /// # Errors
    /// When there is no binary and none can be built.
    pub fn start() -> Result<Self, Error> {
        if let Some(binary) = locate::existing() {
            let supervisor = Self::start_binary(&binary)?;
            if supervisor.hello()? == FINGERPRINT.to_string() {
                return Ok(supervisor);
            }
        }
        let binary = locate::build()?;
        let supervisor = Self::start_binary(&binary)?;
        let found = supervisor.hello()?;
        if found != FINGERPRINT.to_string() {
            return Err(Error::new(format!(
                "{} is of another version (fingerprint {found}, expected {FINGERPRINT})",
                binary.display()
            )));
        }
        Ok(supervisor)
    }

    fn start_binary(binary: &Path) -> Result<Self, Error> {
        let fail = |error| Error::io(format!("{} cannot be started", binary.display()), error);
        // The kernel closes our end however this process ends: that is the whole trick.
        let (ours, theirs) = UnixStream::pair().map_err(fail)?;
        ours.set_read_timeout(Some(ANSWER_MAX)).map_err(fail)?;
        let child = Command::new(binary)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .map_err(fail)?;
        Ok(Self {
            connection: Mutex::new(BufReader::new(ours)),
            child,
        })
    }

    /// Starts a process in a process group of its own.
    ///
    /// # Errors
    /// When the program is not found, the user may not be changed or the output not be written.
    pub fn spawn(&self, spawn: &Spawn) -> Result<Process, Error> {
        let answer = self.ask(&Request::Spawn(spawn.clone()))?;
        let numbers: Vec<u64> = answer
            .iter()
            .skip(1)
            .filter_map(|n| n.parse().ok())
            .collect();
        match numbers.as_slice() {
            [id, pid] => Ok(Process {
                id: *id,
                pid: u32::try_from(*pid).unwrap_or_default(),
            }),
            _ => Err(Error::new(format!(
                "the supervisor answered {answer:?} to spawn"
            ))),
        }
    }

    /// How a process ended; `None` while it runs. After a kill of a tree it counts as running
    /// until the whole tree is gone.
    ///
    /// # Errors
    /// When the supervisor knows no such process or does not answer.
    pub fn exit(&self, id: u64) -> Result<Option<Exit>, Error> {
        let answer = self.ask(&Request::Status(id))?;
        let fields: Vec<&str> = answer.iter().map(String::as_str).collect();
        let number = |text: &str| {
            text.parse::<i32>()
                .map_err(|_| Error::new(format!("{text:?} is no exit status")))
        };
        match fields.as_slice() {
            ["running"] => Ok(None),
            ["exited", code] => Ok(Some(Exit::Code(number(code)?))),
            ["signaled", signal] => Ok(Some(Exit::Signal(number(signal)?))),
            _ => Err(Error::new(format!(
                "the supervisor answered {answer:?} to status"
            ))),
        }
    }

    /// Sends a signal; a process that is gone already is no error.
    ///
    /// # Errors
    /// When the supervisor knows no such process or does not answer.
    pub fn signal(&self, id: u64, signal: Signal, target: Target) -> Result<(), Error> {
        self.ask(&Request::Signal(id, signal, target)).map(drop)
    }

    /// Hands over a directory, which the supervisor deletes at its end.
    ///
    /// # Errors
    /// When the supervisor does not answer.
    pub fn own(&self, directory: &Path) -> Result<(), Error> {
        self.ask(&Request::Own(directory.to_owned())).map(drop)
    }

    /// Deletes a directory now.
    ///
    /// # Errors
    /// When it cannot be deleted; one that is not there is no error.
    pub fn delete(&self, directory: &Path) -> Result<(), Error> {
        self.ask(&Request::Delete(directory.to_owned())).map(drop)
    }

    /// The supervisor's own process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn hello(&self) -> Result<String, Error> {
        let answer = self.ask(&Request::Hello)?;
        Ok(answer.into_iter().nth(1).unwrap_or_default())
    }

    fn ask(&self, request: &Request) -> Result<Vec<String>, Error> {
        let fail = |error| Error::io("the supervisor does not answer", error);
        let line = format!("{}\n", request.encode()?);
        let mut answer = String::new();
        {
            let mut connection = self
                .connection
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            connection
                .get_mut()
                .write_all(line.as_bytes())
                .map_err(fail)?;
            connection.read_line(&mut answer).map_err(fail)?;
        }
        let fields = split(answer.trim_end_matches('\n'));
        match fields.split_first() {
            Some((first, rest)) if first == "error" => {
                Err(Error::new(join(rest).replace("\\n", "\n")))
            }
            Some((first, _)) if first.is_empty() => Err(Error::new("the supervisor is gone")),
            _ => Ok(fields),
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if let Ok(connection) = self.connection.lock() {
            let _ = connection.get_ref().shutdown(Shutdown::Both);
        }
        // It exits once everything it owned is gone, so whoever drops it finds a clean machine.
        let _ = self.child.wait();
    }
}
