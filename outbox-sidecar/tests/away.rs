//! Servers that are away, at the start or later, and a topic that is missing: the relay stays up,
//! says so once a change, and loses nothing.

use serde_json::Value;
use testbed::{KafkaServer, PostgresServer, Program, Shutdown};

use crate::scenario::observation::{assert_calm, lines};
use crate::scenario::{DEADLINE, Scenario};

/// So that a test does not wait for half a minute once a server is back.
const IMPATIENT: [&str; 1] = ["retry.delay_ms_max=2000"];

async fn is_away(scenario: &Scenario, side: &str) {
    let status = scenario
        .status_where(&format!("{side} away"), |status| {
            status[side]["connected"] == false && status[side]["error"].is_string()
        })
        .await;
    let connected = format!("outbox_connected{{side=\"{side}\"}}");
    assert_eq!(scenario.metric(&connected).await, Some(0.0), "{status}");
    assert_eq!(scenario.get("/live").await.unwrap().0, 200);
}

async fn retries(scenario: &Scenario, side: &str) -> f64 {
    let (_, page) = scenario.get("/metrics").await.unwrap();
    let label = format!("side=\"{side}\"");
    page.lines()
        .filter(|line| line.starts_with("outbox_retries_total{") && line.contains(&label))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

/// Waits until the side has failed often enough to show whether each failure has a line.
async fn fails_often(scenario: &Scenario, side: &str) {
    testbed::wait::until("several retries", DEADLINE, || async {
        retries(scenario, side).await >= 8.0
    })
    .await
    .unwrap();
}

/// One line a change: the same trouble is not told twice in a row.
fn assert_one_line_a_change(relay: &Program) {
    let troubles = lines(relay, "trouble");
    assert!(!troubles.is_empty());
    let mut last: std::collections::HashMap<String, String> = std::collections::HashMap::new();
    for line in relay.log().unwrap() {
        let side = line["side"].as_str().unwrap_or_default().to_owned();
        if line["message"] == "works again" {
            last.remove(&side);
        } else if line["message"] == "trouble" {
            let said = format!("{} {}", line["kind"], line["error"]);
            assert_ne!(last.insert(side, said.clone()), Some(said), "told twice");
        }
    }
}

#[tokio::test]
async fn kafka_away_at_the_start_and_later() {
    let kafka = KafkaServer::start().await.unwrap();
    let postgres = testbed::shared_postgres().await.unwrap();
    let scenario = Scenario::new(postgres, kafka.address()).await;
    scenario.init(&[]).await;
    let client = scenario.client().await;
    kafka.kill().await.unwrap();

    let relay = scenario.start_with(&IMPATIENT);
    scenario.enqueue(&client, 0..50).await;
    is_away(&scenario, "sink").await;
    assert_eq!(
        scenario.get("/ready").await.unwrap().0,
        503,
        "it was never active"
    );
    kafka.restart().await.unwrap();
    scenario.phase("active").await;
    scenario.drained(&client).await;
    assert_eq!(scenario.get("/ready").await.unwrap().0, 200);

    kafka.kill().await.unwrap();
    scenario.enqueue(&client, 50..100).await;
    is_away(&scenario, "sink").await;
    fails_often(&scenario, "sink").await;
    assert_eq!(
        scenario.get("/ready").await.unwrap().0,
        200,
        "it takes part and waits"
    );
    kafka.restart().await.unwrap();
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..100).collect::<Vec<_>>());
    assert_calm(&relay);
    assert_one_line_a_change(&relay);
    assert!(!lines(&relay, "works again").is_empty());
}

#[tokio::test]
async fn postgresql_away_at_the_start_and_later() {
    let postgres = PostgresServer::start().await.unwrap();
    let kafka = testbed::shared_kafka().await.unwrap();
    let scenario = Scenario::new(postgres.address(), kafka).await;
    scenario.init(&[]).await;
    scenario.enqueue(&scenario.client().await, 0..50).await;
    postgres.stop(Shutdown::Fast).await.unwrap();

    let relay = scenario.start_with(&IMPATIENT);
    is_away(&scenario, "source").await;
    assert_eq!(scenario.get("/started").await.unwrap().0, 503);
    postgres.restart().await.unwrap();
    scenario.phase("active").await;
    let client = scenario.client().await;
    scenario.drained(&client).await;

    postgres.stop(Shutdown::Immediate).await.unwrap();
    is_away(&scenario, "source").await;
    fails_often(&scenario, "source").await;
    assert_eq!(
        scenario.get("/ready").await.unwrap().0,
        200,
        "it takes part and waits"
    );
    postgres.restart().await.unwrap();
    let client = scenario.client().await;
    scenario.enqueue(&client, 50..100).await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..100).collect::<Vec<_>>());
    assert_calm(&relay);
    assert_one_line_a_change(&relay);
}

