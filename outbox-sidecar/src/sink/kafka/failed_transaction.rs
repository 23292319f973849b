//! Why a transaction failed, in librdkafka's words: the messages themselves are only said to be purged.

use std::sync::{Mutex, PoisonError};

const FACILITY: &str = "TXNERR";
const BEFORE_STATE: &str = "Current transaction failed in state ";

/// The first cause since it was last taken.
#[derive(Debug, Default)]
pub(super) struct FailedTransaction(Mutex<Option<String>>);

impl FailedTransaction {
    /// A log line: librdkafka names its kind by a facility.
    pub(super) fn log_line(&self, facility: &str, message: &str) {
        if let Some(cause) = cause(facility, message) {
            let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| cause.to_owned());
        }
    }

    pub(super) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn cause<'a>(facility: &str, message: &'a str) -> Option<&'a str> {
    let (_, from_state) = message.split_once(BEFORE_STATE)?;
    let (_, cause) = from_state.split_once(": ")?;
    (facility == FACILITY).then_some(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_is_kept_until_it_is_taken() {
        let failed = FailedTransaction::default();
        let line = |cause: &str| {
            format!("[thrd:a]: Current transaction failed in state InTransaction: {cause}")
        };
        failed.log_line("FAIL", &line("no"));
        failed.log_line("TXNERR", "something else: no");
        failed.log_line("TXNERR", &line("unknown id: requires epoch bump"));
        failed.log_line("TXNERR", &line("purged"));
        assert_eq!(
            failed.take().as_deref(),
            Some("unknown id: requires epoch bump")
        );
        assert_eq!(failed.take(), None);
    }
}
