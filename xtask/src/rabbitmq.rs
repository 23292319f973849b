//! RabbitMQ 4 beside the system's.

use crate::failure::Failure;
use crate::packages;
use crate::programs;
use crate::run::{Runner, cargo, say};

/// Tells the test bed which RabbitMQ to run.
const VARIABLE: &str = "OUTBOX_TEST_RABBITMQ_VERSION";
const VERSION_4: &str = "4";

/// What runs on RabbitMQ 4 as well: targets, and what is in their tests' names.
const TESTS: [(&[&str], &[&str]); 4] = [
    // The test bed's own.
    (&["--test", "rabbitmq"], &[]),
    // Each sink to RabbitMQ: at the contract of all, and its own.
    (
        &["--lib"],
        &["sink::conformance::rabbitmq", "sink::rabbitmq"],
    ),
    // Through the relay, and to the example that consumes.
    (
        &["--test", "main"],
        &[
            "conformance::classic_queue",
            "conformance::quorum_queue",
            "conformance::stream",
            "rabbitmq::",
            "rabbitmq_stream::",
            "restored::",
            "report",
        ],
    ),
    (
        &["--test", "long"],
        &[
            "a_classic_queue",
            "a_quorum_queue",
            "a_stream",
            "a_memory_alarm",
        ],
    ),
];

/// Whether the environment asks for version 4.
pub(crate) fn version_4_is_asked_for() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|version| version == VERSION_4)
}

/// Runs the tests that concern RabbitMQ once more, on version 4.
pub(crate) fn test_version_4(
    runner: &Runner,
    features: &[&str],
    servers: Vec<(String, String)>,
) -> Result<(), Failure> {
    if version_4_is_asked_for() {
        // It was everything's already.
        return Ok(());
    }
    if !packages::is_root() {
        say(
            "==> the tests on RabbitMQ 4 are skipped; to run them: cargo xtask test --long as root",
        );
        return Ok(());
    }
    let asked = (VARIABLE.to_owned(), VERSION_4.to_owned());
    programs::provision_rabbitmq_4(runner, &asked)?;
    let mut environment = servers;
    environment.push(asked);
    for (targets, tests) in TESTS {
        let workspace = ["test", "--workspace"];
        let arguments = [&workspace[..], features, targets, &["--"], tests].concat();
        runner.run(&cargo(), &arguments, &environment)?;
    }
    Ok(())
}
