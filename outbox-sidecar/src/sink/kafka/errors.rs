//! librdkafka's errors, folded into what the sink does about them.

use outbox_core::sink::{AcquireError, Delivery, Outcome, RefusalReason};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::record::record_bytes;

/// What an error of a producer means for the transaction it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The transaction must be rolled back; the producer goes on working.
    Abortable(String),
    /// Another producer has the transactional id.
    Fenced(String),
    /// The broker will not let this relay publish at all.
    Fatal(String),
    /// Nobody knows: time-outs, connections, and whatever is not understood.
    Unclear(String),
}

impl Trouble {
    /// Folds what a call on a producer returned. `fatal` is the producer's own fatal error: once
    /// it is set, every call fails with a mere hint at it.
    pub(super) fn of(
        call: &str,
        error: &KafkaError,
        fatal: Option<(RDKafkaErrorCode, String)>,
    ) -> Self {
        if let Some((code, text)) = fatal {
            return Self::of_code(call, code, &text);
        }
        let code = error
            .rdkafka_error_code()
            .unwrap_or(RDKafkaErrorCode::Unknown);
        let text = error.to_string();
        match (Self::of_code(call, code, &text), error) {
            (Self::Unclear(reason), KafkaError::Transaction(error))
                if error.txn_requires_abort() && !is_time_or_transport(code) =>
            {
                Self::Abortable(reason)
            }
            (trouble, _) => trouble,
        }
    }

    /// Folds what became of a record that belongs to no batch.
    pub(super) fn of_delivery(what: &str, code: RDKafkaErrorCode) -> Self {
        match code {
            RDKafkaErrorCode::TopicAuthorizationFailed => Self::Fatal(format!(
                "{what}: {code}; allow WRITE on the checkpoint topic"
            )),
            _ => Self::of_code(what, code, &code.to_string()),
        }
    }

    fn of_code(call: &str, code: RDKafkaErrorCode, text: &str) -> Self {
        use RDKafkaErrorCode as Code;
        let reason = format!("{call}: {code:?}: {text}");
        match code {
            Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => {
                Self::Fenced(reason)
            }
            code if forbids_publishing(code) => Self::Fatal(advice(code, reason)),
            _ => Self::Unclear(reason),
        }
    }

    /// The outcome where the transaction's fate is open.
    pub(super) fn into_outcome(self) -> Outcome {
        match self {
            Self::Abortable(reason) | Self::Unclear(reason) => Outcome::Indefinite { reason },
            Self::Fenced(reason) => Outcome::Fenced { reason },
            Self::Fatal(reason) => Outcome::Fatal { reason },
        }
    }

    /// The answer where the right to publish was asked for.
    pub(super) fn into_acquire_error(self) -> AcquireError {
        match self {
            Self::Abortable(reason) | Self::Unclear(reason) => AcquireError::Unavailable(reason),
            Self::Fenced(reason) => AcquireError::Fenced(reason),
            Self::Fatal(reason) => AcquireError::Fatal(reason),
        }
    }
}

/// Settings, or files that they name, of which no client can be made.
pub(super) fn unusable(error: impl ToString) -> AcquireError {
    AcquireError::Fatal(error.to_string())
}

/// Answers that stay the same however often one asks.
pub(super) fn forbids_publishing(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::TransactionalIdAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::Authentication
            | Code::UnsupportedSASLMechanism
            | Code::SecurityDisabled
            | Code::InvalidTransactionTimeout
            | Code::UnsupportedFeature
            | Code::UnsupportedVersion
            | Code::UnsupportedForMessageFormat
    )
}

fn advice(code: RDKafkaErrorCode, reason: String) -> String {
    use RDKafkaErrorCode as Code;
    let advice = match code {
        Code::TransactionalIdAuthorizationFailed => {
            "allow WRITE and DESCRIBE on the transactional id outbox-<relay>"
        }
        Code::ClusterAuthorizationFailed => "allow IDEMPOTENT_WRITE on the cluster",
        Code::SaslAuthenticationFailed | Code::Authentication => {
            "check sasl.username and sasl.password, or the client's certificate"
        }
        Code::InvalidTransactionTimeout => {
            "set transaction.timeout.ms to at most the broker's transaction.max.timeout.ms"
        }
        _ => "this broker cannot do transactions as configured",
    };
    format!("{reason}; {advice}")
}

