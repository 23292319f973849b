use super::active::{Active, Claim};
use super::careful::Careful;
use super::core::{Core, Next};
use super::intake::Intake;
use super::progress::Progress;
use super::stuck::Stuck;
use super::{EarlierEnds, Notice, ParkedEarlier, Stop};
use crate::Lsn;

/// Checkpoint and database fit; what was set aside before is still to be read.
#[derive(Debug)]
pub(super) struct Compared {
    pub(super) claim: Claim,
    pub(super) progress: Progress,
    pub(super) intake: Intake,
    pub(super) confirmed_flush: Lsn,
}

impl Compared {
    /// The last step of becoming active.
    pub(super) fn become_active(mut self, core: &mut Core, earlier: ParkedEarlier) -> Next {
        let (expected, found) = (self.progress.stuck_writes(), earlier.writes);
        if found < expected {
            return Next::Stop(Stop::StuckWritesMissing { expected, found });
        }
        self.progress.wrote(found);
        let ends = earlier.ends;
        let stuck = Stuck::new(core.settings.stuck, core.settings.gone, earlier);
        core.became_active(self.claim.epoch);
        let careful = self.careful(core, ends);
        let active = Active::new(
            core,
            self.claim,
            self.progress,
            self.intake,
            stuck,
            careful,
            self.confirmed_flush,
        );
        Next::Active(Box::new(active.has_seen()))
    }

    /// How messages go after holders that ended without a word.
    fn careful(&self, core: &mut Core, ends: EarlierEnds) -> Careful {
        let messages = core.settings.batch.messages_max;
        let careful = Careful::new(ends, self.progress.frontier(), messages);
        if ends.unclean > 0 || careful.left() > 0 {
            core.report(Notice::EndedUncleanly {
                times: ends.unclean,
                tried: careful.earlier(),
                careful_messages: careful.left(),
            });
        }
        careful
    }
}
