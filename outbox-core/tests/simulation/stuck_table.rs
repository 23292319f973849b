//! What the database holds of stuck messages and of requests about them, or about what was published.

use std::collections::BTreeSet;

use outbox_core::{MessageId, Position, RequestId};

use super::log::key;

/// `outbox.parked`, `outbox.request` with `outbox.redelivery`, and how often the relay has written there.
#[derive(Clone, Debug, Default)]
pub(crate) struct StuckTable {
    pub(crate) parked: Vec<Parked>,
    pub(crate) requests: Vec<Request>,
    pub(crate) writes: u64,
}

/// A message that was set aside.
#[derive(Clone, Debug)]
pub(crate) struct Parked {
    pub(crate) position: Position,
    pub(crate) row: u32,
    /// Refused itself, and not only waiting for its key.
    pub(crate) refused: bool,
    /// Later messages of its key wait behind it.
    pub(crate) blocks_key: bool,
    pub(crate) state: State,
    /// The request that concerns it, and its number there.
    pub(crate) asked: Option<(u32, u32)>,
    pub(crate) replays: u32,
    /// The relay's last write that must not be lost.
    pub(crate) write: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Waiting,
    Replaying,
    Replayed,
    Skipped,
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) id: u32,
    pub(crate) skip: bool,
    pub(crate) chosen: u32,
    /// What is to be published once more, if that is what is asked for.
    pub(crate) copies: Option<Vec<Copied>>,
    /// Noted by the relay when it comes to it.
    pub(crate) position: Option<Position>,
    pub(crate) done: bool,
    pub(crate) write: u64,
}

/// A message that was published, to be published once more.
#[derive(Clone, Debug)]
pub(crate) struct Copied {
    pub(crate) row: u32,
    /// Refused, or set aside and so never published.
    pub(crate) left_out: bool,
}

/// A message of a request that is to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) number: u32,
    pub(crate) row: u32,
    /// Where it stands itself; nobody knows it of what is published once more.
    pub(crate) origin: Option<Position>,
    pub(crate) replays: u32,
}

impl Parked {
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Waiting | State::Replaying)
    }

    fn is_of(&self, request: u32) -> bool {
        self.asked.is_some_and(|(asked, _)| asked == request)
    }

    pub(crate) fn number(&self) -> u32 {
        self.asked.map_or(0, |(_, number)| number)
    }
}

impl StuckTable {
    pub(crate) fn at(&self, position: Position) -> Option<&Parked> {
        self.parked
            .iter()
            .find(|parked| parked.position == position)
    }

    /// The first message of a key that holds others back.
    pub(crate) fn blocker(&self, of: &str) -> Option<Position> {
        self.parked
            .iter()
            .filter(|parked| parked.blocks_key && parked.is_open() && key(parked.row) == Some(of))
            .map(|parked| parked.position)
            .min()
    }

    /// Whether a message of this key would overtake one that waits.
    pub(crate) fn overtakes(&self, row: u32, position: Position) -> bool {
        let blocker = key(row).and_then(|key| self.blocker(key));
        blocker.is_some_and(|blocker| blocker < position)
    }

    /// The messages of a request that are, or were, to be published, by their number.
    pub(crate) fn to_publish(&self, request: &Request) -> Vec<Due> {
        if let Some(copies) = &request.copies {
            let copies = (0..).zip(copies).filter(|(_, copied)| !copied.left_out);
            let due = copies.map(|(number, copied)| Due {
                number,
                row: copied.row,
                origin: None,
                replays: 1,
            });
            return due.collect();
        }
        let published = |parked: &&Parked| {
            parked.is_of(request.id)
                && matches!(parked.state, State::Replaying | State::Replayed)
                && !(request.skip && parked.number() < request.chosen)
        };
        let due = |parked: &Parked| Due {
            number: parked.number(),
            row: parked.row,
            origin: Some(parked.position),
            replays: parked.replays,
        };
        let mut rows: Vec<Due> = self.parked.iter().filter(published).map(due).collect();
        rows.sort_by_key(|due| due.number);
        rows
    }

    /// Whether a row was set aside and not published since.
    pub(crate) fn is_aside(&self, row: u32) -> bool {
        let mut parked = self.parked.iter();
        parked.any(|parked| parked.row == row && parked.state != State::Replayed)
    }

    /// Whether a row was ever set aside.
    pub(crate) fn parked_once(&self, row: u32) -> bool {
        self.parked.iter().any(|parked| parked.row == row)
    }

    /// Somebody asks for these rows once more.
    pub(crate) fn ask_again(&mut self, id: u32, rows: &[u32]) {
        let copied = |row: &u32| Copied {
            row: *row,
            left_out: false,
        };
        self.requests.push(Request {
            id,
            skip: false,
            chosen: rows.len() as u32,
            copies: Some(rows.iter().map(copied).collect()),
            position: None,
            done: false,
            write: 0,
        });
    }

    /// Somebody asks for these rows.
    pub(crate) fn ask(&mut self, id: u32, skip: bool, rows: &BTreeSet<Position>) {
        let chosen = (0..).zip(rows);
        for (number, position) in chosen {
            let row = self.parked.iter_mut().find(|row| row.position == *position);
            if let Some(row) = row {
                (row.state, row.asked) = (State::Replaying, Some((id, number)));
                row.replays += 1;
            }
        }
        self.requests.push(Request {
            id,
            skip,
            chosen: rows.len() as u32,
            copies: None,
            position: None,
            done: false,
            write: 0,
        });
    }

