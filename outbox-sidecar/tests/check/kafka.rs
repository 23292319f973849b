//! Faults of Kafka.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use testbed::{KafkaAddress, KafkaServer, unique, wait};

use super::{findings, finds};
use crate::scenario::{DEADLINE, Scenario};

/// How long a broker may take to answer a test.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Beginning and end of each partition, as a reader of everything sees them; none while one of them has
/// no leader yet.
async fn ends(kafka: &KafkaAddress, topic: &str) -> Option<Vec<(i64, i64)>> {
    let (config, topic) = (kafka.client_config(), topic.to_owned());
    let look = move || {
        let reader: BaseConsumer = config.create().unwrap();
        let metadata = reader.fetch_metadata(Some(&topic), ANSWER_MAX).ok()?;
        let partitions = metadata.topics().first()?.partitions().iter();
        partitions
            .map(|partition| {
                reader
                    .fetch_watermarks(&topic, partition.id(), ANSWER_MAX)
                    .ok()
            })
            .collect()
    };
    tokio::task::spawn_blocking(look).await.unwrap()
}

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
    let setting = format!("kafka.checkpoint_topic={}", unique::name("missing"));
    let (found, _) = findings(&scenario, &[&setting]).await;
    let of_transactions = found
        .iter()
        .find(|finding| finding["subject"] == "transactions");
    assert!(
        of_transactions.is_none(),
        "it follows from the topic: {found:#?}"
    );
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
    let says = "asks for 3 replicas, and there is only 1 broker";
    finds(&scenario, &one_broker, ("warning", "destination"), says).await;

    let clear = [
        "kafka.properties.security.protocol=SASL_PLAINTEXT",
        "kafka.properties.sasl.mechanism=PLAIN",
        "kafka.properties.sasl.username=relay",
        "kafka.properties.sasl.password=secret",
    ];
    let says = "SASL PLAIN without TLS: whoever listens on the way reads the password";
    finds(&scenario, &clear, ("warning", "kafka"), says).await;

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
    let id = format!("outbox-{}", scenario.relay);
    let ok = ("ok", "transactions");
    let tried = format!("as {id}");
    finds(&scenario, &[], ok, &tried).await;
    let client = scenario.client().await;
    let relay = scenario.start_active().await;
    finds(&scenario, &[], ok, &format!("not tried as {id}: process ")).await;
    scenario.enqueue(&client, 0..10).await;
    scenario.drained(&client).await;
    relay.terminate().unwrap();
    assert_eq!(relay.exited(DEADLINE).await.unwrap().code(), Some(0));
    let (found, _) = findings(&scenario, &[]).await;
    let is_tried = |finding: &serde_json::Value| {
        finding["subject"] == "transactions" && finding["message"] == tried.as_str()
    };
    assert!(found.iter().any(is_tried), "{found:#?}");
    kafka.forbid_transactions(&id).await.unwrap();
    finds(
        &scenario,
        &[],
        transactions,
        "Transactional Id authorization failed",
    )
    .await;
    let closed = kafka
        .address()
        .create_unique_topic("closed", 1)
        .await
        .unwrap();
    let setting = format!("relay.destinations={closed}");
    let (found, _) = findings(&scenario, &[&setting]).await;
    let granted = |finding: &serde_json::Value| {
        finding["subject"] == "right to write" && finding["message"] == closed.as_str()
    };
    assert!(found.iter().any(granted), "{found:#?}");
    assert_eq!(
        ends(kafka.address(), &closed).await,
        Some(vec![(0, 0)]),
        "tried, and left nothing"
    );
    kafka.forbid_writes(&closed).await.unwrap();
    let says = "may not be written to: its messages would be set aside";
    finds(&scenario, &[&setting], ("error", "right to write"), says).await;
    assert_eq!(ends(kafka.address(), &closed).await, Some(vec![(0, 0)]));
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

#[tokio::test]
async fn a_topic_that_got_more_partitions_is_named_until_new_messages_lie_in_each() {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let kafka = &scenario.topic().address;
    let topic = scenario.target.destination();
    let setting = format!("relay.destinations={topic}");
    let subject = "partitions of a topic";
    let warned = async || {
        let (found, _) = findings(&scenario, &[&setting]).await;
        found.iter().any(|finding| finding["subject"] == subject)
    };
    let relay = scenario.start_active().await;
    let write = async |keys: std::ops::Range<i32>| {
        let sql = "insert into outbox.message (destination, key, type, payload)
                   select $1, 'key ' || n, 'T', '' from generate_series($2::int, $3::int) n";
        client
            .execute(sql, &[&topic, &keys.start, &keys.end])
            .await
            .unwrap();
        scenario.drained(&client).await;
    };
    assert!(!warned().await, "it is empty");
    write(0..60).await;
    assert!(!warned().await, "each lies where its key goes");

    let admin: AdminClient<DefaultClientContext> = kafka.client_config().create().unwrap();
    let more = [NewPartitions::new(topic, 11)];
    let made = admin
        .create_partitions(&more, &AdminOptions::new())
        .await
        .unwrap();
    made.into_iter().for_each(|made| drop(made.unwrap()));
    wait::until("eleven partitions", DEADLINE, async || {
        ends(kafka, topic)
            .await
            .is_some_and(|ends| ends.len() == 11)
    })
    .await
    .unwrap();
    let says = "has 11 partitions now, and had another number when it got its newest messages";
    wait::until("the change seen", DEADLINE, warned)
        .await
        .unwrap();
    finds(&scenario, &[&setting], ("warning", subject), says).await;

    // The relay's client asks every few minutes how many there are, and when it starts.
    relay.kill().await.unwrap();
    relay.restart().unwrap();
    scenario.phase("active").await;
    wait::until("new messages in each partition", DEADLINE, async || {
        write(100..300).await;
        !warned().await
    })
    .await
    .unwrap();
}
