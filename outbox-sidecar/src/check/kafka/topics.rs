use crate::check::Findings;
use crate::config::Settings;
use crate::count::counted;
use crate::sink::kafka::{
    BrokerSummary, KafkaAdministration, KafkaSettings, TopicDescription, WriteRight,
};

/// With so many replicas one can be lost without losing what only it had acknowledged.
const REPLICAS_SAFE: usize = 3;

/// Room that the protocol takes beside a record.
const OVERHEAD_BYTES: usize = 1024;

/// The relay's topic of checkpoints. False when there is none, or nobody tells.
pub(super) fn checkpoints(
    kafka: &KafkaSettings,
    administration: &KafkaAdministration,
    brokers: &BrokerSummary,
    findings: &mut Findings,
) -> bool {
    let (subject, topic) = ("checkpoint topic", &kafka.checkpoint_topic);
    let found = match administration.describe_checkpoint_topic() {
        Err(error) => {
            findings.error(subject, error.to_string(), "outbox-sidecar init");
            return false;
        }
        Ok(None) => {
            findings.error(
                subject,
                format!("{topic} does not exist"),
                "outbox-sidecar init, if this relay never published; else see exit code 5",
            );
            return false;
        }
        Ok(Some(found)) => found,
    };
    if found.partitions != 1 {
        findings.error(
            subject,
            format!(
                "{topic} has {}, it must have one",
                counted(found.partitions, "partition")
            ),
            "name another topic in kafka.checkpoint_topic",
        );
    }
    let policy = found.cleanup_policy.as_deref();
    if policy.is_some_and(|policy| policy != "compact") {
        findings.error(
            subject,
            format!("{topic} is cleaned by {policy:?}: checkpoints will be deleted"),
            altered(topic, "cleanup.policy=compact"),
        );
    }
    let replicas_max = brokers.brokers.len().min(REPLICAS_SAFE);
    if found.replication_factor < replicas_max {
        findings.warning(
            subject,
            format!(
                "{topic} has {}, of {replicas_max} that it could have",
                counted(found.replication_factor, "replica")
            ),
            "reassign it to more brokers: kafka-reassign-partitions",
        );
    }
    durability(subject, topic, &found, findings);
    findings.ok(subject, topic.clone());
    true
}

/// Whether there are brokers enough for the destinations that the relay is to make.
pub(super) fn creation(kafka: &KafkaSettings, brokers: &BrokerSummary, findings: &mut Findings) {
    let (replicas, brokers) = (kafka.replication_factor, brokers.brokers.len());
    let is_enough = usize::try_from(replicas).is_ok_and(|replicas| replicas <= brokers);
    if kafka.create_topics && !is_enough {
        findings.warning(
            "destination",
            format!(
                "kafka.create_topics asks for {replicas} replicas, and there is only {}: a destination \
                 that is missing cannot be made, and its messages are set aside",
                counted(brokers, "broker")
            ),
            format!("kafka.replication_factor = {brokers}"),
        );
    }
}

/// Those that are named; what a pattern will lead to is not known yet.
pub(super) fn destinations(
    settings: &Settings,
    kafka: &KafkaSettings,
    administration: &KafkaAdministration,
    findings: &mut Findings,
) {
    let named = settings.destinations.iter();
    for topic in named.filter(|pattern| !pattern.contains('*')) {
        match administration.describe_topic(topic) {
            Ok(Some(found)) => {
                destination(kafka, topic, &found, findings);
                write_right(administration, topic, &found, findings);
                placement(administration, topic, &found, findings);
            }
            Ok(None) if kafka.create_topics => findings.ok(
                "destination",
                format!("{topic} will be made with its first message"),
            ),
            Ok(None) => findings.error(
                "destination",
                format!("topic {topic} does not exist: its first message is refused"),
                format!("kafka-topics --create --topic {topic}, or kafka.create_topics = true"),
            ),
            Err(error) => findings.error(
                "destination",
                error.to_string(),
                format!(
                    "kafka-acls --add --allow-principal User:<USER> --operation Write --operation \
                     Describe --topic {topic}"
                ),
            ),
        }
    }
}

