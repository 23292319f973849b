//! The program: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(outbox_sidecar::cli::main())
}
