//! What an operator does, with the commands that an operator has.

use serde_json::Value;
use testbed::{unique, wait};

use super::seen::Seen;
use super::writing::Work;
use crate::scenario::{DEADLINE, Ran, Scenario};

/// What is asked for in one go is done by then, even by a relay that is killed again and again.
const WAIT_S: &str = "300";

async fn stuck(scenario: &Scenario, arguments: &[&str]) -> Ran {
    let arguments: Vec<&str> = ["stuck"].iter().chain(arguments).copied().collect();
    scenario.command(&arguments, &[]).await
}

/// What waits, as `stuck list` says.
async fn waiting(scenario: &Scenario, options: &[&str]) -> Vec<Value> {
    let options: Vec<&str> = ["list", "--json", "--limit", "10000"]
        .iter()
        .chain(options)
        .copied()
        .collect();
    let ran = stuck(scenario, &options).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let listed: Value = serde_json::from_str(&ran.stdout).unwrap();
    let listed = listed.get("messages").unwrap_or(&listed);
    listed.as_array().unwrap().clone()
}

/// Everything that was committed and is not seen is listed, each key in its order.
pub(super) async fn check_list(scenario: &Scenario, work: &Work, seen: &Seen) {
    let client = scenario.client().await;
    let listed = waiting(scenario, &[]).await;
    let ids: Vec<&str> = listed
        .iter()
        .map(|row| row["id"].as_str().unwrap())
        .collect();
    let sql = "select split_part(convert_from(payload, 'UTF8'), ' ', 1)::int8
               from unnest($1::text[]) with ordinality as l (id, place)
               join outbox.message as m on m.id = l.id::uuid order by place";
    let rows = client.query(sql, &[&ids]).await.unwrap();
    let numbers: Vec<usize> = rows
        .iter()
        .map(|row| row.get::<_, i64>(0) as usize)
        .collect();
    let (first, _) = work.halves();
    assert_eq!(
        numbers.len() + seen.numbers.len(),
        first.len(),
        "each is somewhere"
    );
    for (key, messages) in work.by_key(first.len()) {
        let of_key = super::of_key(&numbers, &messages);
        assert!(of_key.is_sorted(), "key {key}: {of_key:?}");
    }
}

/// Asks for everything, and mends by hand what no change at the broker mends.
pub(super) async fn replay_all(scenario: &Scenario, work: &Work) {
    let all = [
        "replay", "--all", "--yes", "--wait", "--wait-s", WAIT_S, "--note", "mended",
    ];
    let ran = stuck(scenario, &all).await;
    let known = [Some(0), Some(3)];
    assert!(known.contains(&ran.code), "{}{}", ran.stdout, ran.stderr);
    if let Some(invalid) = &work.invalid {
        redirect(scenario, work, invalid).await;
    }
    edit_headers(scenario).await;
}

/// To another destination: these cannot be published where they were to go.
async fn redirect(scenario: &Scenario, work: &Work, invalid: &str) {
    let redirect = [
        "replay",
        "--destination",
        invalid,
        "--to",
        &work.main,
        "--yes",
        "--wait",
        "--wait-s",
        WAIT_S,
    ];
    let ran = stuck(scenario, &redirect).await;
    // None may wait.
    let known = [Some(0), Some(1), Some(3)];
    assert!(known.contains(&ran.code), "{}{}", ran.stdout, ran.stderr);
}

/// Headers and types that no broker takes are corrected, one message after the other: each time only
/// the first of a key can go.
async fn edit_headers(scenario: &Scenario) {
    for reason in ["headers-invalid", "rejected"] {
        for row in waiting(scenario, &["--reason", reason, "--state", "waiting"]).await {
            let id = row["id"].as_str().unwrap();
            let shown = stuck(scenario, &["show", id, "--json"]).await;
            assert_eq!(shown.code, Some(0), "{}", shown.stderr);
            let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
            let mut message = shown[0].clone();
            message["headers"] = serde_json::json!({ "n": "1" });
            message["type"] = "T".into();
            let file = std::env::temp_dir().join(unique::name("edit"));
            std::fs::write(&file, message.to_string()).unwrap();
            let file = file.to_str().unwrap();
            let edit = [
                "replay", "--id", id, "--edit", file, "--wait", "--wait-s", WAIT_S, "--yes",
            ];
            let ran = stuck(scenario, &edit).await;
            // 1: it does not wait any more; 2: another of its key stands before it.
            let known = [Some(0), Some(1), Some(2), Some(3)];
            assert!(known.contains(&ran.code), "{}{}", ran.stdout, ran.stderr);
            std::fs::remove_file(file).unwrap();
        }
    }
}

/// Goes on until the list is empty.
pub(super) async fn until_nothing_waits(scenario: &Scenario, work: &Work) {
    wait::until("nothing waits", DEADLINE * 2, || async {
        if waiting(scenario, &[]).await.is_empty() {
            return true;
        }
        replay_all(scenario, work).await;
        false
    })
    .await
    .unwrap();
}
