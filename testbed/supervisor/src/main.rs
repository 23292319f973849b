//! The process that owns what tests start. See the library's documentation.

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    match testbed_supervisor::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "testbed-supervisor: {error}");
            ExitCode::FAILURE
        }
    }
}