    /// The relay has come to a request: its position is noted, and what waits behind its messages is
    /// taken along, up to what has to be decided by itself.
    pub(crate) fn begin(&mut self, id: u32, position: Position) {
        let write = self.writes;
        let aside: BTreeSet<u32> = {
            let parked = self.parked.iter().map(|parked| parked.row);
            parked.filter(|row| self.is_aside(*row)).collect()
        };
        let Some(request) = self.requests.iter_mut().find(|request| request.id == id) else {
            return;
        };
        (request.position, request.write) = (Some(position), write);
        if let Some(copies) = &mut request.copies {
            for copied in copies {
                copied.left_out |= aside.contains(&copied.row);
            }
            return;
        }
        let mut next = request.chosen;
        // What stands behind one that waits again by now, or for a later request, waits with it.
        let early: Vec<Position> = self
            .parked
            .iter()
            .filter(|row| row.is_of(id) && self.waits_behind(row, id))
            .map(|row| row.position)
            .collect();
        for row in &mut self.parked {
            if early.contains(&row.position) {
                (row.state, row.write) = (State::Waiting, write);
            }
        }
        let keys: BTreeSet<&str> = self
            .parked
            .iter()
            .filter(|row| row.is_of(id) && row.blocks_key && row.state == State::Replaying)
            .filter_map(|row| key(row.row))
            .collect();
        for of in keys {
            let mut places: Vec<usize> = (0..self.parked.len())
                .filter(|place| {
                    let row = &self.parked[*place];
                    key(row.row) == Some(of) && row.is_open()
                })
                .collect();
            places.sort_by_key(|place| self.parked[*place].position);
            let last = places.iter().rposition(|place| {
                let row = &self.parked[*place];
                row.is_of(id) && row.state == State::Replaying
            });
            for place in &places[last.map_or(0, |last| last + 1)..] {
                let row = &mut self.parked[*place];
                if row.refused || row.state != State::Waiting || row.is_of(id) {
                    row.blocks_key = true;
                    row.write = write;
                    break;
                }
                (row.state, row.asked) = (State::Replaying, Some((id, next)));
                row.replays += 1;
                row.write = write;
                next += 1;
            }
        }
    }

    /// Whether an earlier message of its key waits, for nobody or for a later request.
    fn waits_behind(&self, row: &Parked, id: u32) -> bool {
        let Some(of) = key(row.row) else {
            return false;
        };
        let from = self.blocker(of).unwrap_or(row.position);
        self.parked.iter().any(|earlier| {
            key(earlier.row) == Some(of)
                && earlier.is_open()
                && !earlier.is_of(id)
                && (from..row.position).contains(&earlier.position)
        })
    }

    /// Refused messages wait again, and what stands behind them in their key.
    pub(crate) fn put_back(&mut self, id: u32, numbers: &[u32]) {
        let write = self.writes;
        let request = self.requests.iter_mut().find(|request| request.id == id);
        if let Some(request) = request
            && let Some(copies) = &mut request.copies
        {
            for (number, copied) in (0..).zip(copies) {
                copied.left_out |= numbers.contains(&number);
            }
            request.write = write;
            return;
        }
        for number in numbers {
            let refused = |row: &&mut Parked| {
                row.asked == Some((id, *number)) && row.state == State::Replaying
            };
            let Some(row) = self
                .parked
                .iter()
                .position(|row| row.asked == Some((id, *number)) && row.state == State::Replaying)
            else {
                continue;
            };
            let (position, of) = (self.parked[row].position, key(self.parked[row].row));
            let blocker = of.and_then(|of| self.blocker(of));
            let is_ordered = blocker.is_some_and(|blocker| blocker <= position);
            if let Some(row) = self.parked.iter_mut().find(refused) {
                (row.state, row.refused, row.write) = (State::Waiting, true, write);
                row.blocks_key |= is_ordered;
            }
            if is_ordered {
                for row in &mut self.parked {
                    let behind = row.is_of(id)
                        && row.state == State::Replaying
                        && key(row.row) == of
                        && row.position > position;
                    if behind {
                        (row.state, row.write) = (State::Waiting, write);
                    }
                }
            }
        }
    }

    /// What was asked for is done.
    pub(crate) fn finish(&mut self, id: u32) {
        let Some(request) = self.requests.iter_mut().find(|request| request.id == id) else {
            return;
        };
        request.done = true;
        for row in &mut self.parked {
            if row.asked.is_some_and(|(asked, _)| asked == id) && row.state == State::Replaying {
                row.state = if request.skip && row.number() < request.chosen {
                    State::Skipped
                } else {
                    State::Replayed
                };
            }
        }
    }
}

pub(crate) fn request_id(number: u32) -> RequestId {
    RequestId::from(MessageId::from_bytes(
        (u128::from(number) | 1 << 64).to_be_bytes(),
    ))
}

pub(crate) fn request_number(id: RequestId) -> u32 {
    let bytes = id.as_bytes();
    u32::from_be_bytes([bytes[12], bytes[13], bytes[14], bytes[15]])
}
