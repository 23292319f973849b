//! Messages to so many topics that most of a batch goes to a topic of its own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use testbed::history::read;
use testbed::{unique, wait};

use crate::scenario::memory::allocated_kibibytes_max;
use crate::scenario::{DEADLINE, Scenario};

/// What the relay may hold in memory: librdkafka's share grows with the number of topics.
const MEMORY_KIBIBYTES_MAX: u64 = 96 * 1024;
/// How long one broker may take to make the topics, each with files of its own.
const CREATION_MAX: Duration = Duration::from_secs(300);
/// How many messages each topic gets, all of one key.
const OF_EACH: usize = 3;

/// Publishes some messages to each of so many topics, first all in one transaction of the database.
pub(crate) async fn many_topics(count: usize) {
    let scenario = Scenario::initialised().await;
    let client = scenario.client().await;
    let prefix = unique::name("many");
    let names: Vec<String> = (0..count)
        .map(|number| format!("{prefix}-{number}"))
        .collect();
    let began = Instant::now();
    create(&scenario, &names).await;
    println!("{count} topics were made after {:?}", began.elapsed());

    let relay = scenario.start_active().await;
    let insert = "insert into outbox.message (destination, key, type, payload)
                  select $1 || '-' || n, 'k', 'T', convert_to($2::text, 'UTF8')
                  from generate_series(0, $3::int - 1) n";
    let count_i32 = i32::try_from(count).unwrap();
    for round in 0..OF_EACH {
        let round = round.to_string();
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&prefix, &round, &count_i32];
        client.execute(insert, &values).await.unwrap();
    }
    scenario.drained(&client).await;
    println!("and got their messages after {:?}", began.elapsed());
    let peak = allocated_kibibytes_max(relay.pid().unwrap());
    println!("{count} topics: {peak} KiB");
    assert!(peak > 0 && peak <= MEMORY_KIBIBYTES_MAX, "{peak} KiB");

    let topics: Vec<&str> = names.iter().map(String::as_str).collect();
    let records = read(&scenario.topic().address, &topics, DEADLINE)
        .await
        .unwrap();
    let mut seen: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for record in &records {
        let payload = String::from_utf8_lossy(record.payload.as_deref().unwrap());
        seen.entry(&record.topic)
            .or_default()
            .push(payload.into_owned());
    }
    assert_eq!(seen.len(), count);
    let each: Vec<String> = (0..OF_EACH).map(|round| round.to_string()).collect();
    for (topic, payloads) in seen {
        assert_eq!(payloads, each, "{topic}");
    }
}

/// In one request; the broker may need longer than it answers.
async fn create(scenario: &Scenario, names: &[String]) {
    let config = scenario.topic().address.client_config();
    let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
    let topics: Vec<_> = names
        .iter()
        .map(|name| NewTopic::new(name, 1, TopicReplication::Fixed(-1)))
        .collect();
    let options = AdminOptions::new().request_timeout(Some(CREATION_MAX));
    for made in admin.create_topics(&topics, &options).await.unwrap() {
        made.unwrap();
    }
    wait::until("a leader of each topic", CREATION_MAX, || async {
        let metadata = admin.inner().fetch_metadata(None, DEADLINE).unwrap();
        let led = metadata.topics().iter().filter(|topic| {
            names.iter().any(|name| name == topic.name())
                && topic
                    .partitions()
                    .iter()
                    .all(|partition| partition.leader() >= 0)
        });
        led.count() == names.len()
    })
    .await
    .unwrap();
}
