//! The commands that run one program of the workspace.

use crate::failure::Failure;
use crate::packages;
use crate::run::Runner;

/// `cargo xtask provision`.
pub(crate) fn provision() -> Result<(), Failure> {
    provision_with(&Runner::start()?)
}

/// Installs or names what is missing, then fills the cache.
pub(crate) fn provision_with(runner: &Runner) -> Result<(), Failure> {
    packages::ensure(runner)?;
    runner.cargo(&[
        "run",
        "--quiet",
        "--package",
        "testbed",
        "--bin",
        "testbed",
        "--",
        "provision",
    ])
}

/// `cargo xtask demo`.
pub(crate) fn demo(arguments: &[&str]) -> Result<(), Failure> {
    release("outbox-examples", "demo", arguments)
}

/// `cargo xtask bench`.
pub(crate) fn bench(name: &str, arguments: &[&str]) -> Result<(), Failure> {
    release("outbox-benches", name, arguments)
}

/// Builds the sidecar and the program's package in release, then runs the program.
fn release(package: &str, binary: &str, arguments: &[&str]) -> Result<(), Failure> {
    let runner = Runner::start()?;
    provision_with(&runner)?;
    let packages = [
        "--package",
        "outbox-sidecar",
        "--package",
        "testbed-supervisor",
    ];
    let build = [&["build", "--release", "--package", package], &packages[..]].concat();
    runner.cargo(&build)?;
    let run = [
        "run",
        "--quiet",
        "--release",
        "--package",
        package,
        "--bin",
        binary,
        "--",
    ];
    runner.cargo(&[&run[..], arguments].concat())
}
