//! Statements about stuck messages, as a server carries them out.

use std::collections::{BTreeMap, BTreeSet};

use outbox_core::relay::{
    Action, BlockedKey, Claim, Event, FailureKind, FinishedRequest, KeyAfter, LeftToPublish,
    ParkReason, ParkedEarlier, ParkedMessage, ReplayedMessage, RequestPart, RequestPlace,
    SourceFailure, UncoveredRow,
};
use outbox_core::{Frontier, Position, TimelineId};

use super::log::{Log, key, message_id, outbox_row, row_number};
use super::server::{Server, failure};
use super::stuck_table::{Parked, State, request_number};
use super::world::World;

impl World {
    /// Carries out a statement about stuck messages; `None` for any other action. Of an answer that
    /// is lost nobody hears.
    pub(crate) fn stuck_statement(&mut self, server: usize, action: &Action) -> Option<Event> {
        let lost = self.random.u32(..100) < self.plan.broker_faults;
        let unseen = self.random.u32(..4) == 0;
        let server = &self.servers[server];
        let refused = server.refusal(false).map_or(Ok(()), Err);
        let log = self.logs.get_mut(server.log);
        let permitted = |claim: &Claim| refused.clone().and_then(|()| server.require(*claim));
        Some(match action {
            Action::LoadParked {
                ticket,
                claim,
                frontier,
                stuck_writes,
                ..
            } => Event::ParkedLoaded(
                *ticket,
                permitted(claim).map(|()| log.parked_earlier(*frontier, *stuck_writes)),
            ),
            Action::Park {
                ticket,
                claim,
                messages,
                ..
            } => {
                let done = permitted(claim).and_then(|()| log.park(messages));
                Event::Parked(*ticket, heard(done, lost))
            }
            Action::TakeRequest {
                ticket,
                claim,
                request,
                from,
                messages_max,
                ..
            } => {
                let part = permitted(claim).and_then(|()| {
                    if unseen {
                        return Ok(RequestPart::NotVisible);
                    }
                    log.take(*request, *from, *messages_max)
                });
                Event::RequestTaken(*ticket, heard(part, lost))
            }
            Action::PutBack {
                ticket,
                claim,
                request,
                refused,
                through,
            } => {
                let numbers: Vec<u32> = refused.iter().map(|again| again.number).collect();
                let request = request_number(*request);
                let done = permitted(claim).map(|()| log.put_back(request, &numbers, *through));
                Event::WasPutBack(*ticket, heard(done, lost))
            }
            Action::FinishRequest {
                ticket,
                claim,
                request,
            } => {
                let request = request_number(*request);
                let done = permitted(claim).map(|()| log.finish(request));
                Event::RequestFinished(*ticket, heard(done, lost))
            }
            _ => return None,
        })
    }

    /// Every row is visible, or set aside and waits for nobody but an operator.
    pub(crate) fn is_settled(&self, log: usize, row: u32) -> bool {
        let parked = &self.logs.get(log).stuck().parked;
        let parked = parked.iter().find(|parked| parked.row == row);
        parked.map_or(self.broker.sees(row), |parked| {
            parked.state != State::Replaying
        })
    }
}

fn heard<T>(done: Result<T, SourceFailure>, lost: bool) -> Result<T, SourceFailure> {
    match done {
        Ok(_) if lost => Err(failure(FailureKind::Unreachable)),
        done => done,
    }
}

impl Server {
    /// Refuses whoever does not have the slot here, under the newest epoch.
    pub(crate) fn require(&self, claim: Claim) -> Result<(), SourceFailure> {
        let holder = self.holder().map(|sender| sender.pid);
        if (self.epoch, holder) == (claim.epoch, Some(claim.walsender_pid)) {
            Ok(())
        } else {
            Err(failure(FailureKind::ClaimSuperseded))
        }
    }
}

impl Log {
    fn park(&mut self, messages: &[ParkedMessage]) -> Result<u64, SourceFailure> {
        let differs = |message: &ParkedMessage| {
            let known = self.stuck().at(message.delivery.position);
            known.is_some_and(|known| message_id(known.row) != message.delivery.row.id)
        };
        if messages.iter().any(differs) {
            return Err(failure(FailureKind::ParkedDiffers));
        }
        let table = self.write_stuck();
        for message in messages {
            if table.at(message.delivery.position).is_none() {
                table.parked.push(Parked {
                    position: message.delivery.position,
                    row: row_of(message),
                    refused: message.reason != ParkReason::KeyBlocked,
                    blocks_key: message.blocks_key,
                    state: State::Waiting,
                    asked: None,
                    replays: 0,
                    write: table.writes,
                });
            }
        }
        Ok(table.writes)
    }

