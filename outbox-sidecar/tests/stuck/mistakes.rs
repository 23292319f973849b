//! What people mistype, or do not mean.

use super::operator::{FIRST, Operator, THIRD, configuration};
use super::refused;
use crate::program::Directory;

#[tokio::test]
async fn a_relay_that_nobody_has_heard_of_is_no_all_clear() {
    let operator = Operator::new().await;
    let server = testbed::shared_postgres().await.unwrap();
    let url = server.url(server.superuser(), &operator.database);
    let mistyped = Directory::with_configuration(&configuration("mistyped", &url));
    let said = format!(
        "no relay mistyped is set up in this database, and none left messages behind: look at \
         relay.name and postgres.url; set up are: {}",
        operator.relay
    );
    for arguments in [
        &["stuck", "list"][..],
        &["stuck", "show", FIRST],
        &["stuck", "replay", "--all"],
        &["stuck", "skip", "--all", "--dry-run"],
        &[
            "redeliver",
            "--from",
            "2026-01-01T00:00:00Z",
            "--to",
            "2026-01-02T00:00:00Z",
        ],
    ] {
        refused(&mistyped.run(arguments), 1, &said);
    }
}

#[tokio::test]
async fn times_that_hold_nothing_are_a_mistake() {
    let operator = Operator::new().await;
    let times = [
        "--since",
        "2026-01-02T00:00:00Z",
        "--until",
        "2026-01-02T00:00:00Z",
    ];
    for command in ["list", "replay", "skip"] {
        let ran = operator.run(&[&[command], &times[..]].concat());
        refused(&ran, 2, "--until must be later than --since");
    }
}

#[tokio::test]
async fn a_choice_that_fits_nothing_says_how_many_wait() {
    let operator = Operator::new().await;
    let ran = operator.run(&["replay", "--key", "z"]);
    assert_eq!(ran.code, 1);
    let said = "no message waits that fits (3 wait in all): nothing was done";
    assert!(ran.stderr.contains(said), "{ran:?}");
}

/// What merely waits behind a refused message is as good as any.
#[tokio::test]
async fn whoever_gives_up_a_key_is_told_what_was_never_refused() {
    let operator = Operator::new().await;
    let said = "1 of them was never refused, and merely waits for its key";
    let dry = operator.run(&["skip", "--key", "a", "--dry-run"]);
    let whole =
        format!("{said}: with the --reason of the others they would be published instead\n");
    assert!(dry.stdout.contains(&whole), "{dry:?}");
    let asked = operator.run(&["skip", "--key", "a"]);
    assert!(
        asked.stderr.contains(&format!("of 1 key ({said})")),
        "{asked:?}"
    );
    // Not where it is published anyway, or not chosen.
    for harmless in [
        &["replay", "--key", "a"][..],
        &["skip", "--id", FIRST, "--id", THIRD],
    ] {
        let dry = operator.run(&[harmless, &["--dry-run"]].concat());
        assert!(!dry.stdout.contains("never refused"), "{dry:?}");
    }
    let document = operator.json(&["skip", "--all", "--dry-run"]);
    assert_eq!(document["merely_wait"], 1);
}

/// A slot that is made later begins behind the request: its messages would wait for ever.
#[tokio::test]
async fn nothing_is_asked_where_nobody_would_ever_carry_it_out() {
    let operator = Operator::new().await;
    let drop = "select pg_drop_replication_slot($1)";
    let slot = format!("outbox_{}", operator.relay);
    operator.client.execute(drop, &[&slot]).await.unwrap();
    let said = format!(
        "there is no slot {slot}: nobody would ever carry a request out, and nothing was asked"
    );
    for kind in ["replay", "skip"] {
        refused(&operator.run(&[kind, "--all", "--yes"]), 1, &said);
    }
    assert_eq!(operator.requests().await, 0);
    assert_eq!(operator.states().await, "waiting waiting waiting");
    let dry = operator.json(&["replay", "--all", "--dry-run"]);
    assert_eq!(dry["presence"], "no-slot");
}