#[tokio::test]
async fn servers_that_are_away_are_waited_for() {
    let (postgres, kafka) =
        tokio::try_join!(PostgresServer::start(), KafkaServer::start()).unwrap();
    let scenario = Scenario::new(postgres.address(), kafka.address()).await;
    scenario.init(&[]).await;
    scenario.enqueue(&scenario.client().await, 0..50).await;
    kafka.kill().await.unwrap();
    postgres.stop(Shutdown::Fast).await.unwrap();

    let relay = scenario.start_with(&IMPATIENT);
    is_away(&scenario, "source").await;
    postgres.restart().await.unwrap();
    is_away(&scenario, "sink").await;
    kafka.restart().await.unwrap();
    scenario.phase("active").await;
    let client = scenario.client().await;
    scenario.drained(&client).await;

    kafka.kill().await.unwrap();
    scenario.enqueue(&client, 50..100).await;
    postgres.stop(Shutdown::Immediate).await.unwrap();
    is_away(&scenario, "source").await;
    kafka.restart().await.unwrap();
    postgres.restart().await.unwrap();
    let client = scenario.client().await;
    scenario.enqueue(&client, 100..150).await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..150).collect::<Vec<_>>());
    assert_calm(&relay);
    assert_one_line_a_change(&relay);
}

#[tokio::test]
async fn a_missing_topic_halts_the_relay_behind_what_is_good() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let missing = testbed::unique::name("missing");
    client.batch_execute("begin").await.unwrap();
    scenario.enqueue(&client, 0..5).await;
    let sql = "select outbox.enqueue($1, 'T', convert_to('5', 'UTF8'), 'k')::text";
    let id: String = client.query_one(sql, &[&missing]).await.unwrap().get(0);
    scenario.enqueue(&client, 6..10).await;
    client.batch_execute("commit").await.unwrap();

    let relay = scenario.start_with(&["stuck.policy=halt"]);
    let status = scenario
        .status_where("held", |status| status["phase"] == "held")
        .await;
    let held = &status["held"];
    assert_eq!(held["message_id"], id.as_str(), "{status}");
    assert_eq!(held["destination"], missing.as_str(), "{status}");
    assert_eq!(held["reason"], "destination-missing", "{status}");
    let position = held["position"].as_str().unwrap();
    assert!(
        position.ends_with(":5"),
        "the sixth of its transaction: {position}"
    );
    let error: Vec<Value> = relay.log().unwrap();
    let error = error.iter().find(|line| line["level"] == "ERROR").unwrap();
    assert_eq!(error["message_id"], id.as_str(), "{error}");
    assert_eq!(error["position"], position, "{error}");
    assert_eq!(error["reason"], "destination-missing", "{error}");
    assert_eq!(scenario.get("/live").await.unwrap().0, 200);
    let (code, reason) = scenario.get("/ready").await.unwrap();
    assert!(
        code == 503 && reason.contains(&id) && reason.contains(&missing),
        "{code} {reason}"
    );
    assert_eq!(scenario.numbers().await, (0..5).collect::<Vec<_>>());

    scenario
        .topic()
        .address
        .create_topic(&missing, 1)
        .await
        .unwrap();
    relay.terminate().unwrap();
    assert_eq!(relay.exited(DEADLINE).await.unwrap().code(), Some(0));
    relay.restart().unwrap();
    scenario.phase("active").await;
    scenario.drained(&client).await;
    assert_eq!(
        scenario.numbers().await,
        (0..5).chain(6..10).collect::<Vec<_>>()
    );
    let other = testbed::history::read(&scenario.topic().address, &[&missing], DEADLINE)
        .await
        .unwrap();
    assert_eq!(other.len(), 1, "{other:?}");
}
