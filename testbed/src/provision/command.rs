//! The ordinary programs that provisioning uses.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testbed_supervisor::Spawn;

use crate::error::Error;
use crate::server::Server;

/// How often a program that runs is looked at.
const POLL: Duration = Duration::from_millis(50);

/// The program in PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| {
            file.metadata()
                .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        })
}

/// The program in PATH, or an error that names the package it comes with.
pub(crate) fn require(program: &str, package: &str) -> Result<PathBuf, Error> {
    find(program).ok_or_else(|| {
        Error::new(format!(
            "{program} is not installed; on Debian or Ubuntu: apt-get install {package}"
        ))
    })
}

/// Runs a program in a folder to its end; its output becomes the error's text when it fails.
pub(super) fn run(program: &Path, arguments: &[&str], folder: &Path) -> Result<(), Error> {
    let line = format!("{} {}", program.display(), arguments.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(Error::because(format!("`{line}` cannot be started")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::new(format!(
        "`{line}` failed ({}):\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )))
}

/// Runs a program to its end under the supervisor: it ends with this process, and so does all that it
/// has started. Its output goes to `log`, the end of which becomes the error's text when it fails.
pub(super) fn run_supervised(
    name: &str,
    command: Spawn,
    log: &Path,
    deadline: Duration,
) -> Result<(), Error> {
    let server = Server::new(name, command, log.to_owned());
    server.spawn()?;
    let end = Instant::now() + deadline;
    loop {
        match server.exit()? {
            Some(exit) if exit.success() => return Ok(()),
            Some(exit) => {
                return Err(server.with_log(&Error::new(format!("{name} failed: {exit}"))));
            }
            None if Instant::now() >= end => {
                let late = Error::new(format!("{name} has not ended within {deadline:?}"));
                return Err(server.with_log(&late));
            }
            None => std::thread::sleep(POLL),
        }
    }
}
