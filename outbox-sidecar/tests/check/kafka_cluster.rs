//! What only a cluster of several brokers can be wrong about.

use testbed::{KafkaServer, unique};

use super::{findings, finds};
use crate::scenario::Scenario;

#[tokio::test]
async fn topics_with_fewer_replicas_than_are_safe_are_found() {
    let first = KafkaServer::start().await.unwrap();
    let member = |node_id| KafkaServer::options().member_of(&first, node_id).start();
    let _others = tokio::try_join!(member(2), member(3)).unwrap();
    let kafka = first.address();
    let postgres = testbed::shared_postgres().await.unwrap();
    let scenario = Scenario::new(postgres, kafka).await;
    scenario
        .init(&["--set", "kafka.replication_factor=3"])
        .await;
    let (found, _) = findings(&scenario, &[]).await;
    let alarms: Vec<_> = found
        .iter()
        .filter(|finding| finding["subject"] == "checkpoint topic" && finding["level"] != "ok")
        .collect();
    assert!(alarms.is_empty(), "init makes it safe: {alarms:#?}");

    let topic = async |replicas| {
        let name = unique::name("replicas");
        kafka
            .create_replicated_topic(&name, replicas)
            .await
            .unwrap();
        name
    };
    let few = format!("kafka.checkpoint_topic={}", topic(2).await);
    let line = ("warning", "checkpoint topic");
    finds(
        &scenario,
        &[&few],
        line,
        "has 2 replicas, of 3 that it could have",
    )
    .await;
    let unsafe_one = format!("relay.destinations={}", topic(3).await);
    let says = "acknowledges what a single replica has";
    finds(&scenario, &[&unsafe_one], ("warning", "destination"), says).await;
}
