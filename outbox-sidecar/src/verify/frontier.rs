use std::time::{Duration, Instant};

use outbox_core::Lsn;
use outbox_core::sink::{AcquireError, Sink};

use super::error::VerifyError;

/// The pause between looks at the checkpoint.
const PAUSE: Duration = Duration::from_millis(500);

/// Waits until everything that was committed before `end` is published, by the relay's checkpoint.
/// Reads it as `status` does, and keeps nobody from publishing.
pub(super) fn await_frontier(
    sink: &mut dyn Sink,
    end: Lsn,
    wait_max: Duration,
) -> Result<(), VerifyError> {
    let began = Instant::now();
    loop {
        let is_late = began.elapsed() >= wait_max;
        match sink.peek() {
            Ok(Some(found)) if found.frontier.lsn >= end => return Ok(()),
            Ok(Some(found)) if is_late => {
                return Err(VerifyError::Behind {
                    frontier: found.frontier.lsn,
                    end,
                    waited_s: wait_max.as_secs(),
                });
            }
            Ok(Some(_)) => {}
            Ok(None) => return Err(VerifyError::NeverSetUp),
            Err(AcquireError::Unavailable(_)) if !is_late => {}
            Err(error) => return Err(error.into()),
        }
        std::thread::sleep(PAUSE.min(wait_max.saturating_sub(began.elapsed())));
    }
}
