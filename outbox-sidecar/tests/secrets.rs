//! No password and no key is ever shown: by no command, page, log line or error, at any level, and
//! not in the list of processes; whatever goes well or wrong.

mod kafka;
mod postgres;
mod rabbitmq;

use testbed::{Program, wait};

use crate::program::Directory;
use crate::scenario::{DEADLINE, Ran, Scenario};

/// What every password here contains. Its signs survive percent-encoding and quoting.
const MARK: &str = "c4nary";

/// Below everything that is logged.
const TRACE: &str = "log.level=trace";

/// Pages that a relay serves.
const PAGES: [&str; 6] = [
    "/status", "/metrics", "/live", "/ready", "/started", "/none",
];

fn assert_silent(what: &str, said: &str, secrets: &[&str]) {
    for secret in [MARK].iter().chain(secrets) {
        let line = said.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{what} shows {secret}: {line:?}");
    }
}

/// Runs every command that only looks, and searches what it prints.
async fn commands_are_silent(scenario: &Scenario, what: &str, secrets: &[&str]) {
    let look = |ran: &Ran, command: &[&str]| {
        let what = format!("{what}: {command:?}");
        assert!(!ran.stderr.contains("panicked"), "{what}: {}", ran.stderr);
        assert_silent(&what, &ran.stdout, secrets);
        assert_silent(&what, &ran.stderr, secrets);
    };
    let run = async |command: &[&str]| {
        let arguments = [command, &["--set", TRACE][..]].concat();
        let ran = scenario.command(&arguments, &[]).await;
        look(&ran, command);
        ran.code
    };
    // Side by side: some wait for a server that does not answer.
    let (checked, ..) = tokio::join!(
        run(&["check"]),
        run(&["check", "--json"]),
        run(&["status", "--json"]),
        run(&["config", "--show"]),
        run(&["config", "--show", "--json"]),
    );
    if checked == Some(0) {
        tokio::join!(run(&["verify", "--wait-s", "0"]), run(&["stuck", "list"]));
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
    for output in ["stdout", "stderr"] {
        let said = std::fs::read(relay.directory().join(output)).unwrap();
        let said = String::from_utf8_lossy(&said);
        assert!(!said.contains("panicked"), "{what}: {said}");
        assert_silent(&format!("{what}: {output}"), &said, secrets);
    }
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