fn destination(
    kafka: &KafkaSettings,
    topic: &str,
    found: &TopicDescription,
    findings: &mut Findings,
) {
    let subject = "destination";
    let needed = kafka.message_bytes_max.saturating_add(OVERHEAD_BYTES);
    let limit = found.message_bytes_max;
    if let Some(limit) = limit.filter(|limit| *limit < kafka.message_bytes_max) {
        findings.warning(
            subject,
            format!(
                "{topic} takes records of up to {limit} bytes, limits.message_bytes_max is {}: \
                 what is larger is set aside",
                kafka.message_bytes_max
            ),
            altered(topic, &format!("max.message.bytes={needed}")),
        );
    }
    let policy = found.cleanup_policy.as_deref().unwrap_or_default();
    if policy.contains("compact") {
        findings.warning(
            subject,
            format!(
                "{topic} is compacted: a message without a key is refused, and of each key only \
                 the newest is kept"
            ),
            altered(topic, "cleanup.policy=delete"),
        );
    }
    durability(subject, topic, found, findings);
    let partitions = counted(found.partitions, "partition");
    findings.ok(subject, format!("{topic}, {partitions}"));
}

fn write_right(
    administration: &KafkaAdministration,
    topic: &str,
    found: &TopicDescription,
    findings: &mut Findings,
) {
    let subject = "right to write";
    match administration.write_right(topic, found) {
        Ok(WriteRight::Granted) => findings.ok(subject, topic),
        Ok(WriteRight::Refused) => findings.error(
            subject,
            format!("{topic} may not be written to: its messages would be set aside"),
            format!(
                "kafka-acls --add --allow-principal User:<USER> --operation Write --operation \
                 Describe --topic {topic}"
            ),
        ),
        Ok(WriteRight::Unknown) => findings.ok(
            subject,
            format!("{topic}: not tried, its max.message.bytes is not shown (DescribeConfigs) or too large"),
        ),
        Err(error) => findings.warning(
            subject,
            format!("{topic}: {error}"),
            "check the network between here and every broker",
        ),
    }
}

/// Whether the number of partitions was another when the newest messages were published.
fn placement(
    administration: &KafkaAdministration,
    topic: &str,
    found: &TopicDescription,
    findings: &mut Findings,
) {
    let partitions = found.partitions;
    // What cannot be read cannot be seen: see docs/command-line.md.
    if let Ok(Some(misplaced)) = administration.misplaced(topic, partitions) {
        findings.warning(
            "partitions of a topic",
            format!(
                "{topic} has {} now, and had another number when it got its newest messages: the \
                 newest of partition {} would go to {} today. Consumers that have not read it yet may \
                 see later messages of its key first",
                counted(partitions, "partition"),
                misplaced.partition,
                misplaced.today
            ),
            "stop the relay until kafka-consumer-groups --describe --all-groups shows no lag there; \
             then start it. The number cannot be lowered again",
        );
    }
}

/// Whether what is acknowledged is kept.
fn durability(
    subject: &'static str,
    topic: &str,
    found: &TopicDescription,
    findings: &mut Findings,
) {
    let replicas = found.replication_factor;
    match found.min_insync_replicas {
        Some(needed) if needed > replicas => findings.error(
            subject,
            format!(
                "{topic} has {}, min.insync.replicas asks for {needed}: nothing can be written",
                counted(replicas, "replica")
            ),
            altered(
                topic,
                &format!("min.insync.replicas={}", replicas.div_ceil(2)),
            ),
        ),
        Some(1) if replicas >= REPLICAS_SAFE => findings.warning(
            subject,
            format!("{topic} acknowledges what a single replica has: with its disk it is lost"),
            altered(topic, "min.insync.replicas=2"),
        ),
        _ => {}
    }
    if found.unclean_leader_election == Some(true) {
        findings.warning(
            subject,
            format!("{topic} lets a replica lead that lacks what was acknowledged: that is lost"),
            altered(topic, "unclean.leader.election.enable=false"),
        );
    }
}

fn altered(topic: &str, setting: &str) -> String {
    format!(
        "kafka-configs --alter --entity-type topics --entity-name {topic} --add-config {setting}"
    )
}
