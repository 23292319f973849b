//! `stuck` as people type it: what is printed, where, and the exit code. A relay's part is played by
//! the test.

mod interrupted;
mod mistakes;
mod operator;

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use outbox_core::schema::{SchemaName, grants};
use serde_json::{Value, json};
use testbed::unique;

use crate::program::{Directory, Outcome, outcome};
use operator::{FIRST, Operator, SECOND, THIRD, configuration};

fn refused(ran: &Outcome, code: i32, said: &str) {
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (code, ""),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
}

#[tokio::test]
async fn a_list_is_a_table_with_a_summary_and_a_way_to_the_next_page() {
    let operator = Operator::new().await;
    let ran = operator.run(&["list", "--limit", "2"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let lines: Vec<_> = ran.stdout.lines().collect();
    let titles: Vec<_> = lines[0].split_whitespace().collect();
    let expected = "position id destination key type reason state attempts parked_at age error";
    assert_eq!(titles.join(" "), expected);
    assert!(lines[1].starts_with(&format!(
        "0/100:0   {FIRST}  policy-events  a    PolicyIssued"
    )));
    assert!(lines[1].ends_with("larger than it may be"), "{}", lines[1]);
    assert!(
        lines[4].starts_with(
            "3 messages: 1 key-blocked waiting, 1 rejected waiting, 1 too-large waiting; 1 blocked \
             key; the oldest was set aside "
        ),
        "{}",
        lines[4]
    );
    assert_eq!(lines[5], "more: the same with --after 0/100:1");
    let next = operator.run(&["list", "--limit", "2", "--after", "0/100:1"]);
    assert!(next.stdout.contains("no\\u{1b}[2J"), "{}", next.stdout);
    assert!(!next.stdout.contains("--after"), "{}", next.stdout);

    let none = operator.run(&["list", "--key", "z"]);
    assert_eq!(
        (none.code, none.stdout.as_str()),
        (0, "no messages that fit; 3 in all\n")
    );
    let listed = operator.json(&["list", "--limit", "1"]);
    assert_eq!(listed["next"], "0/100:0");
    assert_eq!(listed["messages"][0]["id"], FIRST);
    assert_eq!(listed["messages"][0]["payload_bytes"], 13);
    assert_eq!(listed["messages"][0].get("payload"), None);
    assert_eq!(listed["summary"]["messages"], 3);
}

#[tokio::test]
async fn one_message_is_shown_in_full() {
    let operator = Operator::new().await;
    let ran = operator.run(&["show", FIRST]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    for line in [
        "  behind it     1 message of its key\n",
        "  error         larger than it may be\n",
        "headers:\n  tenant: 7\n",
        "payload: 13 bytes\n{\"number\": 7}\n",
    ] {
        assert!(ran.stdout.contains(line), "{}", ran.stdout);
    }
    let behind = operator.run(&["show", SECOND]);
    let waits = format!("  waits for     {FIRST}, the first of its key that waits\n");
    assert!(behind.stdout.contains(&waits), "{}", behind.stdout);
    let shown = operator.json(&["show", FIRST]);
    assert_eq!(shown[0]["payload"], "{\"number\": 7}");
    assert_eq!(shown[0]["headers"], json!({ "tenant": "7" }));
    let unknown = operator.run(&["show", "00000000-0000-0000-0000-000000000009"]);
    refused(
        &unknown,
        1,
        "no message 00000000-0000-0000-0000-000000000009 was set aside",
    );
    refused(
        &operator.run(&["show", "seven"]),
        2,
        "expected a message's id",
    );
}

#[tokio::test]
async fn what_is_meant_must_be_said() {
    let operator = Operator::new().await;
    for kind in ["replay", "skip"] {
        refused(&operator.run(&[kind]), 2, "say which messages: --id");
        refused(
            &operator.run(&[kind, "--all", "--key", "a"]),
            2,
            "leave one away",
        );
        let unconfirmed = operator.run(&[kind, "--id", FIRST, "--id", THIRD]);
        let said = format!(
            "this asks relay {} to {kind} 2 messages of 1 key; repeat with --yes to do it",
            operator.relay
        );
        refused(&unconfirmed, 2, &said);
        let unknown = operator.run(&[kind, "--id", FIRST, "--id", &FIRST.replace('1', "9")]);
        refused(
            &unknown,
            1,
            "no message 00000000-0000-0000-0000-000000000009 was set aside",
        );
        let overtaking = operator.run(&[kind, "--id", SECOND]);
        refused(
            &overtaking,
            2,
            "1 earlier one waits that is not chosen, the first is 00000000-0000-0000-0000-000000000001",
        );
    }
    refused(
        &operator.run(&["replay", "--id", FIRST, "--to", ""]),
        2,
        "--to: the destination",
    );
    refused(
        &operator.run(&["skip", "--id", FIRST, "--to", "x"]),
        2,
        "--to",
    );
    assert_eq!(operator.requests().await, 0);
}

/// Runs the program at a terminal and types this answer; exit code, what the terminal showed, and
/// what went to stdout.
fn at_a_terminal(operator: &Operator, arguments: &[&str], answer: &str) -> (i32, String, String) {
    let terminal = nix::pty::openpty(None, None).unwrap();
    let mut program = operator
        .directory
        .program(&[&["stuck"], arguments].concat());
    program
        .stdin(terminal.slave.try_clone().unwrap())
        .stderr(terminal.slave)
        .stdout(Stdio::piped());
    let child = program.spawn().unwrap();
    // Only the child has the other end now: reading ends with it.
    drop(program);
    let mut terminal = std::fs::File::from(terminal.master);
    writeln!(terminal, "{answer}").unwrap();
    let output = child.wait_with_output().unwrap();
    let mut seen = Vec::new();
    // The end of a terminal is an error.
    let _ = terminal.read_to_end(&mut seen);
    (
        output.status.code().unwrap(),
        String::from_utf8(seen).unwrap(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

#[tokio::test]
async fn a_terminal_is_asked_before_more_than_one_message() {
    let operator = Operator::new().await;
    for answer in ["n", "", "what"] {
        let (code, seen, said) = at_a_terminal(&operator, &["skip", "--all"], answer);
        assert_eq!((code, said.as_str()), (1, ""), "{seen}");
        let question = format!(
            "this asks relay {} to skip 3 messages of 1 key (1 of them was never refused, and merely \
             waits for its key): go on? [y/N] ",
            operator.relay
        );
        assert!(seen.contains(&question), "{seen}");
        assert!(seen.contains("nothing was done"), "{seen}");
    }
    assert_eq!(operator.requests().await, 0);
    // One is not asked about, and a line says how far it is.
    let one = ["replay", "--id", THIRD, "--wait", "--wait-s", "1"];
    let (code, seen, _) = at_a_terminal(&operator, &one, "");
    assert_eq!(code, 1, "{seen}");
    let line = "1 of 1 messages: requested, waiting for a relay: none runs, 0 s";
    assert!(seen.contains(line), "{seen}");
    let (code, seen, said) = at_a_terminal(&operator, &["skip", "--all"], "y");
    assert_eq!(code, 0, "{seen}");
    assert!(said.contains("to skip 2 messages in 1 request"), "{said}");
}

#[tokio::test]
async fn a_dry_run_says_what_would_happen_and_does_nothing() {
    let operator = Operator::new().await;
    let dry = operator.run(&["replay", "--id", FIRST, "--id", THIRD, "--dry-run"]);
    let slot = format!("outbox_{}", operator.relay);
    let relay = &operator.relay;
    let expected = format!(
        "would replay 2 messages of 1 key, 26 bytes, in 1 destination: 2 to policy-events\n\
         would publish 1 more behind them, of those that merely wait for their key\n\
         no relay reads from slot {slot}: the request waits until a relay {relay} runs\n"
    );
    assert_eq!((dry.code, dry.stdout), (0, expected));
    let refused = operator.run(&["skip", "--id", SECOND, "--dry-run"]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.stdout.contains("refused: 1 message: of key"),
        "{}",
        refused.stdout
    );
    let document = operator.json(&["replay", "--all", "--dry-run"]);
    assert_eq!(document["chosen"], 3);
    assert_eq!(document["presence"], "away");
    assert_eq!(operator.requests().await, 0);
    assert_eq!(operator.states().await, "waiting waiting waiting");
}

#[tokio::test]
async fn a_request_is_made_and_its_outcome_is_said() {
    let operator = Operator::new().await;
    let ran = operator.run(&[
        "replay", "--key", "a", "--yes", "--note", "why", "--actor", "anna",
    ]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let said = format!(
        "asked relay {} to replay 2 messages in 1 request (",
        operator.relay
    );
    assert!(ran.stdout.starts_with(&said), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("no relay reads from slot"),
        "{}",
        ran.stdout
    );
    let again = operator.run(&["replay", "--key", "a", "--yes"]);
    assert_eq!(again.code, 1);
    assert!(
        again
            .stdout
            .contains("2 messages are being replayed by request"),
        "{}",
        again.stdout
    );
    assert!(again.stdout.contains(" of anna\n"), "{}", again.stdout);
    operator.carry_out("replayed", (2, 0, 0)).await;
    assert_eq!(operator.states().await, "replayed replayed waiting");
    let nothing = operator.run(&["replay", "--key", "a", "--yes"]);
    assert_eq!(nothing.code, 1);
    assert!(
        nothing
            .stdout
            .contains("2 messages were replayed or skipped before")
    );
}

#[tokio::test]
async fn an_outcome_is_waited_for_and_what_was_returned_is_a_finding() {
    let operator = Operator::new().await;
    for (state, counts, code, said) in [
        (
            "waiting",
            (0, 0, 2),
            3,
            "0 published, 0 skipped, 2 returned\nreturned: 00000000-0000-0000-0000-000000000001 of \
             policy-events: too-large: larger than it may be\nwhat was returned waits",
        ),
        (
            "replayed",
            (2, 0, 0),
            0,
            "2 published, 0 skipped, 0 returned\n",
        ),
    ] {
        let ran = operator.run_beside(&["replay", "--key", "a", "--yes", "--wait"]);
        let (ran, ()) = tokio::join!(ran, operator.carry_out(state, counts));
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.stdout.contains(said), "{ran:?}");
        assert!(ran.stderr.contains("no relay reads from slot"), "{ran:?}");
    }
    let ran = operator.run_beside(&["skip", "--all", "--wait", "--json"]);
    let (ran, ()) = tokio::join!(ran, operator.carry_out("skipped", (0, 1, 0)));
    assert_eq!(ran.code, 0, "{ran:?}");
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["asked"], 1);
    let outcome = json!({ "published": 0, "skipped": 1, "returned": 0 });
    assert_eq!(document["outcome"], outcome);
    let all = operator.run(&["replay", "--all", "--yes"]);
    assert_eq!(all.code, 0, "everything is nothing: {all:?}");
    assert!(
        all.stdout.starts_with("no message waits that fits\n"),
        "{all:?}"
    );
}

#[tokio::test]
async fn a_request_that_is_not_carried_out_stays_and_is_said_to() {
    let operator = Operator::new().await;
    let ran = operator.run(&["skip", "--id", THIRD, "--wait", "--wait-s", "0"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.starts_with("asked relay"), "{ran:?}");
    let said = "is not carried out after 0 s (--wait-s): it stays";
    assert!(ran.stderr.contains(said), "{ran:?}");
    assert_eq!(operator.states().await, "waiting waiting replaying");
}

#[tokio::test]
async fn what_show_prints_is_edited_and_replayed_elsewhere() {
    let operator = Operator::new().await;
    let mut shown = operator.json(&["show", FIRST]);
    shown[0]["payload"] = json!("smaller");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "{shown:#}").unwrap();
    let path = file.path().to_str().unwrap();
    let several = operator.run(&["replay", "--all", "--edit", path, "--yes"]);
    refused(&several, 2, "--edit is for one message, and 3 are chosen");
    let missing = operator.run(&["replay", "--id", FIRST, "--edit", "/nowhere"]);
    refused(&missing, 2, "--edit: No such file");
    let edit = [
        "replay",
        "--id",
        FIRST,
        "--edit",
        path,
        "--to",
        "other-events",
    ];
    let ran = operator.run(&edit);
    assert_eq!(ran.code, 0, "{ran:?}");
    let request = "select concat_ws(' ', edited, destination, type, convert_from(payload, 'UTF8'),
                                     headers) from outbox.request";
    let request: String = operator
        .client
        .query_one(request, &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(
        request,
        "t other-events PolicyIssued smaller {\"tenant\": \"7\"}"
    );
}

#[tokio::test]
async fn who_asks_is_the_environments_user_or_the_role() {
    let operator = Operator::new().await;
    for (variables, id, expected) in [
        (
            &[("OUTBOX_ACTOR", "on call"), ("USER", "u")][..],
            FIRST,
            "on call",
        ),
        (&[("USER", "u"), ("SUDO_USER", "s")], SECOND, "s@"),
        (&[], THIRD, "postgres"),
    ] {
        let mut program = operator.directory.program(&["stuck", "replay", "--id", id]);
        let ran = outcome(program.envs(variables.iter().copied()).stdin(Stdio::null()));
        assert_eq!(ran.code, 0, "{ran:?}");
        let actor = "select actor from outbox.parked where id = $1::text::uuid";
        let actor = operator.client.query_one(actor, &[&id]).await.unwrap();
        let actor: String = actor.get(0);
        assert!(actor.starts_with(expected), "{actor}");
    }
}

#[tokio::test]
async fn a_role_without_rights_and_a_server_that_is_away_are_named() {
    let operator = Operator::new().await;
    let server = testbed::shared_postgres().await.unwrap();
    let role = unique::name("stranger");
    let make = format!("create role \"{role}\" login");
    operator.client.batch_execute(&make).await.unwrap();
    let url = server.url(&role, &operator.database);
    let stranger = Directory::with_configuration(&configuration(&operator.relay, &url));
    for arguments in [&["list"][..], &["show", FIRST], &["replay", "--all"]] {
        let ran = stranger.run(&[&["stuck"], arguments].concat());
        refused(&ran, 1, "the role needs an operator's rights");
    }
    let away = configuration("policy", "postgres://u@127.0.0.1:1/app");
    let away = Directory::with_configuration(&away).run(&["stuck", "list"]);
    refused(&away, 1, "connecting to PostgreSQL");
}

#[test]
fn the_rights_in_the_documentation_are_those_of_an_operator() {
    let page = include_str!("../../docs/command-line.md");
    let sql = grants::operator_role(&SchemaName::default(), "on_call");
    assert!(
        page.contains(&sql),
        "docs/command-line.md should say:\n{sql}"
    );
}
