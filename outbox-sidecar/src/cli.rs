//! The command line: arguments, one call, what is printed.

mod actor;
mod arguments;
mod asking_arguments;
mod check;
mod config;
mod confirm;
mod described;
mod error;
mod exit_help;
mod init;
mod progress_line;
mod redeliver;
mod remove;
mod run;
mod status;
mod stuck;
mod verify;
mod words;

use std::io::Write as _;

use clap::Parser;
use clap::error::{ContextKind, ContextValue};

use self::arguments::{Arguments, Command};
pub(crate) use self::error::CliError;
use crate::config::{Layers, MASK, Overrides, Settings};
use crate::exit::ExitCode;

/// Ends a process in which a thread has panicked.
pub fn exit_after_panic() -> ! {
    eprint(
        "outbox-sidecar: a thread panicked: this is a bug, and the process ends; please report it",
    );
    std::process::exit(i32::from(ExitCode::Failed.number()))
}

/// Runs one command line and returns the exit code.
#[must_use]
pub fn main() -> u8 {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(mut usage) => {
            hide_what_may_be_secret(&mut usage);
            // Help and version are no errors, and go to stdout.
            let code = if usage.use_stderr() {
                ExitCode::Usage
            } else {
                ExitCode::Done
            };
            let _ = usage.print();
            return code.number();
        }
    };
    match execute(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprint(&format!("outbox-sidecar: {error}"));
            error.exit_code()
        }
    }
}

/// Arguments that are not understood are not repeated where they may be an address or a setting.
fn hide_what_may_be_secret(usage: &mut clap::Error) {
    for kind in [
        ContextKind::InvalidArg,
        ContextKind::InvalidSubcommand,
        ContextKind::InvalidValue,
    ] {
        if let Some(ContextValue::String(said)) = usage.get(kind)
            && said.contains(['@', ':', '/'])
        {
            let _ = usage.insert(kind, ContextValue::String(MASK.to_owned()));
        }
    }
}

fn execute(arguments: Arguments) -> Result<u8, CliError> {
    let overrides = Overrides {
        file: arguments.config,
        values: arguments.set,
    };
    let layers = Layers::read(&overrides, variables())?;
    if let Command::Config(command) = arguments.command {
        return config::execute(&command, &layers).map(ExitCode::number);
    }
    let settings = Settings::read(&layers)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    let code = match arguments.command {
        Command::Run => runtime.block_on(run::execute(settings)),
        Command::Init(command) => runtime.block_on(init::execute(&command, &settings)),
        Command::Check(command) => runtime.block_on(check::execute(&command, &settings)),
        Command::Status(command) => runtime.block_on(status::execute(&command, &settings)),
        Command::Stuck(command) => runtime.block_on(stuck::execute(command, &settings)),
        Command::Redeliver(command) => runtime.block_on(redeliver::execute(&command, &settings)),
        Command::Verify(command) => runtime.block_on(verify::execute(&command, &settings)),
        Command::Remove(command) => runtime.block_on(remove::execute(&command, &settings)),
        Command::Config(_) => Ok(ExitCode::Done.number()),
    };
    // Threads that wait for a server that is away must not hold up the end.
    runtime.shutdown_background();
    code
}

/// Threads for everything but the replication stream and the sink, which have their own.
const WORKERS: usize = 1;

/// The environment. Variables that are no text are none of ours.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Results go to stdout. A reader that has seen enough (`| head`) is no error.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

/// Everything else goes to stderr.
fn eprint(text: &str) {
    if !text.is_empty() {
        let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
    }
}