fn is_time_or_transport(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::MessageTimedOut
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
            | Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::NetworkException
    )
}

/// What a failed delivery says about its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeliveryFailure {
    /// Every message of its destination is refused.
    DestinationRefused(RefusalReason),
    /// The records that travelled with the message are refused with it: sent alone it may pass.
    RefusedTogether(RefusalReason),
    /// Its destination is gone: to be looked up again.
    DestinationGone,
    /// It failed because another did.
    Collateral,
    /// Nobody knows whether the broker has it.
    Unclear,
}

impl DeliveryFailure {
    pub(super) fn of(code: RDKafkaErrorCode) -> Self {
        use RDKafkaErrorCode as Code;
        match code {
            Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => {
                Self::RefusedTogether(RefusalReason::TooLarge)
            }
            // librdkafka names the record to blame only to clients of newer requests.
            Code::InvalidTimestamp | Code::InvalidRecord | Code::PolicyViolation => {
                Self::RefusedTogether(RefusalReason::Rejected)
            }
            Code::TopicAuthorizationFailed => {
                Self::DestinationRefused(RefusalReason::NotAuthorised)
            }
            Code::InvalidTopic => Self::DestinationRefused(RefusalReason::DestinationInvalid),
            Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
                Self::DestinationGone
            }
            Code::PurgeQueue
            | Code::PurgeInflight
            | Code::InvalidDifferentRecord
            | Code::OperationNotAttempted => Self::Collateral,
            _ => Self::Unclear,
        }
    }
}

/// What an operator is told of a record that was refused, by the broker's own words and more.
pub(super) fn refusal_text(code: RDKafkaErrorCode, delivery: &Delivery) -> String {
    match DeliveryFailure::of(code) {
        DeliveryFailure::RefusedTogether(RefusalReason::TooLarge) => {
            let bytes = record_bytes(delivery);
            format!(
                "{code}: the record has {bytes} bytes, the topic's max.message.bytes allows fewer"
            )
        }
        _ => code.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fatal_error_of_the_producer_outweighs_what_the_call_says() {
        let error = KafkaError::Global(RDKafkaErrorCode::Fatal);
        let fenced = Some((RDKafkaErrorCode::Fenced, "newer epoch".to_owned()));
        let trouble = Trouble::of("commit", &error, fenced);
        assert!(matches!(&trouble, Trouble::Fenced(reason) if reason.contains("newer epoch")));
        assert!(matches!(trouble.into_outcome(), Outcome::Fenced { .. }));
    }

    #[test]
    fn what_is_not_understood_is_never_a_success() {
        for code in [
            RDKafkaErrorCode::OperationTimedOut,
            RDKafkaErrorCode::BrokerTransportFailure,
            RDKafkaErrorCode::State,
            RDKafkaErrorCode::UnknownProducerId,
            RDKafkaErrorCode::Unknown,
        ] {
            let outcome = Trouble::of("commit", &KafkaError::Global(code), None).into_outcome();
            assert!(matches!(outcome, Outcome::Indefinite { .. }), "{code:?}");
        }
    }

    #[test]
    fn refused_privileges_are_fatal_and_say_what_to_do() {
        let error = KafkaError::Global(RDKafkaErrorCode::TransactionalIdAuthorizationFailed);
        let Outcome::Fatal { reason } = Trouble::of("init", &error, None).into_outcome() else {
            panic!("not fatal");
        };
        assert!(reason.contains("allow WRITE"), "{reason}");
    }

    #[test]
    fn a_timed_out_message_is_never_a_refused_one() {
        let failure = DeliveryFailure::of(RDKafkaErrorCode::MessageTimedOut);
        assert_eq!(failure, DeliveryFailure::Unclear);
    }
}
