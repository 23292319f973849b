//! The nightly compiler and cargo-fuzz, which only fuzzing needs.

use std::process::Command;

use testbed_supervisor::{Exit, Output};

use crate::failure::Failure;
use crate::packages;
use crate::run::{Runner, say};

const NIGHTLY: &str = "nightly";

/// cargo-fuzz by a nightly cargo.
pub(super) struct Toolchain {
    cargo: String,
}

impl Toolchain {
    /// Finds both, or says how to install what is missing.
    pub(super) fn find() -> Result<Self, Failure> {
        let mut which = Command::new("rustup");
        which.args(["which", "--toolchain", NIGHTLY, "cargo"]);
        let output = which.output().ok().filter(|output| output.status.success());
        let cargo = output.and_then(|output| String::from_utf8(output.stdout).ok());
        let Some(cargo) = cargo else {
            return Err(Failure::new(
                "fuzzing needs a nightly compiler: rustup toolchain install nightly --profile \
                 minimal",
            ));
        };
        if !packages::in_path("cargo-fuzz") {
            return Err(Failure::new(
                "fuzzing needs cargo-fuzz: cargo install --locked cargo-fuzz",
            ));
        }
        let cargo = cargo.trim().to_owned();
        Ok(Self { cargo })
    }

    /// Licences and sources of what the fuzzer brings, by the workspace's rules. They are looked at here
    /// and not with every test: only this fetches them.
    pub(super) fn check_dependencies(&self, runner: &Runner) -> Result<(), Failure> {
        if !packages::in_path("cargo-deny") {
            say("==> cargo deny is skipped; to run it: cargo install --locked cargo-deny");
            return Ok(());
        }
        // It finds the workspace's deny.toml in the folder above.
        let deny = ["deny", "--manifest-path", "fuzz/Cargo.toml", "check"];
        runner.cargo(&[&deny[..], &["bans", "licenses", "sources"]].concat())
    }

    /// Builds a target.
    pub(super) fn build(&self, runner: &Runner, target: &str) -> Result<(), Failure> {
        self.succeed(runner, &["build", target])
    }

    /// Leaves of a target's corpus what reaches all that the whole of it reaches, in small files.
    pub(super) fn minimise(
        &self,
        runner: &Runner,
        target: &str,
        limit: &str,
    ) -> Result<(), Failure> {
        // By what is reached, not by how often: that would keep ten times as many.
        self.succeed(runner, &["cmin", target, "--", "-use_counters=0", limit])
    }

    fn succeed(&self, runner: &Runner, arguments: &[&str]) -> Result<(), Failure> {
        let exit = self.fuzz(runner, arguments, Output::Inherit)?;
        if exit.success() {
            return Ok(());
        }
        let line = ["cargo", "fuzz"].iter().chain(arguments).copied();
        Err(Failure::of_program(
            &line.collect::<Vec<_>>().join(" "),
            exit,
        ))
    }

    /// Runs cargo-fuzz. The cargo that runs us has left its own name and toolchain in the environment.
    pub(super) fn fuzz(
        &self,
        runner: &Runner,
        arguments: &[&str],
        output: Output,
    ) -> Result<Exit, Failure> {
        let environment = [
            ("CARGO", self.cargo.as_str()),
            ("RUSTUP_TOOLCHAIN", NIGHTLY),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let arguments = [&["fuzz"], arguments].concat();
        runner.exit_of(&self.cargo, &arguments, &environment, output)
    }
}
