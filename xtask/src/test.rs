//! `cargo xtask test`: every check, then every test.

use crate::failure::Failure;
use crate::features;
use crate::packages;
use crate::postgres;
use crate::programs;
use crate::rabbitmq;
use crate::run::{Runner, cargo, say};
use crate::serve::Servers;

/// Which tests run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    /// All but the long runs.
    Ordinary,
    /// All.
    Long,
    /// All but the long runs, on each version of PostgreSQL.
    AllVersions,
}

pub(crate) fn run(tier: Tier) -> Result<(), Failure> {
    let runner = Runner::start()?;
    programs::provision_with(&runner)?;
    checks(&runner)?;
    let servers = Servers::start(&runner)?;
    let tests = tests(tier, &runner, &servers);
    servers.close(tests)
}

fn tests(tier: Tier, runner: &Runner, servers: &Servers) -> Result<(), Failure> {
    let features = features::all(tier == Tier::Long)?;
    let features = match features.as_str() {
        "" => vec![],
        features => vec!["--features", features],
    };
    let arguments = [&["test", "--workspace"], &features[..]].concat();
    let mut variables = servers.variables();
    variables.extend(threads());
    runner.run(&cargo(), &arguments, &variables)?;
    match tier {
        Tier::Ordinary => postgres::test_some(runner, &features, &variables),
        Tier::Long => {
            postgres::test_some(runner, &features, &variables)?;
            rabbitmq::test_version_4(runner, &features, servers.variables())
        }
        Tier::AllVersions => postgres::test_all(runner, &features, &variables),
    }
}

/// Tests at a time for each processor: they wait for servers most of their time.
const THREADS_PER_PROCESSOR: usize = 2;

/// How many tests run at a time, unless the caller has said so.
fn threads() -> Option<(String, String)> {
    const NAME: &str = "RUST_TEST_THREADS";
    let processors = std::thread::available_parallelism().ok()?;
    let threads = processors.get() * THREADS_PER_PROCESSOR;
    let unset = std::env::var_os(NAME).is_none();
    unset.then(|| (NAME.to_owned(), threads.to_string()))
}

fn checks(runner: &Runner) -> Result<(), Failure> {
    runner.cargo(&["fmt", "--all", "--check"])?;
    // A package of its own; what it calls is compiled with the tests.
    runner.cargo(&["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"])?;
    let all = ["--workspace", "--all-targets", "--all-features"];
    runner.cargo(&[&["clippy"], &all[..], &["--", "-D", "warnings"]].concat())?;
    let denied = [("RUSTDOCFLAGS".to_owned(), "-D warnings".to_owned())];
    let doc = ["doc", "--workspace", "--all-features", "--no-deps"];
    runner.run(&cargo(), &doc, &denied)?;
    if packages::in_path("cargo-deny") {
        // Offline: advisories need a database from the network, the rest does not.
        let deny = [
            "deny",
            "--offline",
            "--all-features",
            "check",
            "bans",
            "licenses",
            "sources",
        ];
        runner.cargo(&deny)
    } else {
        say("==> cargo deny is skipped; to run it: cargo install --locked cargo-deny");
        Ok(())
    }
}
