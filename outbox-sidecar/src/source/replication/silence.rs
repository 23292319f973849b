use std::time::Duration;

use crate::source::{STREAMING, SourceError};

/// After how long without a word from the server we ask for one. With nothing to send it says
/// nothing by itself, as long as it hears from us.
const ASK_AFTER: Duration = Duration::from_secs(15);

/// After how long without a word the server, or the way to it, is taken for dead. Generous: a
/// server that is busy with a large transaction answers late, and starting over costs it more.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How long the server has said nothing, on the clock of the reading thread.
#[derive(Debug, Default)]
pub(super) struct Silence {
    heard: Duration,
}

impl Silence {
    pub(super) const fn heard(&mut self, now: Duration) {
        self.heard = now;
    }

    /// Whether to ask the server for an answer; an error once it has been silent for too long.
    pub(super) fn check(&self, now: Duration) -> Result<bool, SourceError> {
        let silent = now.saturating_sub(self.heard);
        if silent > SILENCE_MAX {
            return Err(SourceError::TimedOut {
                doing: STREAMING,
                limit_s: SILENCE_MAX.as_secs(),
            });
        }
        Ok(silent >= ASK_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_server_is_asked_before_it_is_given_up() {
        let mut silence = Silence::default();
        silence.heard(Duration::from_secs(100));
        assert!(!silence.check(Duration::from_secs(101)).unwrap());
        assert!(silence.check(Duration::from_secs(130)).unwrap());
        assert!(silence.check(Duration::from_secs(161)).is_err());
    }
}