    fn take(
        &mut self,
        place: RequestPlace,
        from: u32,
        messages_max: usize,
    ) -> Result<RequestPart, SourceFailure> {
        let id = request_number(place.id);
        let timeline = TimelineId(self.timeline);
        let known = self.stuck().requests.iter().find(|known| known.id == id);
        let Some(position) = known.map(|known| known.position) else {
            return Ok(RequestPart::Unknown);
        };
        if position.is_some_and(|position| position != place.position) {
            return Err(failure(FailureKind::ParkedDiffers));
        }
        let table = self.write_stuck();
        if position.is_none() {
            table.begin(id, place.position);
        }
        let request = table.requests.iter().find(|known| known.id == id);
        let rows = request.map_or(Vec::new(), |request| table.to_publish(request));
        let mut rows = rows.into_iter().filter(|row| row.number >= from);
        let messages: Vec<ReplayedMessage> = rows
            .by_ref()
            .take(messages_max)
            .map(|row| ReplayedMessage {
                number: row.number,
                origin: row.origin.map(|position| (timeline, position)),
                replays: row.replays,
                reason: String::new(),
                row: outbox_row(row.row),
            })
            .collect();
        let next = messages.last().map(|last| last.number + 1);
        Ok(RequestPart::Messages {
            next: rows.next().and(next),
            messages,
            writes: table.writes,
        })
    }

    fn put_back(&mut self, id: u32, numbers: &[u32], through: u32) -> LeftToPublish {
        let table = self.write_stuck();
        table.put_back(id, numbers);
        let request = table.requests.iter().find(|request| request.id == id);
        if let Some(request) = request.filter(|request| request.copies.is_some()) {
            let due = table.to_publish(request).into_iter();
            return LeftToPublish {
                numbers: due
                    .map(|due| due.number)
                    .filter(|number| *number <= through)
                    .collect(),
                writes: table.writes,
            };
        }
        let left = |row: &&Parked| {
            let asked = row
                .asked
                .filter(|(asked, number)| *asked == id && *number <= through);
            asked.is_some() && row.state == State::Replaying
        };
        LeftToPublish {
            numbers: table
                .parked
                .iter()
                .filter(left)
                .map(Parked::number)
                .collect(),
            writes: table.writes,
        }
    }

    fn finish(&mut self, id: u32) -> FinishedRequest {
        let table = self.write_stuck();
        table.finish(id);
        let rows = table
            .parked
            .iter()
            .filter(|row| row.asked.is_some_and(|(asked, _)| asked == id));
        let keys: BTreeSet<&str> = rows.filter_map(|row| key(row.row)).collect();
        FinishedRequest {
            keys: keys
                .into_iter()
                .map(|of| KeyAfter {
                    destination: "policy".into(),
                    key: of.into(),
                    blocked_from: table.blocker(of),
                })
                .collect(),
            ..FinishedRequest::default()
        }
    }

    fn parked_earlier(&mut self, frontier: Frontier, stuck_writes: u64) -> ParkedEarlier {
        if self.stuck().writes < stuck_writes {
            return ParkedEarlier {
                writes: self.stuck().writes,
                ..ParkedEarlier::default()
            };
        }
        let passed = self.stuck().requests.iter().filter(|request| {
            let position = request.position.filter(|_| !request.done);
            position.is_some_and(|position| frontier.lsn > position.commit_lsn)
        });
        let passed: Vec<u32> = passed.map(|request| request.id).collect();
        for request in passed {
            self.write_stuck().finish(request);
        }
        let table = self.stuck();
        let mut blocked: BTreeMap<&str, Position> = BTreeMap::new();
        for of in table.parked.iter().filter_map(|parked| key(parked.row)) {
            if let Some(from) = table.blocker(of) {
                blocked.insert(of, from);
            }
        }
        ParkedEarlier {
            uncovered: table
                .parked
                .iter()
                .filter(|parked| !frontier.covers(parked.position))
                .map(|parked| UncoveredRow {
                    position: parked.position,
                    id: message_id(parked.row),
                })
                .collect(),
            blocked: blocked
                .into_iter()
                .map(|(key, from)| BlockedKey {
                    destination: "policy".into(),
                    key: key.into(),
                    from,
                })
                .collect(),
            writes: table.writes,
            ..ParkedEarlier::default()
        }
    }
}

fn row_of(message: &ParkedMessage) -> u32 {
    row_number(message.delivery.row.id)
}
