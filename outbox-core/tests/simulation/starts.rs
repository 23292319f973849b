//! What a server holds of how holders of the relay began and ended.

use outbox_core::relay::{Action, Claim, EarlierEnds, EarlierTries, Event, TriedBatch};
use outbox_core::{Frontier, Lsn};

use super::log::GENESIS;
use super::process::Lane;
use super::world::World;

/// The part of the relay's row that tells an orderly end from any other. Processes are told apart by
/// their runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Starts {
    /// Who became active last, from where and on which checkpoint, and whether it has not ended in
    /// order.
    last: Option<(u32, Frontier, u64)>,
    runs: bool,
    unclean: u32,
    tried: Option<TriedBatch>,
    pub(crate) tried_by: Vec<u32>,
}

/// A process that ends after so many checkpoints does not run well.
const CHECKPOINTS_MAX: u64 = 10;

impl Starts {
    /// Somebody has just ended without a word, and not for the first time.
    pub(crate) fn shaky() -> Self {
        Self {
            last: Some((0, Frontier::at(Lsn::new(GENESIS)), 0)),
            runs: true,
            unclean: 1,
            ..Self::default()
        }
    }

    fn begin(&mut self, run: u32, frontier: Frontier, sequence: u64) -> EarlierEnds {
        self.unclean = match self.last {
            Some((last, _, first)) if self.runs && last == run => {
                if sequence > first + CHECKPOINTS_MAX {
                    0
                } else {
                    self.unclean
                }
            }
            Some((_, from, first))
                if self.runs && (from == frontier || sequence <= first + CHECKPOINTS_MAX) =>
            {
                self.unclean + 1
            }
            Some(_) if self.runs => 1,
            _ => 0,
        };
        (self.last, self.runs) = (Some((run, frontier, sequence)), true);
        self.survive(run);
        let count = self.tried_by.len() as u32;
        EarlierEnds {
            unclean: self.unclean,
            tried: self.tried.map(|batch| EarlierTries { batch, count }),
        }
    }

    fn try_batch(&mut self, run: u32, batch: TriedBatch) {
        if self.tried != Some(batch) {
            (self.tried, self.tried_by) = (Some(batch), Vec::new());
        }
        self.survive(run);
        self.tried_by.push(run);
    }

    fn survive(&mut self, run: u32) {
        self.tried_by.retain(|by| *by != run);
    }

    fn end(&mut self, forget_tries: bool) {
        self.runs = false;
        if forget_tries {
            self.tried_by.clear();
        }
    }
}

impl World {
    /// Carries out a statement that means something only under a claim; `None` for any other action.
    pub(crate) fn statement(
        &mut self,
        process: usize,
        action: &Action,
    ) -> Result<Option<Event>, String> {
        let (route, run) = (self.processes[process].route, self.processes[process].run);
        let server = &mut self.servers[route];
        if let Action::NoteTry {
            ticket,
            claim,
            batch,
        } = action
        {
            let refused = server.refusal(false).map_or(Ok(()), Err);
            let done = refused.and_then(|()| server.require(*claim));
            if done.is_ok() {
                server.starts.try_batch(run, *batch);
                self.processes[process].owes_survival = false;
            }
            return Ok(Some(Event::TryNoted(*ticket, done)));
        }
        let answer = self.stuck_statement(route, action);
        match (answer, action) {
            (
                Some(Event::ParkedLoaded(ticket, Ok(mut earlier))),
                Action::LoadParked {
                    frontier,
                    stuck_writes,
                    sequence,
                    ..
                },
            ) => {
                if earlier.writes >= *stuck_writes {
                    let starts = &mut self.servers[route].starts;
                    earlier.ends = starts.begin(run, *frontier, *sequence);
                    self.processes[process].owes_survival = false;
                    self.check_tries(route, earlier.ends, *frontier)?;
                }
                Ok(Some(Event::ParkedLoaded(ticket, Ok(earlier))))
            }
            (answer, _) => Ok(answer),
        }
    }

    /// The process says that it lives, if it can.
    pub(crate) fn survive(&mut self, process: usize) {
        let client = &mut self.processes[process];
        let server = &mut self.servers[client.route];
        client.owes_survival = server.refusal(client.cut_source).is_some();
        if !client.owes_survival {
            server.starts.survive(client.run);
        }
    }

    /// A holder ends in order, and says so if it can. What it asked before comes first.
    pub(crate) fn note_end(&mut self, process: usize, claim: Claim, forget_tries: bool) {
        self.survive(process);
        let client = &mut self.processes[process];
        let server = &mut self.servers[client.route];
        if !is_idle(&client.sql) {
            // It comes after what was asked before, a try that is still to be noted among it.
            client
                .sql
                .queue
                .push_back((Action::NoteSurvival, client.log));
            return;
        }
        if client.owes_survival {
            return;
        }
        if server.require(claim).is_ok() {
            server.starts.end(forget_tries);
        }
    }
}

fn is_idle(lane: &Lane) -> bool {
    lane.queue.len() == usize::from(lane.answer.is_some())
}
