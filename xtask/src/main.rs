//! `cargo xtask`: the project's commands, with next to no dependencies of their own.

mod failure;
mod features;
mod fuzz;
mod packages;
mod postgres;
mod programs;
mod rabbitmq;
mod run;
mod serve;
mod test;

use std::io::Write;
use std::process::ExitCode;

use failure::Failure;

const HELP: &str = "usage: cargo xtask COMMAND

  provision               install or name what is missing, fetch PostgreSQL and Kafka into the cache
                          (RabbitMQ comes from the system's packages)
  test                    every check and test of the ordinary tier, and what depends on PostgreSQL's
                          version on 15, 16 and 18, too
  test --long             the long runs as well, and those of sinks and relay once more with RabbitMQ 4
  test --all-versions     the ordinary tier, all of it on each version of PostgreSQL
  demo [--keep] [ARGS]    the whole path on real servers, ends with a table; --broker rabbitmq,
                          --broker rabbitmq-stream
  bench drain [ARGS]      a backlog drained, beside pg_recvlogical; --broker rabbitmq-classic,
                          rabbitmq-quorum, rabbitmq-stream: beside a plain client, too
  bench latency [ARGS]    commit to consumer, ten inserts a second
  bench transactions [ARGS]
                          librdkafka's transactions by themselves, no PostgreSQL
  fuzz [TARGET] [--seconds N]
                          every fuzz target, or one, for 600 seconds each; keeps what is worth keeping in
                          fuzz/corpus. Needs a nightly compiler and cargo-fuzz: docs/fuzzing.md
  help                    this text

environment:
  OUTBOX_TESTBED_CACHE          where fetched servers are kept
  OUTBOX_TEST_POSTGRES_VERSION  15, 16, 17 (default) or 18
  OUTBOX_TEST_RABBITMQ_VERSION  system (default), or 4: Debian 13's, installed into the cache; needs
                                root
  OUTBOX_TEST_POSTGRES_BIN      bin directory of an installed server to use instead
  OUTBOX_TEST_POSTGRES_URL      a running server to use for the tests that share one
  OUTBOX_TEST_KAFKA_BOOTSTRAP   a running cluster to use for the tests that share one";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match command(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "xtask: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn command(arguments: &[&str]) -> Result<(), Failure> {
    match arguments {
        ["provision"] => programs::provision(),
        ["test"] => test::run(test::Tier::Ordinary),
        ["test", "--long"] => test::run(test::Tier::Long),
        ["test", "--all-versions"] => test::run(test::Tier::AllVersions),
        ["demo", rest @ ..] => programs::demo(rest),
        [
            "bench",
            name @ ("drain" | "latency" | "transactions"),
            rest @ ..,
        ] => programs::bench(name, rest),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        [] | ["help" | "--help" | "-h"] => {
            run::say(HELP);
            Ok(())
        }
        unknown => Err(Failure::usage(format!(
            "unknown: {}\n{HELP}",
            unknown.join(" ")
        ))),
    }
}
