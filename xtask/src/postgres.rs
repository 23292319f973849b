//! The versions of PostgreSQL beside the default.

use crate::failure::Failure;
use crate::programs;
use crate::run::{Runner, cargo, say};

/// Tells the test bed which PostgreSQL to run.
const VARIABLE: &str = "OUTBOX_TEST_POSTGRES_VERSION";
/// Names a running server, which would be of the default version.
const SHARED: &str = "OUTBOX_TEST_POSTGRES_URL";
const OTHERS: [&str; 3] = ["15", "16", "18"];

/// What runs on each of them in the ordinary tier: targets of the sidecar, and what is in their tests'
/// names. All that newer servers do otherwise is in it.
const TESTS: [(&str, &[&str]); 2] = [
    (
        "--lib",
        &["source::publication", "source::slot", "source::replication"],
    ),
    (
        "--test=main",
        &[
            "check::postgres::faults",
            "init::older_rows_are_published_once_with_their_ids",
            "large::a_large_transaction",
            "refused::publication",
            "shutdown::a_fast_shutdown_passes_an_idle_relay",
        ],
    ),
];

/// Runs what depends on the version once more, on each of the others.
pub(crate) fn test_some(
    runner: &Runner,
    features: &[&str],
    servers: &[(String, String)],
) -> Result<(), Failure> {
    for_each(runner, servers, |environment| {
        for (target, tests) in TESTS {
            // The whole workspace, as before: another choice of packages would build them anew.
            let arguments = [&["test", "--workspace"], features, &[target, "--"], tests].concat();
            runner.run(&cargo(), &arguments, environment)?;
        }
        Ok(())
    })
}

/// Runs every test once more, on each of the others.
pub(crate) fn test_all(
    runner: &Runner,
    features: &[&str],
    servers: &[(String, String)],
) -> Result<(), Failure> {
    for_each(runner, servers, |environment| {
        let arguments = [&["test", "--workspace"], features].concat();
        runner.run(&cargo(), &arguments, environment)
    })
}

fn for_each(
    runner: &Runner,
    servers: &[(String, String)],
    test: impl Fn(&[(String, String)]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if std::env::var_os(VARIABLE).is_some() || std::env::var_os(SHARED).is_some() {
        // Everything ran on the one that was asked for.
        return Ok(());
    }
    for version in OTHERS {
        say(&format!("==> PostgreSQL {version}"));
        let asked = (VARIABLE.to_owned(), version.to_owned());
        programs::fill_cache(runner, std::slice::from_ref(&asked))?;
        let others = servers.iter().filter(|(name, _)| name != SHARED).cloned();
        let environment: Vec<_> = others.chain([asked]).collect();
        test(&environment)?;
    }
    Ok(())
}
