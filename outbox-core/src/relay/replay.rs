use std::sync::Arc;

use super::active::Active;
use super::asking::Question;
use super::core::{Core, Next};
use super::pending_request::PendingRequest;
use super::publishing::Flight;
use super::settings::VISIBILITY_INTERVAL;
use super::{
    Action, FinishedRequest, Notice, ReplayedMessage, RequestPart, RequestPlace, Settings,
    SourceFailure, Stop, Ticket,
};
use crate::Frontier;
use crate::sink::{Delivery, Replay};

/// A request that is being carried out. Nothing else is published meanwhile.
#[derive(Debug)]
pub(super) struct Handling {
    request: PendingRequest,
    owes: Owed,
}

/// What is owed to a request once the sink is free.
#[derive(Clone, Copy, Debug)]
enum Owed {
    /// Its messages, from this number on.
    Messages { from: u32 },
    /// The note that it is done.
    End,
    /// Nothing: there is no such request.
    Nothing,
}

impl Handling {
    pub(super) const fn request(&self) -> &PendingRequest {
        &self.request
    }

    /// What was read of it is to be read again from this number on.
    pub(super) const fn read_again(&mut self, from: u32) {
        self.owes = Owed::Messages { from };
    }
}

/// What was set aside is published on request, at the request's place in the log: everything before
/// is published or set aside by then, so nothing overtakes and nothing is overtaken. What is to be
/// published once more goes the same way.
impl Active {
    pub(super) fn begin_request(
        &mut self,
        core: &mut Core,
        request: PendingRequest,
    ) -> Result<(), Next> {
        let owes = Owed::Messages { from: request.done };
        self.handling = Some(Handling { request, owes });
        self.go_on_with_request(core)
    }

    /// Asks the database for what is owed to the request.
    pub(super) fn go_on_with_request(&mut self, core: &mut Core) -> Result<(), Next> {
        self.handling
            .take_if(|handling| matches!(handling.owes, Owed::Nothing));
        match &self.handling {
            Some(_) => self.ask(core, Question::Request),
            None => Ok(()),
        }
    }

    pub(super) fn request_action(&self, ticket: Ticket, settings: &Settings) -> Option<Action> {
        let Handling { request, owes } = self.handling.as_ref()?;
        let limits = self.careful.limits(settings.batch);
        match *owes {
            Owed::Messages { from } => Some(Action::TakeRequest {
                ticket,
                claim: self.claim,
                system_id: self.progress.cluster().0,
                request: RequestPlace {
                    id: request.id,
                    position: request.position,
                    xid: request.xid,
                },
                from,
                messages_max: limits.messages_max,
                bytes_max: limits.bytes_max,
            }),
            Owed::End => Some(Action::FinishRequest {
                ticket,
                claim: self.claim,
                request: request.id,
            }),
            Owed::Nothing => None,
        }
    }

    pub(super) fn request_taken(
        &mut self,
        core: &mut Core,
        ticket: Ticket,
        result: Result<RequestPart, SourceFailure>,
    ) -> Result<(), Next> {
        let Some(Question::Request) = self.answered(ticket) else {
            return Ok(());
        };
        let Some(Handling { request, owes }) = &mut self.handling else {
            return Ok(());
        };
        let part = match result {
            Ok(part) => part,
            Err(failure) => {
                return self.ask_later(core, Question::Request, failure);
            }
        };
        let (messages, next) = match part {
            RequestPart::NotVisible => {
                core.report(Notice::RequestWaits {
                    request: request.id,
                });
                self.ask_at(Question::Request, core.now.monotonic + VISIBILITY_INTERVAL);
                return Ok(());
            }
            RequestPart::Unknown => {
                core.report(Notice::RequestUnknown {
                    request: request.id,
                });
                if request.done == 0 && request.turn_to_next() {
                    return self.ask(core, Question::Request);
                }
                if self.intake.buffer.has_complete() && request.done == 0 {
                    // Anyone may emit such messages: the next checkpoint passes over it.
                    self.handling = None;
                    self.flight = Flight::Free;
                    return Ok(());
                }
                *owes = Owed::Nothing;
                (Vec::new(), None)
            }
            RequestPart::Messages {
                messages,
                next,
                writes,
            } => {
                self.backoff.succeed();
                self.progress.wrote(writes);
                *owes = next.map_or(Owed::End, |from| Owed::Messages { from });
                (messages, next)
            }
        };
        self.publish_part(core, messages, next)
    }

    /// Publishes a part of the request; its checkpoint says how much of it is done then.
    fn publish_part(
        &mut self,
        core: &mut Core,
        messages: Vec<ReplayedMessage>,
        next: Option<u32>,
    ) -> Result<(), Next> {
        let Some(Handling { request, .. }) = &self.handling else {
            return Ok(());
        };
        let through = messages.last().map_or(request.done, |last| last.number + 1);
        let frontier = match next {
            Some(next) => frontier_at(request, next)?,
            None => request.end,
        };
        let last = request.handled(next.unwrap_or(through).max(request.done));
        let deliveries = messages
            .into_iter()
            .map(|message| delivery(request, message));
        let deliveries = deliveries.collect::<Result<Vec<_>, _>>()?;
        let last = last.ok_or_else(too_many)?;
        let batch = self.progress.part(deliveries, frontier, last, core.now)?;
        self.publish(core, Arc::new(batch))
    }

    pub(super) fn request_finished(
        &mut self,
        core: &mut Core,
        ticket: Ticket,
        result: Result<FinishedRequest, SourceFailure>,
    ) -> Result<(), Next> {
        let Some(Question::Request) = self.answered(ticket) else {
            return Ok(());
        };
        match result {
            Ok(outcome) => {
                self.backoff.succeed();
                self.flight = Flight::Free;
                self.stuck.release(&outcome.keys);
                if let Some(Handling { request, .. }) = self.handling.take() {
                    core.report(Notice::RequestDone {
                        request: request.id,
                        position: request.position,
                        outcome,
                    });
                }
            }
            Err(failure) => return self.ask_later(core, Question::Request, failure),
        }
        Ok(())
    }
}

fn frontier_at(request: &PendingRequest, number: u32) -> Result<Frontier, Next> {
    let next = request.message_position(number).ok_or_else(too_many)?;
    Ok(Frontier::inside(next.commit_lsn, next.index))
}

fn delivery(request: &PendingRequest, message: ReplayedMessage) -> Result<Delivery, Next> {
    Ok(Delivery {
        position: request
            .message_position(message.number)
            .ok_or_else(too_many)?,
        xid: request.xid,
        commit_time: request.commit_time,
        row: message.row,
        replay: Some(Box::new(Replay {
            request: request.id,
            origin: message.origin,
            number: message.replays,
            reason: message.reason,
        })),
    })
}

fn too_many() -> Next {
    Next::Stop(Stop::Invariant(
        "a request has more than 2^32 messages".to_owned(),
    ))
}
