//! What the supervisor process does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal as UnixSignal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::error::Error;
use crate::exit::Exit;
use crate::process_tree::descendants;
use crate::protocol::{FINGERPRINT, Request, Signal, Target, join};
use crate::spawn::{Output, Spawn};

/// How long the end of everything may take before the supervisor gives up on it.
const CLEANUP_MAX: Duration = Duration::from_secs(20);

/// Serves the socket on standard input until it closes, then ends everything it owns.
///
/// # Errors
/// When standard input is no socket, or the process cannot detach from the terminal.
pub fn run() -> Result<(), Error> {
    detach()?;
    let socket = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map(UnixStream::from)
        .map_err(|error| Error::io("standard input of the supervisor is not usable", error))?;
    let mut answers = socket
        .try_clone()
        .map_err(|error| Error::io("standard input of the supervisor is not a socket", error))?;
    let mut owned = Owned::default();
    for line in BufReader::new(socket).lines() {
        // A read error means the same as the end: nobody is there to be served.
        let Ok(line) = line else { break };
        owned.reap();
        let answer = match Request::decode(&line).and_then(|request| owned.perform(request)) {
            Ok(fields) => fields,
            Err(error) => vec!["error".to_owned(), error.to_string()],
        };
        if writeln!(answers, "{}", join(&answer)).is_err() {
            break;
        }
    }
    owned.end();
    Ok(())
}

/// Leaves the terminal's session and outlives its signals; orphans of our processes become ours.
fn detach() -> Result<(), Error> {
    nix::unistd::setsid().map_err(|error| Error::io("setsid failed", error.into()))?;
    for signal in [
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGHUP,
        signal_hook::consts::SIGQUIT,
    ] {
        // A handler that does nothing, rather than "ignore": exec resets a handler, while an
        // ignored signal would stay ignored in every process started here.
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))
            .map_err(|error| Error::io("a signal handler cannot be set", error))?;
    }
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)
        .map_err(|error| Error::io("cannot become a subreaper", error.into()))?;
    Ok(())
}

#[derive(Debug)]
struct Owner {
    pid: i32,
    exit: Option<Exit>,
    /// Descendants at the time of a kill: the process counts as gone only when they are gone too.
    doomed: Vec<i32>,
}

#[derive(Debug, Default)]
struct Owned {
    processes: BTreeMap<u64, Owner>,
    directories: BTreeSet<PathBuf>,
    next_id: u64,
}

impl Owned {
    fn perform(&mut self, request: Request) -> Result<Vec<String>, Error> {
        match request {
            Request::Hello => Ok(vec!["ok".to_owned(), FINGERPRINT.to_string()]),
            Request::Spawn(spawn) => self.spawn(&spawn),
            Request::Status(id) => Ok(self.process(id)?.status()),
            Request::Signal(id, signal, target) => {
                self.process(id)?.signal(signal, target)?;
                Ok(vec!["ok".to_owned()])
            }
            Request::Own(directory) => {
                self.directories.insert(directory);
                Ok(vec!["ok".to_owned()])
            }
            Request::Delete(directory) => {
                delete(&directory)?;
                self.directories.remove(&directory);
                Ok(vec!["ok".to_owned()])
            }
        }
    }

    fn process(&mut self, id: u64) -> Result<&mut Owner, Error> {
        self.processes
            .get_mut(&id)
            .ok_or_else(|| Error::new(format!("no process has id {id}")))
    }

