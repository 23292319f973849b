//! Topics that may be described and not written to.
//!
//! A transaction hears of them before the first request: their partitions are not added to it, and
//! librdkafka gives up every message of the transaction with the same words. Which topics it was is
//! said only in its log.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

const FACILITY: &str = "ADDPARTS";
const BEFORE_TOPIC: &str = "Failed to add partition \"";
const AFTER_TOPIC: &str = "\" [";
const CAUSE: &str = "to transaction: Broker: Topic authorization failed";
/// How many are remembered until they are taken; the rest shows when those are out of the way.
const TOPICS_MAX: usize = 1000;

/// The topics that were named since they were last taken.
#[derive(Debug, Default)]
pub(super) struct UnauthorisedTopics(Mutex<HashSet<String>>);

impl UnauthorisedTopics {
    /// A log line: librdkafka names its kind by a facility.
    pub(super) fn log_line(&self, facility: &str, message: &str) {
        if let Some(topic) = topic(facility, message) {
            let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if topics.len() < TOPICS_MAX {
                topics.insert(topic.to_owned());
            }
        }
    }

    pub(super) fn take(&self) -> HashSet<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn topic<'a>(facility: &str, message: &'a str) -> Option<&'a str> {
    if facility != FACILITY || !message.ends_with(CAUSE) {
        return None;
    }
    let (_, from_topic) = message.split_once(BEFORE_TOPIC)?;
    from_topic.split_once(AFTER_TOPIC).map(|(topic, _)| topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topic_is_read_from_the_log_line_and_from_no_other() {
        let line = |name: &str, cause: &str| {
            format!(
                "[thrd:127.0.0.1:9092/1]: 127.0.0.1:9092/1: Failed to add partition \"{name}\" [2] \
                 to transaction: {cause}"
            )
        };
        let topics = UnauthorisedTopics::default();
        let refused = "Broker: Topic authorization failed";
        topics.log_line("ADDPARTS", &line("policy-events", refused));
        topics.log_line("ADDPARTS", &line("policy-events", refused));
        topics.log_line(
            "ADDPARTS",
            &line("late", "Broker: Unknown topic or partition"),
        );
        topics.log_line("FAIL", &line("other", refused));
        assert_eq!(topics.take(), HashSet::from(["policy-events".to_owned()]));
        assert!(topics.take().is_empty());
    }
}
