//! A relay in a world that answers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

pub(super) use super::makings::*;
use crate::checkpoint::Checkpoint;
use crate::relay::{
    Action, Event, FinishedRequest, Identity, Inspection, ParkedEarlier, Phantom, PhantomList,
    Phantoms, Relay, RequestPart, Settings, SlotState, Stop, StreamEvent, Ticket,
};
use crate::sink::{Batch, Outcome};
use crate::{Frontier, Lsn, MessageId, SystemId, TimelineHistory, TimelineId};

/// The process id of our own walsender.
pub(super) const PID: i32 = 77;

/// A relay, and a world that answers its requests unless a test answers them itself.
pub(super) struct Scenario {
    pub(super) relay: Relay,
    pub(super) now: Duration,
    pub(super) identity: Identity,
    pub(super) inspection: Inspection,
    /// What peek and acquire find. `publish` moves it when the default answer is given.
    pub(super) checkpoint: Checkpoint,
    /// What the database holds of messages that were set aside before.
    pub(super) parked_earlier: ParkedEarlier,
    /// What the database says of requests, one answer after the other.
    pub(super) request_parts: VecDeque<RequestPart>,
    /// What becomes of a request.
    pub(super) finished_request: FinishedRequest,
    /// Everything the relay has asked for, oldest first.
    pub(super) actions: Vec<Action>,
    /// Requests of this kind are left to the test.
    pub(super) unanswered: fn(&Action) -> bool,
    answered: usize,
}

impl Scenario {
    /// A relay whose checkpoint stands at its genesis, 1000.
    pub(super) fn new() -> Self {
        Self::with(settings())
    }

    pub(super) fn with(settings: Settings) -> Self {
        let now = Duration::from_secs(100);
        Self {
            relay: Relay::new(settings, 7, moment(now)),
            now,
            identity: Identity {
                system_id: SystemId(1),
                timeline: TimelineId(1),
                history: TimelineHistory::default(),
                walsender_pid: PID,
            },
            inspection: inspection(),
            checkpoint: checkpoint(),
            parked_earlier: ParkedEarlier::default(),
            request_parts: VecDeque::new(),
            finished_request: FinishedRequest::default(),
            actions: Vec::new(),
            unanswered: |_| false,
            answered: 0,
        }
    }

    /// A relay that has just become active.
    pub(super) fn active() -> Self {
        let mut scenario = Self::new();
        scenario.run();
        assert_eq!(scenario.phase(), "active");
        scenario
    }

    /// The same, and the stream has passed the frontier.
    pub(super) fn caught_up() -> Self {
        let mut scenario = Self::active();
        scenario.stream([keepalive(1000)]);
        scenario
    }

    /// A relay that is active and leaves every batch to the test.
    pub(super) fn publishing() -> Self {
        let mut scenario = Self::caught_up();
        scenario.leave(|action| matches!(action, Action::Publish(..)));
        scenario
    }

    pub(super) fn leave(&mut self, unanswered: fn(&Action) -> bool) {
        self.unanswered = unanswered;
    }