    fn spawn(&mut self, spawn: &Spawn) -> Result<Vec<String>, Error> {
        let (program, arguments) = spawn
            .argv
            .split_first()
            .ok_or_else(|| Error::new("nothing to start"))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .process_group(0);
        if spawn.env_clear {
            command.env_clear();
        }
        command.envs(spawn.env.iter().map(|(name, value)| (name, value)));
        if let Some((uid, gid)) = spawn.user {
            command.uid(uid).gid(gid);
        }
        if let Some(directory) = &spawn.directory {
            command.current_dir(directory);
        }
        match &spawn.output {
            Output::Discard => command.stdout(Stdio::null()).stderr(Stdio::null()),
            Output::Inherit => command.stdout(Stdio::inherit()).stderr(Stdio::inherit()),
            Output::File(path) => command.stdout(append(path)?).stderr(append(path)?),
            Output::Files(output, error) => command.stdout(append(output)?).stderr(append(error)?),
        };
        let child = command
            .spawn()
            .map_err(|error| Error::io(format!("{program} cannot be started"), error))?;
        let pid = i32::try_from(child.id())
            .map_err(|_| Error::new(format!("pid {} is out of range", child.id())))?;
        let id = self.next_id;
        self.next_id += 1;
        self.processes.insert(
            id,
            Owner {
                pid,
                exit: None,
                doomed: Vec::new(),
            },
        );
        Ok(vec!["ok".to_owned(), id.to_string(), pid.to_string()])
    }

    /// Collects every child that ended, orphans that became ours included.
    fn reap(&mut self) {
        loop {
            let (pid, exit) = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Exit::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Exit::Signal(signal as i32)),
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(_) => return,
            };
            let of_pid = |owner: &&mut Owner| owner.pid == pid.as_raw() && owner.exit.is_none();
            if let Some(owner) = self.processes.values_mut().find(of_pid) {
                owner.exit = Some(exit);
            }
        }
    }

    /// Kills everything that was ever started and is not gone, then deletes the directories.
    fn end(mut self) {
        let deadline = Instant::now() + CLEANUP_MAX;
        while Instant::now() < deadline {
            self.reap();
            for owner in self.processes.values().filter(|owner| owner.exit.is_none()) {
                // An error means that it is gone already.
                let _ = killpg(Pid::from_raw(owner.pid), UnixSignal::SIGKILL);
            }
            let own_pid = Pid::this().as_raw();
            let rest = descendants(own_pid).unwrap_or_default();
            for pid in &rest {
                let _ = kill(Pid::from_raw(*pid), UnixSignal::SIGKILL);
            }
            if rest.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        for directory in &self.directories {
            if let Err(error) = delete(directory) {
                let _ = writeln!(io::stderr(), "testbed-supervisor: {error}");
            }
        }
    }
}

impl Owner {
    fn status(&mut self) -> Vec<String> {
        // Signal 0 only asks whether the process is there.
        self.doomed
            .retain(|pid| kill(Pid::from_raw(*pid), None).is_ok());
        match self.exit {
            Some(_) if !self.doomed.is_empty() => vec!["running".to_owned()],
            Some(Exit::Code(code)) => vec!["exited".to_owned(), code.to_string()],
            Some(Exit::Signal(number)) => vec!["signaled".to_owned(), number.to_string()],
            None => vec!["running".to_owned()],
        }
    }

    fn signal(&mut self, signal: Signal, target: Target) -> Result<(), Error> {
        if self.exit.is_some() {
            return Ok(());
        }
        let number = match signal {
            Signal::Hangup => UnixSignal::SIGHUP,
            Signal::Interrupt => UnixSignal::SIGINT,
            Signal::Quit => UnixSignal::SIGQUIT,
            Signal::Terminate => UnixSignal::SIGTERM,
            Signal::Kill => UnixSignal::SIGKILL,
            Signal::Stop => UnixSignal::SIGSTOP,
            Signal::Continue => UnixSignal::SIGCONT,
        };
        if target == Target::Tree {
            if signal == Signal::Kill {
                // Frozen first: it must not start another child between the count and the kill.
                send(self.pid, UnixSignal::SIGSTOP)?;
            }
            let tree = descendants(self.pid)
                .map_err(|error| Error::io("the process table cannot be read", error))?;
            for pid in &tree {
                send(*pid, number)?;
            }
            if signal == Signal::Kill {
                self.doomed.extend(tree);
            }
        }
        send(self.pid, number)
    }
}

fn send(pid: i32, signal: UnixSignal) -> Result<(), Error> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(Error::io(
            format!("{signal} cannot be sent to {pid}"),
            error.into(),
        )),
    }
}

fn append(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|error| Error::io(format!("{} cannot be opened", path.display()), error))
}

fn delete(directory: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(
            format!("{} cannot be deleted", directory.display()),
            error,
        )),
        _ => Ok(()),
    }
}
