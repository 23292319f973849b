use super::active::{Active, Claim};
use super::catch_up::CatchUp;
use super::core::{Core, Next};
use super::progress::Progress;
use super::stuck::Stuck;
use super::{ParkedEarlier, Stop};
use crate::Lsn;
use crate::checkpoint::LastParked;

/// Checkpoint and database fit; what was set aside before is still to be read.
#[derive(Debug)]
pub(super) struct Compared {
    pub(super) claim: Claim,
    pub(super) progress: Progress,
    pub(super) catch_up: CatchUp,
    pub(super) confirmed_flush: Lsn,
    /// The last row that the checkpoint counts as set aside.
    pub(super) last_parked: Option<LastParked>,
}

impl Compared {
    /// The last step of becoming active.
    pub(super) fn become_active(self, core: &mut Core, earlier: ParkedEarlier) -> Next {
        if let Some(last) = self.last_parked
            && earlier.last_number.is_none()
        {
            return Next::Stop(Stop::ParkedMissing {
                id: last.message_id,
                position: last.position,
            });
        }
        let stuck = Stuck::new(core.settings.stuck, earlier);
        core.became_active(self.claim.epoch);
        Next::Active(Box::new(Active::new(
            core,
            self.claim,
            self.progress,
            self.catch_up,
            stuck,
            self.confirmed_flush,
        )))
    }
}
