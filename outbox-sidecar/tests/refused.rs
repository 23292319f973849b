//! What cannot work, or must not go on: the message, the exit code, and that nothing is published.

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::time::Duration;
use testbed::{PostgresServer, wait};

use crate::scenario::{DEADLINE, Ran, Scenario, connect};

fn ends(ran: &Ran, code: i32, words: &str) {
    assert_eq!(ran.code, Some(code), "{}", ran.stderr);
    assert!(
        ran.stderr.contains(words),
        "expected {words:?} in {}",
        ran.stderr
    );
}

/// A relay that has published ten messages and is stopped.
async fn stopped() -> (Scenario, tokio_postgres::Client) {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    scenario.enqueue(&client, 0..10).await;
    scenario.drained(&client).await;
    relay.terminate().unwrap();
    relay.exited(DEADLINE).await.unwrap();
    (scenario, client)
}

#[tokio::test]
async fn a_dropped_slot_ends_with_exit_4() {
    let (scenario, client) = stopped().await;
    let sql = format!(
        "select pg_drop_replication_slot('outbox_{}')",
        scenario.relay
    );
    client.batch_execute(&sql).await.unwrap();
    ends(
        &scenario.run_to_end().await,
        4,
        "the replication slot does not exist",
    );
    ends(
        &scenario.command(&["init"], &[]).await,
        4,
        "is gone although the relay has run",
    );
}

