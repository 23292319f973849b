//! The commands that run one program of the workspace.

use crate::failure::Failure;
use crate::packages;
use crate::rabbitmq;
use crate::run::{Runner, cargo};

/// `cargo xtask provision`.
pub(crate) fn provision() -> Result<(), Failure> {
    provision_with(&Runner::start()?)
}

/// Installs or names what is missing, then fills the cache.
pub(crate) fn provision_with(runner: &Runner) -> Result<(), Failure> {
    packages::ensure(runner)?;
    if rabbitmq::version_4_is_asked_for() {
        packages::ensure_for_rabbitmq_4(runner)?;
    }
    fill_cache(runner, &[])
}

/// Installs or names what RabbitMQ 4 needs, then fills the cache with it; `asked` is the variable that
/// asks for it.
pub(crate) fn provision_rabbitmq_4(
    runner: &Runner,
    asked: &(String, String),
) -> Result<(), Failure> {
    packages::ensure_for_rabbitmq_4(runner)?;
    fill_cache(runner, std::slice::from_ref(asked))
}

pub(crate) fn fill_cache(runner: &Runner, environment: &[(String, String)]) -> Result<(), Failure> {
    let provision = [
        "run",
        "--package",
        "testbed",
        "--bin",
        "testbed",
        "--",
        "provision",
    ];
    runner.run(&cargo(), &provision, environment)
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
