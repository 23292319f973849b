//! What makes a relay end instead of going on: message and exit code, and that `check` finds it.

mod publication;

use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use testbed::{PostgresServer, wait};
use tokio_postgres::Client;

use crate::scenario::{DEADLINE, Ran, Scenario};

pub(crate) fn expect(ran: &Ran, code: i32, texts: &[&str]) {
    assert_eq!(ran.code, Some(code), "{}", ran.stderr);
    for text in texts {
        assert!(
            ran.stderr.contains(text),
            "{text:?} is not in: {}",
            ran.stderr
        );
    }
}

/// The relay ends with this code and says why; `check` finds the cause before it does. Neither
/// publishes or confirms anything.
async fn stops(scenario: &Scenario, code: i32, texts: &[&str], check: (&str, &str)) {
    let (subject, text) = check;
    let checked = scenario.check(3).await;
    let begins = format!("error    {subject}: ");
    assert!(
        checked
            .lines()
            .any(|line| line.starts_with(&begins) && line.contains(text)),
        "no line {begins:?} with {text:?} in:\n{}",
        checked
    );
    expect(&scenario.run_to_end().await, code, texts);
    assert_eq!(
        scenario.records().await.len(),
        PUBLISHED,
        "nothing more was published"
    );
}

/// How many messages [`published`] leaves in the topic.
const PUBLISHED: usize = 5;

/// A relay that was set up, has published something, and ended; then one more row was committed.
async fn published() -> (Scenario, Client) {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    scenario.enqueue(&client, 0..PUBLISHED).await;
    scenario.drained(&client).await;
    relay.terminate().unwrap();
    assert_eq!(relay.exited(DEADLINE).await.unwrap().code(), Some(0));
    scenario.enqueue(&client, PUBLISHED..PUBLISHED + 1).await;
    scenario.check(0).await;
    (scenario, client)
}

/// A relay that was set up with a role of its own, which must give a password.
async fn with_password(postgres: &PostgresServer) -> (Scenario, Client) {
    let kafka = testbed::shared_kafka().await.unwrap();
    let mut scenario = Scenario::new(postgres.address(), kafka).await;
    let admin = scenario.database_url.clone();
    scenario
        .init(&["--admin-url", &admin, "--relay-role", "relay"])
        .await;
    let client = scenario.client().await;
    client
        .batch_execute("alter role relay password 'right'")
        .await
        .unwrap();
    postgres
        .set_hba(&["host all relay 127.0.0.1/32 scram-sha-256"])
        .await
        .unwrap();
    let database = admin.rsplit('/').next().unwrap();
    log_in(&mut scenario, postgres, "right", database);
    (scenario, client)
}

fn log_in(scenario: &mut Scenario, postgres: &PostgresServer, password: &str, database: &str) {
    let url = postgres
        .address()
        .url_with_password("relay", password, database);
    let configuration = scenario
        .configuration()
        .replace(&scenario.database_url, &url);
    scenario.configure(&format!("{configuration}[retry]\ndelay_ms_max = 1000\n"));
}

#[tokio::test]
async fn a_deleted_checkpoint_topic_ends_with_exit_5() {
    let (scenario, _client) = published().await;
    scenario
        .topic()
        .address
        .delete_topic(&scenario.topic().checkpoints)
        .await
        .unwrap();
    wait::until("the topic gone", DEADLINE, || async {
        scenario.checkpoint().await.is_none()
    })
    .await
    .unwrap();
    let texts = ["the checkpoint is gone"];
    stops(&scenario, 5, &texts, ("checkpoint topic", "does not exist")).await;
    expect(&scenario.command(&["init"], &[]).await, 5, &["checkpoint"]);
}

/// Writes one record under the checkpoint's key, as nobody should.
fn tamper(scenario: &Scenario, payload: Option<&str>) {
    let producer: BaseProducer = scenario.topic().address.client_config().create().unwrap();
    let mut record = BaseRecord::to(&scenario.topic().checkpoints).key(&scenario.relay);
    if let Some(payload) = payload {
        record = record.payload(payload);
    }
    producer.send(record).unwrap();
    producer.flush(Duration::from_secs(30)).unwrap();
}

