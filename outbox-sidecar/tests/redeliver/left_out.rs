//! What is not redelivered, and what is said of it.

use outbox_core::schema::{SchemaName, grants};
use testbed::unique;

use super::{LIMITED, again, by_key, count, is_again, now, redeliver};
use crate::scenario::{DEADLINE, Scenario};

#[tokio::test]
async fn what_is_refused_or_set_aside_is_left_out_and_holds_nothing_back() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let from = now(&client).await;
    let relay = scenario.start_with(&[LIMITED]);
    scenario.enqueue(&client, 0..5).await;
    let large = "insert into outbox.message (destination, key, type, payload)
                 values ($1, 'large', 'T', convert_to(repeat(' ', 1990) || '5', 'UTF8')),
                        ($1, 'large', 'T', '6')";
    let destination = scenario.target.destination();
    client.execute(large, &[&destination]).await.unwrap();
    scenario.drained(&client).await;
    let to = now(&client).await;
    let range = (from.as_str(), to.as_str());
    let said = redeliver(&scenario, range, &["--yes", "--wait"], 0).await;
    assert_eq!((&said["asked"], &said["set_aside"]), (&5.into(), &2.into()));
    assert_eq!(again(&scenario.records().await, 0..5), by_key(0..5));

    // Refused, each for itself.
    let missing = unique::name("missing");
    let elsewhere = ["--destination", &missing, "--yes", "--wait"];
    let said = redeliver(&scenario, range, &elsewhere, 3).await;
    assert_eq!(said["outcome"]["left_out"], 5, "{said:#}");
    let left_out = said["left_out"].as_array().unwrap();
    assert_eq!(left_out.len(), 5);
    assert_eq!(left_out[0]["reason"], "destination-missing");
    let left_out = "outbox_redeliveries_total{outcome=\"left-out\"}";
    assert_eq!(scenario.metric(left_out).await, Some(5.0));
    let line = relay
        .logged("what is left out", DEADLINE, |line| {
            let message = line["message"].as_str().unwrap_or_default();
            message.contains("it is left out") && line["reason"] == "destination-missing"
        })
        .await;
    line.unwrap();
    // No key waits for it.
    scenario.enqueue(&client, 7..10).await;
    scenario.drained(&client).await;
    let waiting = "select count(*) from outbox.parked";
    assert_eq!(count(&client, waiting).await, 2);
    let first: Vec<_> = scenario.records().await;
    assert_eq!(first.iter().filter(|record| !is_again(record)).count(), 8);

    // What is set aside meanwhile was never published: the relay looks once more.
    relay.kill().await.unwrap();
    client.execute(large, &[&destination]).await.unwrap();
    let to = now(&client).await;
    redeliver(&scenario, (&from, &to), &["--yes"], 0).await;
    let _relay = scenario.start_with(&[LIMITED]);
    scenario.drained(&client).await;
    let aside = "select count(*) from outbox.redelivery where reason = 'set-aside'";
    assert_eq!(count(&client, aside).await, 2);
}

#[tokio::test]
async fn what_was_to_be_redelivered_is_forgotten_with_its_relay() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let from = now(&client).await;
    scenario.enqueue(&client, 0..3).await;
    let to = now(&client).await;
    redeliver(&scenario, (&from, &to), &["--yes"], 0).await;
    let removed = scenario.command(&["remove", "--yes"], &[]).await;
    assert_eq!(removed.code, Some(0), "{}", removed.stderr);
    let said = "what it was to publish once more is forgotten";
    assert!(removed.stderr.contains(said), "{}", removed.stderr);
    assert_eq!(
        count(&client, "select count(*) from outbox.redelivery").await,
        0
    );
}

#[tokio::test]
async fn what_cannot_be_redelivered_is_said() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let from = now(&client).await;
    scenario.enqueue(&client, 0..2).await;
    let other = "insert into outbox.message (destination, type) values ('other-events', 'T')";
    client.batch_execute(other).await.unwrap();
    let to = now(&client).await;
    let run = async |options: &[&str], code: i32, said: &str| {
        let arguments: Vec<_> = ["redeliver"].iter().chain(options).copied().collect();
        let ran = scenario.command(&arguments, &[]).await;
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.stderr.contains(said), "{ran:?}");
    };
    let range = ["--from", from.as_str(), "--to", to.as_str()];
    let with = |more: &[&'static str]| [&range[..], more].concat();
    run(&["--from", &to, "--to", &from], 2, "--to must be later").await;
    run(&["--from", &from], 2, "--to <TIME>").await;
    run(&["--from", "yesterday", "--to", &to], 2, "RFC 3339").await;
    run(&with(&["--key", "z"]), 1, "no message of that range").await;
    run(
        &with(&["--destination", ""]),
        2,
        "--destination: the destination",
    )
    .await;
    let mixed = "messages of 2 destinations would go to \"x\"";
    run(&with(&["--destination", "x", "--yes"]), 2, mixed).await;
    run(&with(&["--destination", "x", "--dry-run"]), 2, mixed).await;
    run(
        &with(&["--of-destination", "nowhere", "--yes"]),
        1,
        "nothing was done",
    )
    .await;
    run(
        &with(&[]),
        2,
        "to redeliver 3 messages of 2 keys; repeat with --yes",
    )
    .await;
    assert_eq!(
        count(&client, "select count(*) from outbox.request").await,
        0
    );

    // One who may replay may not read the outbox, unless that is granted, too.
    let role = unique::name("on_call").replace('-', "_");
    let schema = SchemaName::default();
    let sql = format!(
        "create role {role} login; {}",
        grants::operator_role(&schema, &role)
    );
    client.batch_execute(&sql).await.unwrap();
    let server = testbed::shared_postgres().await.unwrap();
    let (_, database) = scenario.database_url.rsplit_once('/').unwrap();
    let url = format!("postgres.url={}", server.url(&role, database));
    let as_role = ["--set", &url];
    let options = [&with(&["--yes"])[..], &as_role].concat();
    run(&options, 1, "the role needs the rights to redeliver").await;
    let sql = grants::redelivering_role(&schema, &role);
    client.batch_execute(&sql).await.unwrap();
    run(&options, 0, "").await;
    let asked = "select count(*) from outbox.request where role like 'on_call%' and chosen = 3";
    assert_eq!(count(&client, asked).await, 1);
}

#[test]
fn the_rights_in_the_documentation_are_those_to_redeliver() {
    let page = include_str!("../../../docs/command-line.md");
    let sql = grants::redelivering_role(&SchemaName::default(), "on_call");
    assert!(
        page.contains(&sql),
        "docs/command-line.md should say:\n{sql}"
    );
}
