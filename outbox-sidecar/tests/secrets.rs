//! No password and no key is ever shown: by no command, page, log line or error, at any level, and
//! not in the list of processes; whatever goes well or wrong.

mod kafka;
mod postgres;
mod rabbitmq;

use futures_util::future::join_all;
use testbed::{CANARY, Program, Spawn, wait};

use crate::program::Directory;
use crate::scenario::{DEADLINE, Scenario};

/// Below everything that is logged.
const TRACE: &str = "log.level=trace";

/// Every command, in forms that change nothing which the scenario's relay needs. `run` has a trial of its
/// own, and so has the `init` that does not only print.
const TRIALS: &[&[&str]] = &[
    &["init", "--print"],
    &["check"],
    &["check", "--json"],
    &["status"],
    &["status", "--json"],
    &["stuck", "list"],
    &["stuck", "show", "00000000-0000-4000-8000-000000000000"],
    &["stuck", "replay", "--all"],
    &["stuck", "skip", "--all"],
    &[
        "redeliver",
        "--from",
        "2020-01-01T00:00:00Z",
        "--to",
        "2020-01-02T00:00:00Z",
    ],
    &["verify", "--wait-s", "0"],
    // A relay that nobody has: the scenario's goes on.
    &["remove", "--yes", "--set", "relay.name=nobody"],
    &["config", "--show"],
    &["config", "--show", "--json"],
];

/// Pages that a relay serves.
const PAGES: [&str; 6] = [
    "/status", "/metrics", "/live", "/ready", "/started", "/none",
];

fn assert_silent(what: &str, said: &str, secrets: &[&str]) {
    for secret in [CANARY].iter().chain(secrets) {
        let line = said.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{what} shows {secret}: {line:?}");
    }
}

/// Runs every command but `run`, and searches what it prints.
async fn commands_are_silent(scenario: &Scenario, what: &str, secrets: &[&str]) {
    // Side by side: some wait for a server that does not answer.
    let trials = TRIALS
        .iter()
        .map(|command| command_is_silent(scenario, command, what, secrets));
    tokio::join!(join_all(trials), making_is_silent(scenario, what, secrets));
}

async fn command_is_silent(scenario: &Scenario, command: &[&str], what: &str, secrets: &[&str]) {
    let arguments = [command, &["--set", TRACE][..]].concat();
    let ran = scenario.command(&arguments, &[]).await;
    let what = format!("{what}: {command:?}");
    for none in ["panicked", "Usage:"] {
        assert!(!ran.stderr.contains(none), "{what}: {}", ran.stderr);
    }
    assert_silent(&what, &ran.stdout, secrets);
    assert_silent(&what, &ran.stderr, secrets);
}

/// `init` tries for about a minute to reach a server that is away: what it says of the first time is enough.
async fn making_is_silent(scenario: &Scenario, what: &str, secrets: &[&str]) {
    let what = format!("{what}: init");
    let command = Spawn::new(env!("CARGO_BIN_EXE_outbox-sidecar"))
        .args(["init", "--set", TRACE, "-c"])
        .arg(scenario.file().to_str().unwrap());
    let init = Program::start("init", command).unwrap();
    wait::until(&what, DEADLINE, async || {
        let says_so = |said: String| said.contains("next try in");
        init.exit().unwrap().is_some() || init.stderr().is_ok_and(says_so)
    })
    .await
    .unwrap();
    // It may have ended by itself.
    let _ = init.kill().await;
    output_is_silent(&init, &what, secrets);
}

/// Searches everything that a program has printed.
fn output_is_silent(program: &Program, what: &str, secrets: &[&str]) {
    for output in ["stdout", "stderr"] {
        let said = std::fs::read(program.directory().join(output)).unwrap();
        let said = String::from_utf8_lossy(&said);
        assert!(!said.contains("panicked"), "{what}: {said}");
        assert_silent(&format!("{what}: {output}"), &said, secrets);
    }
}