#[tokio::test]
async fn a_corrupt_checkpoint_ends_with_exit_5() {
    let (scenario, _client) = published().await;
    tamper(&scenario, Some("no checkpoint"));
    stops(
        &scenario,
        5,
        &["the checkpoint cannot be read"],
        ("checkpoint", ""),
    )
    .await;
}

#[tokio::test]
async fn a_missing_checkpoint_ends_with_exit_5() {
    let (scenario, _client) = published().await;
    tamper(&scenario, None);
    stops(
        &scenario,
        5,
        &["the checkpoint is gone"],
        ("checkpoint", "it is gone although one was written"),
    )
    .await;
}

#[tokio::test]
async fn passwords_and_rights_count_at_the_first_start_and_are_waited_for_later() {
    let postgres = PostgresServer::start().await.unwrap();
    let (mut scenario, client) = with_password(&postgres).await;
    scenario.check(0).await;
    let database: String = client
        .query_one("select current_database()::text", &[])
        .await
        .unwrap()
        .get(0);
    log_in(&mut scenario, &postgres, "wrong", &database);
    let refused = "password authentication failed for user \"relay\"";
    expect(&scenario.run_to_end().await, 1, &[refused]);
    let checked = scenario.check(3).await;
    assert!(checked.contains(refused), "{}", checked);
    assert!(!checked.contains("wrong"), "{}", checked);

    log_in(&mut scenario, &postgres, "right", &database);
    client
        .batch_execute("alter role relay noreplication")
        .await
        .unwrap();
    expect(&scenario.run_to_end().await, 1, &["replicat", "[42501]"]);
    let checked = scenario.check(3).await;
    let line = "error    role: relay has no REPLICATION attribute";
    assert!(checked.contains(line), "{}", checked);
    assert!(
        checked.contains("alter role relay replication"),
        "{checked}"
    );

    client
        .batch_execute("alter role relay replication")
        .await
        .unwrap();
    // The URL's password is as good as any: what counts is the file.
    let secret = scenario.file().with_extension("password");
    std::fs::write(&secret, "right\n").unwrap();
    let setting = format!("postgres.password_file={}", secret.display());
    let relay = scenario.start_with(&[&setting]);
    scenario.phase("active").await;
    scenario.enqueue(&client, 0..10).await;
    scenario.drained(&client).await;
    let throw_out = "select pg_terminate_backend(pid) from pg_stat_activity \
                     where usename = 'relay'";
    client
        .batch_execute("alter role relay password 'new'")
        .await
        .unwrap();
    client.batch_execute(throw_out).await.unwrap();
    scenario.enqueue(&client, 10..20).await;
    let status = scenario
        .status_where("refused", |status| {
            let error = status["source"]["error"].as_str().unwrap_or_default();
            error.contains("password authentication failed")
        })
        .await;
    assert_eq!(status["source"]["connected"], false, "{status}");
    assert_eq!(
        scenario.metric("outbox_connected{side=\"source\"}").await,
        Some(0.0)
    );
    for (page, code) in [("/live", 200), ("/started", 200), ("/ready", 200)] {
        assert_eq!(scenario.get(page).await.unwrap().0, code, "{page}");
    }
    // Whoever rotates it writes it into the file, too: a restart is not needed.
    std::fs::write(&secret, "new\n").unwrap();
    scenario.phase("active").await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..20).collect::<Vec<_>>());
    assert_eq!(relay.exit().unwrap(), None);
}

