//! Faults of Kafka.

use testbed::{KafkaServer, unique};

use super::finds;
use crate::scenario::Scenario;

#[tokio::test]
async fn faults_of_topics_are_found() {
    let scenario = Scenario::initialised().await;
    let kafka = &scenario.topic().address;
    let topic = async |setting: (&str, &str)| {
        let name = unique::name("unfit");
        let created = kafka.create_topic_with(&name, 1, &[setting]).await;
        created.unwrap();
        name
    };

    let subject = "checkpoint topic";
    let compact = ("cleanup.policy", "compact");
    let cases = [
        (
            topic(("cleanup.policy", "delete")).await,
            "checkpoints will be deleted",
        ),
        (
            topic(("min.insync.replicas", "2")).await,
            "nothing can be written",
        ),
        (unique::name("missing"), "does not exist"),
    ];
    for (name, says) in cases {
        let setting = format!("kafka.checkpoint_topic={name}");
        finds(&scenario, &[&setting], ("error", subject), says).await;
    }
    let wide = unique::name("wide");
    kafka.create_topic_with(&wide, 2, &[compact]).await.unwrap();
    let setting = format!("kafka.checkpoint_topic={wide}");
    finds(
        &scenario,
        &[&setting],
        ("error", subject),
        "it must have one",
    )
    .await;

    let cases = [
        (
            topic(("min.insync.replicas", "2")).await,
            "error",
            "nothing can be written",
        ),
        (
            topic(("max.message.bytes", "1000")).await,
            "warning",
            "takes records of up to 1000 bytes",
        ),
        (topic(compact).await, "warning", "is compacted"),
        (
            topic(("unclean.leader.election.enable", "true")).await,
            "warning",
            "lets a replica lead that lacks what was acknowledged",
        ),
        (
            unique::name("missing"),
            "error",
            "its first message is refused",
        ),
    ];
    for (name, level, says) in cases {
        let setting = format!("relay.destinations={name}");
        finds(&scenario, &[&setting], (level, "destination"), says).await;
    }

    let one_broker = ["kafka.create_topics=true", "kafka.replication_factor=3"];
    let says = "asks for 3 replicas, of 1 brokers";
    finds(&scenario, &one_broker, ("warning", "destination"), says).await;

    let port = testbed::ReservedPort::find().unwrap();
    let nobody = format!(
        "kafka.properties.bootstrap.servers=127.0.0.1:{}",
        port.number()
    );
    finds(&scenario, &[&nobody], ("error", "kafka"), "").await;
}

#[tokio::test]
async fn what_the_broker_does_not_allow_is_found() {
    let kafka = KafkaServer::options()
        .authorizer()
        .setting("transaction.max.timeout.ms", "60000")
        .start()
        .await
        .unwrap();
    let postgres = testbed::shared_postgres().await.unwrap();
    let scenario = Scenario::new(postgres, kafka.address()).await;
    let longer = "kafka.properties.transaction.timeout.ms=90000";
    let transactions = ("error", "transactions");
    finds(
        &scenario,
        &[longer],
        transactions,
        "transaction.max.timeout.ms of 60000",
    )
    .await;

    scenario.init(&[]).await;
    finds(&scenario, &[], ("ok", "transactions"), "").await;
    let id = format!("outbox-{}", scenario.relay);
    kafka.forbid_transactions(&id).await.unwrap();
    finds(
        &scenario,
        &[],
        transactions,
        "Transactional Id authorization failed",
    )
    .await;
    let secret = kafka
        .address()
        .create_unique_topic("secret", 1)
        .await
        .unwrap();
    kafka.forbid_all(&secret).await.unwrap();
    let setting = format!("relay.destinations={secret}");
    finds(
        &scenario,
        &[&setting],
        ("error", "destination"),
        "may not be described",
    )
    .await;
}