/// Runs the relay until it is active, says what is wrong, or ends; searches its pages, its log and
/// its command line. Returns its exit code, where it ended by itself.
async fn relay_is_silent(scenario: &Scenario, what: &str, secrets: &[&str]) -> Option<i32> {
    let relay = scenario.start_with(&[TRACE]);
    let ended = || relay.exit().unwrap().is_some();
    let line = wait::until_some("a command line", DEADLINE, async || {
        let line = command_line(&relay);
        (line.contains("outbox.toml") || ended()).then_some(line)
    })
    .await
    .unwrap();
    assert_silent(&format!("{what}: the list of processes"), &line, secrets);
    wait::until(what, DEADLINE, async || {
        let status = scenario.status().await.unwrap_or_default();
        let is_wrong = |side: &str| status[side]["error"].is_string();
        ended() || status["phase"] == "active" || is_wrong("source") || is_wrong("sink")
    })
    .await
    .unwrap();
    for page in PAGES {
        if let Some((_, body)) = scenario.get(page).await {
            assert_silent(&format!("{what}: {page}"), &body, secrets);
        }
    }
    let by_itself = relay.exit().unwrap();
    if by_itself.is_none() {
        // It may end by itself meanwhile.
        let _ = relay.terminate();
        relay.exited(DEADLINE).await.unwrap();
    }
    output_is_silent(&relay, what, secrets);
    by_itself.and_then(|exit| exit.code())
}

/// The command line of a program, as everybody on the machine can read it.
fn command_line(relay: &Program) -> String {
    let file = format!("/proc/{}/cmdline", relay.pid().unwrap());
    let line = std::fs::read(file).unwrap_or_default();
    // A program that has just been forked still has its parent's; one that ended has none.
    String::from_utf8_lossy(&line).replace('\0', " ")
}

#[test]
fn every_command_that_the_help_lists_is_searched_for_secrets() {
    let commands = commands(&Directory::new(), &[]);
    for known in ["run", "stuck show"] {
        let is_there = commands.iter().any(|command| command == known);
        assert!(is_there, "the help is read wrongly: {commands:?}");
    }
    for command in commands {
        let is_of = |trial: &&[&str]| {
            let trial = trial.join(" ");
            trial == command || trial.starts_with(&format!("{command} "))
        };
        assert!(
            command == "run" || TRIALS.iter().any(is_of),
            "{command} is not run with secrets: give it a trial"
        );
    }
}

/// The commands below these words, as the help lists them, each with its words; those that have commands
/// below them stand for nothing themselves.
fn commands(directory: &Directory, above: &[&str]) -> Vec<String> {
    let help = directory.run(&[above, &["--help"]].concat()).stdout;
    let names: Vec<_> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // What is indented further goes on with a description.
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        // clap's own: it reads no configuration.
        .filter(|name| *name != "help")
        .collect();
    if names.is_empty() {
        return vec![above.join(" ")];
    }
    let below = |name: &&str| commands(directory, &[above, &[*name]].concat());
    names.iter().flat_map(below).collect()
}

#[test]
fn arguments_that_are_not_understood_are_not_repeated_where_they_may_hold_a_password() {
    let directory = Directory::with_configuration("[relay]\nname = \"p\"\n");
    let url = "postgres://u:c4nary@h/d?sslmode=require";
    for arguments in [
        &[url][..],
        &["init", url],
        &["init", "--admin-url=x", url],
        &["run", "--set", "postgres.url:postgres://u:c4nary@h/d"],
        &["run", "--set", url],
        &["verify", "--from", url],
        &["stuck", "show", url],
        &["stuck", "replay", "--id", url],
        &["redeliver", "--id", url],
        &["init", "--admin-url", "u:c4nary@h"],
        &["init", "--admin-url", "postgres://u:x@c4nary@h/d"],
        &["--postgres://u:c4nary@h/d"],
    ] {
        let outcome = directory.run(arguments);
        assert_eq!(outcome.code, 2, "{arguments:?}: {}", outcome.stderr);
        assert!(!outcome.stderr.is_empty(), "{arguments:?}");
        assert_silent(&format!("{arguments:?}"), &outcome.stderr, &[]);
        assert_silent(&format!("{arguments:?}"), &outcome.stdout, &[]);
    }
}
