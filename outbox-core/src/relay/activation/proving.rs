use super::{Activation, Step};
use crate::relay::catch_up::CatchUp;
use crate::relay::compare::{Resume, compare_early};
use crate::relay::core::{Core, Next};
use crate::relay::intake::Intake;
use crate::relay::{Action, Inspection, Stop, StreamEvent};

/// The slot is ours, and nobody is disturbed yet: the log shows whether it is the one that was
/// published from. A copy of the database has the same cluster, the same timeline, and such a slot.
impl Activation {
    /// Compares what can be compared, and begins to read the stream where that is not enough.
    pub(super) fn prove(&mut self, core: &mut Core, inspection: &Inspection) -> Result<(), Next> {
        if let Some(intake) = self.intake_from(inspection)? {
            let has_passed = intake.catch_up.has_passed();
            self.intake = Some(intake);
            if !has_passed {
                core.act(Action::AskForKeepalive(true));
                self.step = Step::Proving;
                return Ok(());
            }
        }
        self.claim_epoch(core);
        Ok(())
    }

    /// Takes in the stream, once it is known what the log must show; `None` where only the newest
    /// checkpoint can tell.
    fn intake_from(&self, inspection: &Inspection) -> Result<Option<Intake>, Stop> {
        let known = self.identity.as_ref().zip(self.peeked.as_ref());
        let Some(((identity, peeked), slot)) = known.zip(inspection.slot.as_ref()) else {
            return Ok(None);
        };
        let resume = compare_early(identity, inspection, slot, peeked)?;
        let intake = |resume: Resume| {
            let catch_up = CatchUp::new(resume.frontier, resume.last, slot.confirmed_flush);
            Intake::new(catch_up)
        };
        Ok(resume.map(intake))
    }

    pub(super) fn stream(&mut self, core: &mut Core, events: Vec<StreamEvent>) -> Result<(), Next> {
        let Some(intake) = &mut self.intake else {
            return Ok(());
        };
        for event in events {
            intake.take(core, event)?;
        }
        if matches!(self.step, Step::Proving) && intake.catch_up.has_passed() {
            core.act(Action::AskForKeepalive(false));
            // Whoever was frozen meanwhile reads on from what had arrived, and must not disturb who has
            // taken over.
            self.inspect(core);
        }
        Ok(())
    }
}
