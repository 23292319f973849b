//! A signal while messages are asked for.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testbed::wait;

use super::operator::Operator;

const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_command_that_is_interrupted_says_how_far_it_came() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let operator = Operator::new().await;
        // Nobody carries the first request out, so that there is no second.
        let arguments = ["stuck", "replay", "--all", "--yes", "--rate", "1", "--wait"];
        let mut program = operator.directory.program(&arguments);
        let child = program
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait::until("the first request", DEADLINE, async || {
            operator.requests().await == 1
        })
        .await
        .unwrap();
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        let ended = tokio::task::spawn_blocking(|| child.wait_with_output());
        let ended = ended.await.unwrap().unwrap();
        let (said, error) = (
            String::from_utf8_lossy(&ended.stdout),
            String::from_utf8_lossy(&ended.stderr),
        );
        assert_eq!(ended.status.code(), Some(1), "{said}{error}");
        let asked = format!(
            "asked relay {} to replay 1 message in 1 request",
            operator.relay
        );
        assert!(said.starts_with(&asked), "{said}");
        // Of what it did not ask for it knows nothing.
        assert!(!said.contains("not asked for any more"), "{said}");
        let expected = "interrupted: what is asked for stays, and the relay carries it out; 2 of the \
                        chosen messages were not asked for";
        assert!(error.contains(expected), "{error}");
        assert_eq!(operator.requests().await, 1);
    }
}

#[tokio::test]
async fn a_command_that_is_interrupted_while_it_waits_for_its_turn_asks_for_nothing() {
    let operator = Operator::new().await;
    let take = "select pg_advisory_lock(hashtextextended(
                    'requests of ' || $1::text || ' in \"outbox\"', 0))";
    let client = &operator.client;
    client.execute(take, &[&operator.relay]).await.unwrap();
    let mut program = operator
        .directory
        .program(&["stuck", "skip", "--all", "--yes"]);
    let child = program.stderr(Stdio::piped()).spawn().unwrap();
    let waits = "select exists (select from pg_locks where not granted and locktype = 'advisory'
                                and database = (select oid from pg_database
                                                where datname = current_database()))";
    wait::until("the command waits", DEADLINE, async || {
        client.query_one(waits, &[]).await.unwrap().get(0)
    })
    .await
    .unwrap();
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let ended = tokio::task::spawn_blocking(|| child.wait_with_output());
    let ended = ended.await.unwrap().unwrap();
    let error = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{error}");
    assert!(error.contains("interrupted"), "{error}");
    let release = "select pg_advisory_unlock_all()";
    client.batch_execute(release).await.unwrap();
    wait::until("the server has noticed", DEADLINE, async || {
        let gone = "select not exists (select from pg_stat_activity
                                       where datname = current_database()
                                         and application_name = 'outbox-sidecar stuck')";
        client.query_one(gone, &[]).await.unwrap().get(0)
    })
    .await
    .unwrap();
    assert_eq!(operator.requests().await, 0);
}