#[tokio::test]
async fn a_slot_ahead_of_the_checkpoint_ends_with_exit_5() {
    let (scenario, client) = stopped().await;
    scenario.enqueue(&client, 10..20).await;
    let sql = format!(
        "select pg_replication_slot_advance('outbox_{}', pg_current_wal_lsn())",
        scenario.relay
    );
    client.batch_execute(&sql).await.unwrap();
    ends(
        &scenario.run_to_end().await,
        5,
        "messages in between were never published",
    );
    assert_eq!(scenario.numbers().await, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_deleted_checkpoint_topic_ends_with_exit_5() {
    let (scenario, _client) = stopped().await;
    scenario
        .kafka
        .delete_topic(&scenario.checkpoint_topic)
        .await
        .unwrap();
    let ran = scenario.run_to_end().await;
    ends(
        &ran,
        5,
        &format!(
            "the checkpoint topic \"{}\" does not exist",
            scenario.checkpoint_topic
        ),
    );
}

/// Writes one record to the checkpoint topic, as nobody should.
fn tamper(scenario: &Scenario, key: &str, payload: Option<&[u8]>) {
    let producer: BaseProducer = scenario.kafka.client_config().create().unwrap();
    let mut record = BaseRecord::to(&scenario.checkpoint_topic)
        .key(key)
        .partition(0);
    if let Some(payload) = payload {
        record = record.payload(payload);
    }
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(Duration::from_secs(30)).unwrap();
}

#[tokio::test]
async fn a_corrupt_checkpoint_ends_with_exit_5() {
    let (scenario, _client) = stopped().await;
    tamper(
        &scenario,
        &scenario.relay,
        Some(b"{\"checksum\":\"00000000\",\"checkpoint\":{}}"),
    );
    ends(
        &scenario.run_to_end().await,
        5,
        "the checkpoint cannot be read",
    );
}

#[tokio::test]
async fn a_missing_checkpoint_ends_with_exit_5() {
    let (scenario, _client) = stopped().await;
    tamper(&scenario, &scenario.relay, None);
    ends(&scenario.run_to_end().await, 5, "the checkpoint is gone");
}

#[tokio::test]
async fn a_checkpoint_of_another_cluster_ends_with_exit_6() {
    let (scenario, _client) = stopped().await;
    let other = PostgresServer::start().await.unwrap();
    let database = other.create_database().await.unwrap();
    let url = other.url("postgres", &database);
    // A copy of the set-up on another server: only its identity differs.
    let copy = scenario
        .configuration()
        .replace(&scenario.database_url, &url);
    let elsewhere = copy.replace(
        &scenario.checkpoint_topic,
        &testbed::unique::name("elsewhere"),
    );
    scenario.configure(&elsewhere);
    scenario.init(&[]).await;
    scenario.configure(&copy);
    let ran = scenario.run_to_end().await;
    ends(&ran, 6, "the checkpoint belongs to cluster");
    let client = connect(&url).await;
    let sql = "select active from pg_replication_slots where slot_name = $1";
    let slot = format!("outbox_{}", scenario.relay);
    assert!(
        !client
            .query_one(sql, &[&slot])
            .await
            .unwrap()
            .get::<_, bool>(0)
    );
}

#[tokio::test]
async fn a_missing_or_altered_publication_is_refused() {
    let (scenario, client) = stopped().await;
    let name = format!("outbox_{}", scenario.relay);
    let sql = format!("alter publication {name} set table outbox.message where (type <> 'X')");
    client.batch_execute(&sql).await.unwrap();
    ends(
        &scenario.run_to_end().await,
        2,
        "the publication was altered",
    );
    let columns = "id, destination, key, type, content_type, headers, created_at";
    let sql = format!("alter publication {name} set table outbox.message ({columns})");
    client.batch_execute(&sql).await.unwrap();
    ends(
        &scenario.run_to_end().await,
        2,
        "it leaves out the column payload",
    );
    client
        .batch_execute(&format!("drop publication {name}"))
        .await
        .unwrap();
    ends(
        &scenario.run_to_end().await,
        4,
        "the publication does not exist",
    );
}

#[tokio::test]
async fn a_configuration_that_the_publication_was_not_made_for_is_refused() {
    let (scenario, _client) = stopped().await;
    let text = scenario.configuration();
    scenario.configure(&text.replace("[postgres]", "destinations = [\"other-*\"]\n[postgres]"));
    ends(
        &scenario.run_to_end().await,
        2,
        "the publication was made for destinations",
    );
    ends(
        &scenario.command(&["init"], &[]).await,
        2,
        "put the configuration back",
    );
}

#[tokio::test]
async fn a_missing_topic_halts_the_relay_behind_what_is_good() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    client
        .batch_execute(&format!(
            "begin; \
             insert into outbox.message (destination, type, payload) values ('{0}', 'T', '0'); \
             insert into outbox.message (destination, type, payload) values ('nowhere', 'T', '1'); \
             insert into outbox.message (destination, type, payload) values ('{0}', 'T', '2'); \
             commit",
            scenario.topic
        ))
        .await
        .unwrap();
    scenario.phase("held").await;
    let line = relay
        .logged("the refusal", DEADLINE, |line| {
            line["destination"] == "nowhere"
        })
        .await
        .unwrap();
    assert_eq!(line["reason"], "destination-missing");
    assert!(
        line["message_id"].is_string() && line["position"].is_string(),
        "{line}"
    );
    let (code, body) = scenario.get("/ready").await.unwrap();
    assert_eq!(code, 503, "{body}");
    assert!(body.contains("nowhere"), "{body}");
    assert_eq!(scenario.get("/live").await.unwrap().0, 200);
    assert_eq!(scenario.numbers().await, [0]);
    // Mended and started again, it goes on where it stood.
    scenario.kafka.create_topic("nowhere", 1).await.unwrap();
    relay.terminate().unwrap();
    assert_eq!(relay.exited(DEADLINE).await.unwrap().code(), Some(0));
    relay.restart().unwrap();
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, [0, 2]);
    scenario.kafka.delete_topic("nowhere").await.unwrap();
}

