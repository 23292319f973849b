//! `enqueue-tokio-postgres`: row and message together, or neither.

use std::process::Command;

use serde_json::json;
use uuid::Uuid;

use crate::database::Database;

/// Runs the program to its end and returns the id it prints.
fn run(database: &Database, arguments: &[&str]) -> Uuid {
    let output = Command::new(env!("CARGO_BIN_EXE_enqueue-tokio-postgres"))
        .args(["--database-url", &database.url()])
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

#[tokio::test]
async fn a_commit_stores_the_row_and_its_message() {
    let database = Database::create().await;
    let id = run(&database, &["--policy", "12", "--premium", "80"]);
    let stored = database.outbox().await;
    let [message] = stored.as_slice() else {
        panic!("{stored:?}")
    };
    assert_eq!(message.id, id);
    assert_eq!(message.destination, "policy-events");
    assert_eq!(message.key, "12");
    assert_eq!(message.message_type, "PolicyIssued");
    assert_eq!(message.payload, json!({ "policy": 12, "premium": 80 }));
    assert_eq!(
        database
            .count("select premium from policy where number = 12")
            .await,
        80
    );
}

#[tokio::test]
async fn a_rollback_stores_neither() {
    let database = Database::create().await;
    run(&database, &["--rollback"]);
    assert_eq!(database.outbox().await.len(), 0);
    assert_eq!(database.count("select count(*) from policy").await, 0);
}
