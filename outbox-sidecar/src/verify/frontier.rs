use std::time::{Duration, Instant};

use outbox_core::Frontier;
use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::{AcquireError, Sink};

use super::error::VerifyError;

/// The pause between looks at the checkpoint.
const PAUSE: Duration = Duration::from_millis(500);

/// Waits until everything that stands before `end` is published or set aside, by the relay's
/// checkpoint, and returns it. Reads it as `status` does, and keeps nobody from publishing.
pub(super) fn await_frontier(
    sink: &mut dyn Sink,
    end: Frontier,
    wait_max: Duration,
) -> Result<Checkpoint, VerifyError> {
    let began = Instant::now();
    loop {
        let is_late = began.elapsed() >= wait_max;
        match sink.peek() {
            Ok(Some(found)) if found.frontier >= end => return Ok(found),
            Ok(Some(found)) if is_late => {
                return Err(VerifyError::Behind {
                    frontier: found.frontier.lsn,
                    end: end.lsn,
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