#[tokio::test]
async fn a_server_that_cannot_replicate_is_refused_before_anything_is_made() {
    let server = PostgresServer::options()
        .setting("wal_level", "replica")
        .start()
        .await
        .unwrap();
    let scenario = Scenario::new(server.address(), testbed::shared_kafka().await.unwrap()).await;
    ends(
        &scenario.command(&["init"], &[]).await,
        1,
        "wal_level is replica",
    );
    let ran = scenario.command(&["check"], &[]).await;
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(
        ran.stdout.contains("alter system set wal_level = logical"),
        "{}",
        ran.stdout
    );
    let server = PostgresServer::options()
        .setting("max_replication_slots", "0")
        .start()
        .await;
    let server = server.unwrap();
    let scenario = Scenario::new(server.address(), testbed::shared_kafka().await.unwrap()).await;
    let ran = scenario.command(&["init"], &[]).await;
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("creating the replication slot"),
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn passwords_and_rights_count_at_the_first_start_and_are_waited_for_later() {
    let server = PostgresServer::options()
        .hba("host all relay_login 127.0.0.1/32 scram-sha-256")
        .start()
        .await
        .unwrap();
    let scenario = Scenario::new(server.address(), testbed::shared_kafka().await.unwrap()).await;
    let admin = scenario.client().await;
    admin
        .batch_execute("create role relay_login login password 'right' noreplication")
        .await
        .unwrap();
    let admin_url = scenario.database_url.clone();
    let database = admin_url.rsplit_once('/').unwrap().1;
    let with_password = |password: &str| {
        let url = server
            .address()
            .url_with_password("relay_login", password, database);
        scenario.configure(&scenario.configuration().replace(&admin_url, &url));
    };
    with_password("right");
    scenario
        .init(&["--admin-url", &admin_url, "--relay-role", "relay_login"])
        .await;

    with_password("wrong");
    ends(&scenario.run_to_end().await, 1, "28P01");
    with_password("right");
    admin
        .batch_execute("alter role relay_login noreplication")
        .await
        .unwrap();
    ends(&scenario.run_to_end().await, 1, "42501");
    admin
        .batch_execute("alter role relay_login replication")
        .await
        .unwrap();

    let relay = scenario.start_active().await;
    scenario.enqueue(&admin, 0..5).await;
    scenario.drained(&admin).await;
    // Rotated behind the relay's back: it stays up and goes on once the password is put right.
    let rotate = "alter role relay_login password 'new'; \
                  select pg_terminate_backend(pid) from pg_stat_activity \
                  where usename = 'relay_login'";
    admin.batch_execute(rotate).await.unwrap();
    relay
        .logged("the refusal", DEADLINE, |line| {
            line["kind"] == "authentication-refused"
        })
        .await
        .unwrap();
    assert_eq!(relay.exit().unwrap(), None);
    scenario.enqueue(&admin, 5..10).await;
    admin
        .batch_execute("alter role relay_login password 'right'")
        .await
        .unwrap();
    scenario.drained(&admin).await;
    assert_eq!(scenario.numbers().await, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn servers_that_are_away_are_waited_for() {
    let (postgres, kafka) =
        tokio::try_join!(PostgresServer::start(), testbed::KafkaServer::start()).unwrap();
    let scenario = Scenario::new(postgres.address(), kafka.address()).await;
    scenario.init(&[]).await;
    let client = scenario.client().await;
    scenario.enqueue(&client, 0..10).await;
    drop(client);
    kafka.kill().await.unwrap();
    postgres.stop(testbed::Shutdown::Fast).await.unwrap();

    let relay = scenario.start();
    let says = |side: &'static str| {
        let scenario = &scenario;
        move || async move {
            scenario
                .status()
                .await
                .is_some_and(|status| status[side]["error"].is_string())
        }
    };
    wait::until("the source's trouble in /status", DEADLINE, says("source"))
        .await
        .unwrap();
    assert_eq!(scenario.get("/live").await.unwrap().0, 200);
    assert_eq!(scenario.get("/started").await.unwrap().0, 503);
    postgres.restart().await.unwrap();
    wait::until("the sink's trouble in /status", DEADLINE, says("sink"))
        .await
        .unwrap();
    let (_, metrics) = scenario.get("/metrics").await.unwrap();
    assert!(metrics.contains("outbox_retries_total"), "{metrics}");
    kafka.restart().await.unwrap();
    let client = scenario.client().await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..10).collect::<Vec<_>>());
    let refusals = relay.log().unwrap();
    let repeated = refusals
        .iter()
        .filter(|line| line["message"] == "trouble")
        .count();
    assert!(
        repeated < 20,
        "one line a change, not one a try: {repeated}"
    );
}
