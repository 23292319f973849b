use std::time::{Duration, Instant};

use outbox_core::Frontier;
use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::{AcquireError, Sink};

use super::error::VerifyError;
use crate::config::Settings;
use crate::control::connect;
use crate::source::slot::read_slot;

/// What became of waiting.
pub(super) enum Waited {
    /// Everything is published or set aside.
    Passed(Checkpoint),
    /// In time only what stands before this one's frontier is.
    Behind(Checkpoint),
}

/// What the slot says of who may still publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotReader {
    Unknown,
    /// There is no slot: nobody ever comes further.
    NoSlot,
    Nobody,
    Somebody,
}

impl SlotReader {
    pub(super) async fn of(settings: &Settings) -> Self {
        let slot = async {
            let client = connect(&settings.address, "outbox-sidecar verify", || {})
                .await
                .ok()?;
            read_slot(&client, &settings.slot()).await.ok()
        };
        match slot.await {
            None => Self::Unknown,
            Some(None) => Self::NoSlot,
            Some(Some(slot)) if slot.state.holder.is_none() => Self::Nobody,
            Some(Some(_)) => Self::Somebody,
        }
    }

    /// Why nobody comes further.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Unknown => "whether a relay runs is not known",
            Self::NoSlot => "its slot does not exist",
            Self::Nobody => "no relay reads from its slot",
            Self::Somebody => "a relay reads from its slot",
        }
    }
}

/// The pause between looks at the checkpoint.
const PAUSE: Duration = Duration::from_millis(500);

/// Waits until everything that stands before `end` is published or set aside, by the relay's
/// checkpoint, and returns it. Reads it as `status` does, and keeps nobody from publishing.
pub(super) fn await_frontier(
    sink: &mut dyn Sink,
    end: Frontier,
    wait_max: Duration,
) -> Result<Waited, VerifyError> {
    let began = Instant::now();
    loop {
        let is_late = began.elapsed() >= wait_max;
        match sink.peek() {
            Ok(Some(found)) if found.frontier >= end => return Ok(Waited::Passed(found)),
            Ok(Some(found)) if is_late => return Ok(Waited::Behind(found)),
            Ok(Some(_)) => {}
            Ok(None) => return Err(VerifyError::NeverSetUp),
            Err(AcquireError::Unavailable(_)) if !is_late => {}
            Err(error) => return Err(error.into()),
        }
        std::thread::sleep(PAUSE.min(wait_max.saturating_sub(began.elapsed())));
    }
}