    pub(super) fn phase(&self) -> &'static str {
        self.relay.status().phase.as_str()
    }

    /// Lets the relay act, and the world answer, until nothing more happens.
    pub(super) fn run(&mut self) {
        if self.relay.deadline().is_some_and(|due| due <= self.now) {
            self.relay.handle(moment(self.now), Event::Tick);
        }
        loop {
            self.actions
                .extend(std::iter::from_fn(|| self.relay.next_action()));
            let Some(action) = self.actions.get(self.answered).cloned() else {
                break;
            };
            self.answered += 1;
            if !(self.unanswered)(&action)
                && let Some(answer) = self.answer(action)
            {
                self.relay.handle(moment(self.now), answer);
            }
        }
    }

    fn answer(&mut self, action: Action) -> Option<Event> {
        Some(match action {
            Action::Inspect(ticket) => Event::Inspected(ticket, Ok(self.inspection.clone())),
            Action::Connect(ticket) => Event::Connected(ticket, Ok(self.identity.clone())),
            Action::StartReplication(ticket) => {
                let slot = self.inspection.slot.as_mut().unwrap();
                slot.holder = Some(holder(PID));
                Event::Streaming(ticket, Ok(()))
            }
            Action::CloseStream => {
                let slot = self.inspection.slot.as_mut();
                slot.into_iter().for_each(|slot| slot.holder = None);
                return None;
            }
            Action::ClaimEpoch(ticket, _) => Event::EpochClaimed(ticket, Ok(1)),
            Action::LoadParked { ticket, .. } => {
                Event::ParkedLoaded(ticket, Ok(self.parked_earlier.clone()))
            }
            Action::Park { ticket, .. } => {
                self.parked_earlier.writes += 1;
                Event::Parked(ticket, Ok(self.parked_earlier.writes))
            }
            Action::NoteTry { ticket, .. } => Event::TryNoted(ticket, Ok(())),
            Action::TakeRequest { ticket, .. } => {
                let part = self.request_parts.pop_front();
                Event::RequestTaken(ticket, Ok(part.unwrap_or(RequestPart::Unknown)))
            }
            Action::FinishRequest { ticket, .. } => {
                Event::RequestFinished(ticket, Ok(self.finished_request.clone()))
            }
            Action::TerminateHolder(ticket, _) => Event::HolderTerminated(ticket, Ok(())),
            Action::PeekCheckpoint(ticket) => {
                Event::Peeked(ticket, Ok(Some(self.checkpoint.clone())))
            }
            Action::Acquire(ticket, _) => {
                Event::Acquired(ticket, Ok(Some(self.checkpoint.clone())))
            }
            Action::ListPhantoms(ticket, phantoms) => {
                Event::PhantomsListed(ticket, listed(&phantoms))
            }
            Action::Publish(ticket, batch) => {
                self.checkpoint = batch.checkpoint.clone();
                Event::Published(ticket, Outcome::Durable)
            }
            _ => return None,
        })
    }

    /// Something happens now; then everything that follows from it.
    pub(super) fn event(&mut self, event: Event) {
        self.relay.handle(moment(self.now), event);
        self.run();
    }

    pub(super) fn stream<const N: usize>(&mut self, events: [StreamEvent; N]) {
        self.event(Event::Stream(events.into()));
    }

    /// Time goes by; the relay is woken when it asked to be.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.relay.deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            let before = self.actions.len();
            self.run();
            assert!(
                self.actions.len() > before || self.relay.deadline() != Some(due),
                "the relay wakes for nothing at {due:?}"
            );
        }
        self.now = until;
    }

    /// Forgets what was done so far, so that a test sees only what comes.
    pub(super) fn forget(&mut self) {
        self.actions.clear();
        self.answered = 0;
    }

    /// After actions were forgotten one by one: what is left has been answered.
    pub(super) fn resume_answers(&mut self) {
        self.answered = self.actions.len();
    }

    pub(super) fn did(&self, which: impl Fn(&Action) -> bool) -> bool {
        self.actions.iter().any(which)
    }

    /// The ticket of the newest request of a kind.
    pub(super) fn ticket(&self, of: impl Fn(&Action) -> Option<Ticket>) -> Ticket {
        self.actions.iter().rev().find_map(of).unwrap()
    }

    pub(super) fn batches(&self) -> Vec<Arc<Batch>> {
        self.actions
            .iter()
            .filter_map(|action| match action {
                Action::Publish(_, batch) => Some(Arc::clone(batch)),
                _ => None,
            })
            .collect()
    }

    /// For each batch: the rows' numbers, and the frontier after it.
    pub(super) fn published(&self) -> Vec<(Vec<u32>, Frontier)> {
        let number = |id: MessageId| u128::from_be_bytes(*id.as_bytes()) as u32;
        self.batches()
            .iter()
            .map(|batch| {
                let rows = batch.messages.iter().map(|message| number(message.row.id));
                (rows.collect(), batch.checkpoint.frontier)
            })
            .collect()
    }

    /// Answers the newest batch.
    pub(super) fn outcome(&mut self, outcome: Outcome) {
        let ticket = self.ticket(publish);
        if outcome == Outcome::Durable
            && let Some(batch) = self.batches().last()
        {
            self.checkpoint = batch.checkpoint.clone();
        }
        self.event(Event::Published(ticket, outcome));
    }

    pub(super) fn confirmed(&self) -> Vec<u64> {
        self.actions
            .iter()
            .filter_map(|action| match action {
                Action::Confirm(lsn) => Some(lsn.as_u64()),
                _ => None,
            })
            .collect()
    }

    pub(super) fn stop(&self) -> Option<Stop> {
        self.actions.iter().find_map(|action| match action {
            Action::Stop(stop) => Some(stop.clone()),
            _ => None,
        })
    }

    pub(super) fn exit_code(&self) -> Option<u8> {
        self.stop().map(|stop| stop.exit_code())
    }

    pub(super) fn recorded_hold(&self) -> bool {
        self.did(|action| matches!(action, Action::RecordHold(_)))
    }

    pub(super) fn slot(&mut self) -> &mut SlotState {
        self.inspection.slot.as_mut().unwrap()
    }

    /// The checkpoint covers row `number`, the only one of a transaction at `commit_lsn`.
    pub(super) fn published_before(&mut self, number: u32, commit_lsn: u64, frontier: u64) {
        self.checkpoint.last = Some(last(number, commit_lsn, 0));
        self.checkpoint.frontier = Frontier::at(Lsn::new(frontier));
        self.checkpoint.sequence = 5;
    }
}

pub(super) fn publish(action: &Action) -> Option<Ticket> {
    match action {
        Action::Publish(ticket, _) => Some(*ticket),
        _ => None,
    }
}

/// The last message alone, as if the broker had shown it.
pub(super) fn listed(phantoms: &Phantoms) -> PhantomList {
    let last = phantoms.last;
    PhantomList {
        count: 3,
        some: vec![Phantom {
            id: last.message_id,
            position: last.position(),
            destination: "orders".to_owned(),
        }],
        remarks: Vec::new(),
    }
}