#[tokio::test]
async fn a_checkpoint_of_another_cluster_ends_with_exit_6() {
    let (scenario, _client) = published().await;
    let postgres = PostgresServer::start().await.unwrap();
    let database = postgres.create_database().await.unwrap();
    let url = postgres.url("postgres", &database);
    let elsewhere = testbed::unique::name("checkpoints");
    // The same relay, set up on another server with a checkpoint topic of its own.
    let here = scenario
        .configuration()
        .replace(&scenario.database_url, &url);
    scenario.configure(&here.replace(&scenario.topic().checkpoints, &elsewhere));
    scenario.init(&[]).await;
    scenario.configure(&here);
    let texts = [
        "this is cluster ",
        "the checkpoint belongs to cluster ",
        "check postgres.url",
    ];
    stops(
        &scenario,
        6,
        &texts,
        ("checkpoint", "it belongs to cluster"),
    )
    .await;
}

#[tokio::test]
async fn a_dropped_slot_ends_with_exit_4() {
    let (scenario, client) = published().await;
    let sql = "select pg_drop_replication_slot($1)";
    client.execute(sql, &[&scenario.slot()]).await.unwrap();
    let texts = ["the replication slot does not exist", "may be unpublished"];
    stops(&scenario, 4, &texts, ("slot", "does not exist")).await;
    expect(
        &scenario.command(&["init"], &[]).await,
        4,
        &["is gone although the relay has run"],
    );
}

/// As the runbook says it.
#[tokio::test]
async fn what_a_dropped_slot_kept_from_being_sent_is_found_and_sent() {
    let (scenario, client) = published().await;
    let drop = "select pg_drop_replication_slot($1)";
    client.execute(drop, &[&scenario.slot()]).await.unwrap();
    scenario
        .enqueue(&client, PUBLISHED + 1..PUBLISHED + 3)
        .await;
    let of = async |arguments: &[&str]| scenario.command(arguments, &[]).await;

    let found = of(&["verify", "--json"]).await;
    assert_eq!(found.code, Some(3), "{}", found.stderr);
    let report: serde_json::Value = serde_json::from_str(&found.stdout).unwrap();
    let missing = report["findings"].as_array().unwrap().iter();
    let missing: Vec<_> = missing
        .filter(|finding| finding["kind"] == "missing")
        .map(|finding| finding["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(missing.len(), 3, "{report:#}");
    assert!(found.stdout.contains("does not exist"), "{report:#}");

    expect(&of(&["remove", "--yes"]).await, 0, &[]);
    expect(&of(&["init", "--backlog", "skip"]).await, 0, &[]);
    let _relay = scenario.start_active().await;
    let times = [
        "--from",
        "2000-01-01T00:00:00Z",
        "--to",
        "2100-01-01T00:00:00Z",
    ];
    let mut redeliver = vec!["redeliver", "--yes", "--wait"];
    redeliver.extend(times);
    for id in &missing {
        redeliver.extend(["--id", id]);
    }
    expect(&of(&redeliver).await, 0, &[]);
    expect(&of(&["verify"]).await, 0, &[]);
    let all: Vec<_> = (0..PUBLISHED + 3).collect();
    assert_eq!(scenario.numbers().await, all);
}

#[tokio::test]
async fn a_slot_that_was_made_anew_ends_with_exit_5() {
    let (scenario, client) = published().await;
    let drop = "select pg_drop_replication_slot($1)";
    client.execute(drop, &[&scenario.slot()]).await.unwrap();
    let make = "select pg_create_logical_replication_slot($1, 'pgoutput')";
    client.execute(make, &[&scenario.slot()]).await.unwrap();
    let texts = [
        "the slot is confirmed up to ",
        "messages in between were never published",
    ];
    stops(&scenario, 5, &texts, ("checkpoint", "behind the slot")).await;
    let before = scenario.evidence(&client).await;
    expect(&scenario.run_to_end().await, 5, &texts);
    assert_eq!(scenario.evidence(&client).await, before);
}

#[tokio::test]
async fn a_slot_ahead_of_the_checkpoint_ends_with_exit_5() {
    let (scenario, client) = published().await;
    let sql = "select pg_replication_slot_advance($1, pg_current_wal_lsn())";
    client.execute(sql, &[&scenario.slot()]).await.unwrap();
    let texts = [
        "the slot is confirmed up to ",
        "messages in between were never published",
    ];
    stops(&scenario, 5, &texts, ("checkpoint", "behind the slot")).await;
}
