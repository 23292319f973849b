use outbox_core::sink::Sink;

use super::Findings;
use super::postgres::Seen;
use crate::config::Settings;
use crate::sink::kafka::{BrokerSummary, KafkaAdministration, KafkaSink};

/// Looks at Kafka, and whether its checkpoint fits the database.
pub(super) fn check(settings: &Settings, seen: Seen, findings: &mut Findings) {
    let administration = match KafkaAdministration::new(settings.kafka.clone()) {
        Ok(administration) => administration,
        Err(error) => {
            findings.error("kafka", error.to_string(), "correct [kafka.properties]");
            return;
        }
    };
    let brokers = match administration.broker_summary() {
        Ok(brokers) => brokers,
        Err(error) => {
            let fix = "check bootstrap.servers, the listener's security and the network";
            findings.error("kafka", error.to_string(), fix);
            return;
        }
    };
    findings.ok("kafka", format!("{} brokers", brokers.brokers.len()));
    checkpoint_topic(settings, &administration, &brokers, findings);
    checkpoint(settings, &seen, findings);
    destinations(settings, &administration, findings);
}

fn checkpoint_topic(
    settings: &Settings,
    administration: &KafkaAdministration,
    brokers: &BrokerSummary,
    findings: &mut Findings,
) {
    let topic = &settings.kafka.checkpoint_topic;
    match administration.describe_checkpoint_topic() {
        Err(error) => findings.error("checkpoint topic", error.to_string(), "outbox-sidecar init"),
        Ok(None) => findings.error(
            "checkpoint topic",
            format!("{topic} does not exist"),
            "outbox-sidecar init, if this relay never published; else see exit code 5",
        ),
        Ok(Some(found)) => {
            if found.partitions != 1 {
                findings.error(
                    "checkpoint topic",
                    format!(
                        "{topic} has {} partitions, it must have one",
                        found.partitions
                    ),
                    "name another topic in kafka.checkpoint_topic",
                );
            }
            let policy = found.cleanup_policy.as_deref();
            if policy.is_some_and(|policy| policy != "compact") {
                findings.error(
                    "checkpoint topic",
                    format!("{topic} is cleaned by {policy:?}: checkpoints will be deleted"),
                    format!(
                        "kafka-configs --alter --topic {topic} --add-config cleanup.policy=compact"
                    ),
                );
            }
            let replicas_max = brokers.brokers.len().min(3);
            if found.replication_factor < replicas_max {
                findings.warning(
                    "checkpoint topic",
                    format!(
                        "{topic} has {} replicas of {replicas_max}",
                        found.replication_factor
                    ),
                    "reassign it to more brokers",
                );
            }
            findings.ok("checkpoint topic", topic.clone());
        }
    }
}

fn checkpoint(settings: &Settings, seen: &Seen, findings: &mut Findings) {
    let recover = "see the exit code in docs/command-line.md";
    let peeked = KafkaSink::new(settings.kafka.clone()).map(|mut sink| sink.peek());
    let found = match peeked {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return findings.error("checkpoint", error.to_string(), recover),
        Err(error) => return findings.error("checkpoint", error.to_string(), "correct [kafka]"),
    };
    match found {
        None if seen.genesis_written => {
            findings.error("checkpoint", "it is gone although one was written", recover);
        }
        None => findings.error("checkpoint", "none is written yet", "outbox-sidecar init"),
        Some(found)
            if seen
                .system_id
                .is_some_and(|system_id| system_id != found.system_id) =>
        {
            findings.error(
                "checkpoint",
                format!("it belongs to cluster {}", found.system_id),
                "check postgres.url and relay.name",
            );
        }
        Some(found) if seen.confirmed_flush > Some(found.frontier.lsn) => findings.error(
            "checkpoint",
            format!("it stands at {}, behind the slot", found.frontier),
            recover,
        ),
        Some(found)
            if seen
                .publication_fingerprint
                .as_ref()
                .is_some_and(|fingerprint| *fingerprint != found.publication_fingerprint) =>
        {
            findings.error(
                "publication",
                format!(
                    "{} was altered since the checkpoint was written",
                    settings.slot()
                ),
                "put it back as init made it: what it left out meanwhile was not sent",
            );
        }
        Some(found) => findings.ok(
            "checkpoint",
            format!("number {} at {}", found.sequence, found.frontier),
        ),
    }
}

fn destinations(
    settings: &Settings,
    administration: &KafkaAdministration,
    findings: &mut Findings,
) {
    if settings.kafka.create_topics {
        return;
    }
    for topic in settings
        .destinations
        .iter()
        .filter(|pattern| !pattern.contains('*'))
    {
        match administration.topic_exists(topic) {
            Ok(true) => findings.ok("destination", topic.clone()),
            Ok(false) => findings.error(
                "destination",
                format!("topic {topic} does not exist: its first message halts the relay"),
                format!("kafka-topics --create --topic {topic}, or kafka.create_topics = true"),
            ),
            Err(error) => findings.error("destination", error.to_string(), "check the ACLs"),
        }
    }
}
