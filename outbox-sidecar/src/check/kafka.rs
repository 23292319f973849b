mod topics;

use std::time::Duration;

use outbox_core::sink::AcquireError;

use super::Findings;
use crate::config::Settings;
use crate::count::counted;
use crate::sink::kafka::{BrokerSummary, KafkaAdministration, KafkaSettings};

/// A cluster that answers.
pub(super) struct Reached {
    administration: KafkaAdministration,
    /// Nothing that is known by now keeps the relay from transactions.
    pub(super) may_try_transactions: bool,
}

/// Looks at Kafka: brokers and topics. `None` when nobody answers.
pub(super) fn check(
    settings: &Settings,
    kafka: &KafkaSettings,
    findings: &mut Findings,
) -> Option<Reached> {
    password_in_clear(kafka, findings);
    let administration = match KafkaAdministration::new(kafka.clone()) {
        Ok(administration) => administration,
        Err(error) => {
            findings.error("kafka", error.to_string(), "correct [kafka.properties]");
            return None;
        }
    };
    let brokers = match administration.broker_summary() {
        Ok(brokers) => brokers,
        Err(error) => {
            let fix = match error {
                AcquireError::Fatal(_) => "correct [kafka.properties], or the broker",
                _ => "check bootstrap.servers, the listener's security and the network",
            };
            findings.error("kafka", error.to_string(), fix);
            return None;
        }
    };
    findings.ok("kafka", counted(brokers.brokers.len(), "broker"));
    let topic_is_there = topics::checkpoints(kafka, &administration, &brokers, findings);
    topics::creation(kafka, &brokers, findings);
    topics::destinations(settings, kafka, &administration, findings);
    let is_in_time = time_out(&administration, &brokers, findings);
    Some(Reached {
        administration,
        // They begin with a record in that topic, and would only repeat that it is missing.
        may_try_transactions: is_in_time && topic_is_there,
    })
}

/// SASL PLAIN sends the password as it is.
fn password_in_clear(kafka: &KafkaSettings, findings: &mut Findings) {
    let is = |name: &str, value: &str| {
        let found = kafka.properties.get(name);
        found.is_some_and(|found| found.eq_ignore_ascii_case(value))
    };
    let is_plain = is("sasl.mechanism", "PLAIN") || is("sasl.mechanisms", "PLAIN");
    if is_plain && is("security.protocol", "SASL_PLAINTEXT") {
        findings.warning(
            "kafka",
            "SASL PLAIN without TLS: whoever listens on the way reads the password",
            "\"security.protocol\" = \"SASL_SSL\" in [kafka.properties], or a mechanism that does not send \
             it: \"sasl.mechanism\" = \"SCRAM-SHA-512\"",
        );
    }
}

/// Whether the broker allows transactions of this length, as far as it says.
fn time_out(
    administration: &KafkaAdministration,
    brokers: &BrokerSummary,
    findings: &mut Findings,
) -> bool {
    let Some(broker) = brokers.brokers.keys().next() else {
        return true;
    };
    let ours = administration.transaction_timeout();
    // What cannot be told here is told by the broker when it is tried.
    match administration.transaction_timeout_max(*broker) {
        Ok(Some(limit)) if limit < ours => {
            findings.error(
                "transactions",
                format!(
                    "transaction.timeout.ms is {}, above the broker's \
                     transaction.max.timeout.ms of {}",
                    ours.as_millis(),
                    limit.as_millis()
                ),
                format!(
                    "\"transaction.timeout.ms\" = \"{}\" in [kafka.properties]",
                    limit.min(Duration::from_secs(30)).as_millis()
                ),
            );
            false
        }
        _ => true,
    }
}

/// Tried under the relay's own transactional id, which fences whoever uses it: not while there is a doubt
/// whether anybody does.
pub(super) fn transactions(
    kafka: &KafkaSettings,
    reached: &Reached,
    doubt: Option<String>,
    findings: &mut Findings,
) {
    let id = kafka.transactional_id();
    if let Some(doubt) = doubt {
        return findings.ok("transactions", format!("not tried as {id}: {doubt}"));
    }
    match reached.administration.try_transactions() {
        Ok(()) => findings.ok("transactions", format!("as {id}")),
        Err(error) => findings.error(
            "transactions",
            error.to_string(),
            format!(
                "kafka-acls --add --allow-principal User:<USER> --operation Write --operation \
                 Describe --transactional-id {id}"
            ),
        ),
    }
}
