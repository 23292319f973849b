//! Runs programs so that none of them outlives xtask.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use testbed_supervisor::{Exit, Output, Spawn, Supervisor};

use crate::failure::Failure;

const POLL: Duration = Duration::from_millis(20);

/// Runs programs one after the other, each in the workspace's folder.
///
/// They run under the supervisor: Ctrl-C ends xtask, as does SIGKILL, and the end of xtask ends
/// them with everything they started.
#[derive(Debug)]
pub(crate) struct Runner {
    supervisor: Supervisor,
}

impl Runner {
    pub(crate) fn start() -> Result<Self, Failure> {
        Ok(Self {
            supervisor: Supervisor::start()?,
        })
    }

    /// Runs a program to its end; its output goes where ours goes.
    pub(crate) fn run(
        &self,
        program: &str,
        arguments: &[&str],
        environment: &[(String, String)],
    ) -> Result<(), Failure> {
        let line = [&[program], arguments].concat().join(" ");
        let exit = self.exit_of(program, arguments, environment, Output::Inherit)?;
        if exit.success() {
            Ok(())
        } else {
            Err(Failure::of_program(&line, exit))
        }
    }

    /// Runs a program to its end, whatever that is.
    pub(crate) fn exit_of(
        &self,
        program: &str,
        arguments: &[&str],
        environment: &[(String, String)],
        output: Output,
    ) -> Result<Exit, Failure> {
        let name = Path::new(program).file_name().and_then(OsStr::to_str);
        let line = [&[name.unwrap_or(program)], arguments].concat();
        say(&format!("==> {}", line.join(" ")));
        let mut spawn = Spawn::new(program)
            .args(arguments.iter().copied())
            .directory(workspace()?)
            .output(output);
        for (name, value) in environment {
            spawn = spawn.env(name, value);
        }
        let process = self.supervisor.spawn(&spawn)?;
        loop {
            match self.supervisor.exit(process.id)? {
                Some(exit) => return Ok(exit),
                None => std::thread::sleep(POLL),
            }
        }
    }

    /// Runs cargo, the one that runs us.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Result<(), Failure> {
        self.run(&cargo(), arguments, &[])
    }
}

/// The cargo that runs us.
pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// The workspace's folder.
pub(crate) fn workspace() -> Result<PathBuf, Failure> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    folder
        .map(Path::to_owned)
        .ok_or_else(|| Failure::new("the workspace has no folder"))
}

/// Prints a line; a reader that went away is no reason to stop.
pub(crate) fn say(line: &str) {
    let mut output = std::io::stdout();
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}
