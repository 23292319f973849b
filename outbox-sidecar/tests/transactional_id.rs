//! What others can do to the relay's transactional id and its topic of checkpoints.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use testbed::{KafkaAddress, KafkaServer};

use crate::scenario::observation::lines;
use crate::scenario::{DEADLINE, Scenario};
use crate::target::Target;

/// A producer under this id, as another program would have it.
fn stranger(scenario: &Scenario, transactional_id: &str) -> BaseProducer {
    let mut config = scenario.topic().address.client_config();
    config.set("transactional.id", transactional_id);
    config.set("transaction.timeout.ms", "60000");
    let stranger: BaseProducer = config.create().unwrap();
    stranger.init_transactions(DEADLINE).unwrap();
    stranger
}

#[tokio::test]
async fn a_stranger_who_takes_the_transactional_id_is_fenced_and_named() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    scenario.enqueue(&client, 0..10).await;
    scenario.drained(&client).await;
    let id = format!("outbox-{}", scenario.relay);
    let stranger = stranger(&scenario, &id);
    stranger.begin_transaction().unwrap();
    let topic = scenario.target.destination().to_owned();
    stranger
        .send(BaseRecord::to(&topic).key("k").payload("not ours"))
        .unwrap();
    stranger.flush(DEADLINE).unwrap();
    scenario.enqueue(&client, 10..20).await;
    scenario.drained(&client).await;
    assert!(
        stranger.commit_transaction(DEADLINE).is_err(),
        "it is fenced"
    );
    assert_eq!(scenario.numbers().await, (0..20).collect::<Vec<_>>());
    assert!(scenario.metric("outbox_fenced_total").await >= Some(1.0));
    let fenced = "fenced: another relay of this name publishes, or a program under its id";
    assert_eq!(lines(&relay, fenced).len(), 1);
}

/// Readers of committed records see nothing behind it, the relay's own look at its checkpoint included.
#[tokio::test]
async fn an_open_transaction_in_the_topic_of_checkpoints_is_waited_for_and_named() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let stranger = stranger(&scenario, &testbed::unique::name("stranger"));
    stranger.begin_transaction().unwrap();
    let checkpoints = scenario.topic().checkpoints.clone();
    let record = BaseRecord::to(&checkpoints).key("stranger").payload("");
    stranger.send(record).unwrap();
    stranger.flush(DEADLINE).unwrap();
    scenario.enqueue(&client, 0..10).await;
    let relay = scenario.start();
    let waits = |status: &serde_json::Value| {
        let error = status["sink"]["error"].as_str().unwrap_or_default();
        error.contains("open transaction")
    };
    scenario.status_where("waiting for it", waits).await;
    stranger.abort_transaction(DEADLINE).unwrap();
    scenario.phase("active").await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..10).collect::<Vec<_>>());
    assert_eq!(relay.exit().unwrap(), None);
}

/// The first checkpoint stands behind it: nobody takes that one for gone.
#[tokio::test]
async fn an_open_transaction_from_before_init_is_waited_for_and_named() {
    const NAMED: &str = "an open transaction of another in the topic of checkpoints";
    let (postgres, kafka) =
        tokio::try_join!(testbed::shared_postgres(), testbed::shared_kafka()).unwrap();
    let Target::Kafka(mut topic) = Target::kafka(kafka).await else {
        unreachable!("it is Kafka's");
    };
    topic.checkpoints = kafka.create_unique_topic("checkpoints", 1).await.unwrap();
    let checkpoints = topic.checkpoints.clone();
    let scenario = Scenario::to(postgres, Target::Kafka(topic)).await;
    let stranger = stranger(&scenario, &testbed::unique::name("stranger"));
    stranger.begin_transaction().unwrap();
    let record = BaseRecord::to(&checkpoints).key("stranger").payload("");
    stranger.send(record).unwrap();
    stranger.flush(DEADLINE).unwrap();
    scenario.init(&[]).await;
    let client = scenario.client().await;
    scenario.enqueue(&client, 0..10).await;
    let relay = scenario.start();
    let waits = |status: &serde_json::Value| {
        let error = status["sink"]["error"].as_str().unwrap_or_default();
        error.contains(NAMED)
    };
    scenario.status_where("waiting for it", waits).await;
    let checked = scenario.command(&["check"], &[]).await;
    assert!(checked.stdout.contains(NAMED), "{}", checked.stdout);
    assert!(!checked.stdout.contains("gone"), "{}", checked.stdout);
    let again = async {
        let waiting = scenario.command(&["init"], &[]);
        let ended = async {
            scenario.status_where("still waiting", waits).await;
            stranger.abort_transaction(DEADLINE).unwrap();
        };
        tokio::join!(waiting, ended).0
    };
    let again = again.await;
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    scenario.phase("active").await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..10).collect::<Vec<_>>());
    assert_eq!(relay.exit().unwrap(), None);
}

/// Waits until the coordinator has written that it knows the id no more.
fn until_forgotten(kafka: &KafkaAddress, id: &str) {
    const LOG: &str = "__transaction_state";
    let mut config = kafka.client_config();
    config.set("group.id", testbed::unique::name("forgotten"));
    let consumer: BaseConsumer = config.create().unwrap();
    let metadata = consumer.fetch_metadata(Some(LOG), DEADLINE).unwrap();
    let mut all = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        all.add_partition_offset(LOG, partition.id(), Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&all).unwrap();
    let end = Instant::now() + DEADLINE;
    while Instant::now() < end {
        let Some(record) = consumer.poll(Duration::from_millis(200)) else {
            continue;
        };
        let record = record.unwrap();
        // The id follows two lengths.
        let is_ours = record.key().is_some_and(|key| key.ends_with(id.as_bytes()));
        if is_ours && record.payload().is_none() {
            return;
        }
    }
    panic!("{id} was not forgotten within {DEADLINE:?}");
}

/// Kafka forgets ids that nobody uses (`transactional.id.expiration.ms`, seven days).
#[tokio::test]
async fn a_transactional_id_that_the_broker_has_forgotten_is_made_anew() {
    let kafka = KafkaServer::options()
        .setting("transactional.id.expiration.ms", "1000")
        .setting(
            "transaction.remove.expired.transaction.cleanup.interval.ms",
            "500",
        )
        .setting("producer.id.expiration.ms", "1000")
        .setting("producer.id.expiration.check.interval.ms", "500")
        .start()
        .await
        .unwrap();
    let postgres = testbed::shared_postgres().await.unwrap();
    let scenario = Scenario::new(postgres, kafka.address()).await;
    scenario.init(&[]).await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    scenario.enqueue(&client, 0..10).await;
    scenario.drained(&client).await;
    let id = format!("outbox-{}", scenario.relay);
    let address = kafka.address().clone();
    let forgotten = tokio::task::spawn_blocking(move || until_forgotten(&address, &id));
    forgotten.await.unwrap();
    scenario.enqueue(&client, 10..20).await;
    scenario.drained(&client).await;
    assert_eq!(scenario.numbers().await, (0..20).collect::<Vec<_>>());
    let trouble = lines(&relay, "trouble");
    let named = trouble.iter().any(|line| {
        let error = line["error"].as_str().unwrap_or_default();
        error.contains("INVALID_PRODUCER_ID_MAPPING")
    });
    assert!(named, "{trouble:#?}");
}
