use super::Findings;
use crate::config::Settings;
use crate::sink::kafka::{BrokerSummary, KafkaAdministration, KafkaSettings};

/// Looks at Kafka: brokers, checkpoint topic, the topics that are named. False when nobody answers.
pub(super) fn check(settings: &Settings, kafka: &KafkaSettings, findings: &mut Findings) -> bool {
    let administration = match KafkaAdministration::new(kafka.clone()) {
        Ok(administration) => administration,
        Err(error) => {
            findings.error("kafka", error.to_string(), "correct [kafka.properties]");
            return false;
        }
    };
    let brokers = match administration.broker_summary() {
        Ok(brokers) => brokers,
        Err(error) => {
            let fix = "check bootstrap.servers, the listener's security and the network";
            findings.error("kafka", error.to_string(), fix);
            return false;
        }
    };
    findings.ok("kafka", format!("{} brokers", brokers.brokers.len()));
    checkpoint_topic(kafka, &administration, &brokers, findings);
    destinations(settings, kafka, &administration, findings);
    true
}

fn checkpoint_topic(
    kafka: &KafkaSettings,
    administration: &KafkaAdministration,
    brokers: &BrokerSummary,
    findings: &mut Findings,
) {
    let topic = &kafka.checkpoint_topic;
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

fn destinations(
    settings: &Settings,
    kafka: &KafkaSettings,
    administration: &KafkaAdministration,
    findings: &mut Findings,
) {
    if kafka.create_topics {
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
                format!("topic {topic} does not exist: its first message is refused"),
                format!("kafka-topics --create --topic {topic}, or kafka.create_topics = true"),
            ),
            Err(error) => findings.error("destination", error.to_string(), "check the ACLs"),
        }
    }
}
