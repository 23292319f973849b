//! Whether a broker does what tests need of it. Everything here blocks.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, Producer};

use crate::error::Error;

/// Of one request; an attempt that fails is repeated by the caller.
const REQUEST_MAX: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// Answers metadata, and coordinates transactions. A broker says "started" before it does the
/// second; the first transaction after a start makes the coordinator's topic.
pub(super) fn serves_transactions(config: &ClientConfig) -> Result<(), Error> {
    let producer: BaseProducer = config
        .clone()
        .set("transactional.id", "testbed-probe")
        .create()
        .map_err(Error::because("no producer of Kafka"))?;
    producer
        .init_transactions(REQUEST_MAX)
        .map_err(Error::because("no transaction coordinator"))
}

/// Every partition of a new topic has a leader.
pub(super) fn topic_has_leaders(
    config: &ClientConfig,
    topic: &str,
    partitions: i32,
    deadline: Duration,
) -> Result<(), Error> {
    let end = Instant::now() + deadline;
    let consumer: BaseConsumer = config
        .create()
        .map_err(Error::because("no consumer of Kafka"))?;
    loop {
        let complete = consumer
            .fetch_metadata(Some(topic), REQUEST_MAX)
            .is_ok_and(|metadata| {
                metadata.topics().iter().any(|found| {
                    let led = found
                        .partitions()
                        .iter()
                        .filter(|partition| partition.leader() >= 0);
                    found.name() == topic && i32::try_from(led.count()) == Ok(partitions)
                })
            });
        if complete {
            return Ok(());
        }
        if Instant::now() >= end {
            return Err(Error::new(format!(
                "topic {topic} has no leaders after {deadline:?}"
            )));
        }
        std::thread::sleep(POLL);
    }
}
