//! The publishers of a connection: a stream gets one before its first message.

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::{Buf, Bytes};
use bytestring::ByteString;
use outbox_core::sink::RefusalReason;
use outbox_core::{Frontier, Position};

use super::asking::{Asking, Halt, Refused, last_id};
use super::checking::{Conditions, check, not_in_the_log};
use super::connection::Lost;
use super::lane::Lane;
use super::publishing_id::Reference;
use super::wire::{Code, Request, code};

/// A publisher's number on its connection is a byte, and two write the checkpoint's copies.
const LANES_MAX: usize = 254;

/// Whether a stream can be published to now.
pub(super) enum Opened {
    /// By this publisher.
    Ready(u8),
    /// Once what is on its way is confirmed.
    Busy,
    /// Not at all.
    Refused(Refused),
}

/// The publishers of a connection.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: Vec<Option<Lane>>,
    by_stream: HashMap<ByteString, u8>,
    /// Streams that hold nothing which should not be there.
    checked: HashSet<ByteString>,
    /// What streams hold that no checkpoint covers: their last message, which the log must bring again.
    awaited: HashMap<ByteString, Position>,
    /// Frames that wait for the connection.
    ready: VecDeque<Bytes>,
    on_the_way: usize,
    opened: u64,
}

impl Lanes {
    /// How many messages are not confirmed.
    pub(super) fn on_the_way(&self) -> usize {
        self.on_the_way
    }

    /// Streams are checked again: the log is another one.
    pub(super) fn forget_checks(&mut self) {
        self.checked.clear();
    }

    /// The publisher of a stream under this name; declared if need be.
    pub(super) async fn open(
        &mut self,
        asking: &mut Asking<'_>,
        conditions: &mut Conditions<'_>,
        stream: &ByteString,
        (reference, position): (Reference, Position),
    ) -> Result<Opened, Halt> {
        let present = self.by_stream.get(stream).copied();
        if let Some(lane) = present.and_then(|number| self.lane(number))
            && lane.reference == reference
            && self.checked.contains(stream)
        {
            return Ok(present.map_or(Opened::Busy, Opened::Ready));
        }
        if let Err(refused) = self.check(asking, conditions, stream, position).await? {
            return Ok(Opened::Refused(refused));
        }
        if let Some(number) = present
            && !self.give_up(asking, number).await?
        {
            return Ok(Opened::Busy);
        }
        let Some(number) = self.free_number(asking).await? else {
            return Ok(Opened::Busy);
        };
        let name = reference.name(conditions.lineage);
        let doing = format!("becoming a publisher of stream {stream:?}");
        let request = Request::declare_publisher(number, &name, stream);
        match code(&asking.ask(&request, &doing).await?)? {
            Code::OK => {}
            Code::STREAM_NOT_AVAILABLE => {
                return Err(Halt::Later(format!("{doing}: it has no leader yet")));
            }
            Code::PRECONDITION_FAILED => {
                let text = format!("{doing}: the broker takes none now: a disk alarm");
                return Err(Halt::Later(text));
            }
            refused @ Code::ACCESS_REFUSED => {
                let text = format!("{doing}: {refused}: give the user the right to write to it");
                return Ok(Opened::Refused((RefusalReason::NotAuthorised, text)));
            }
            other => return Err(Halt::Lost(format!("{doing}: {other}"))),
        }
        let mut lane = Lane::new(stream.clone(), reference, number);
        self.opened += 1;
        lane.used = self.opened;
        self.put(number, lane);
        Ok(Opened::Ready(number))
    }

    /// Whether a stream holds a message that would be refused, by what the broker knows of its
    /// publisher. Then it counts as published, for consumers have it: it went in before the relay
    /// was told another limit or lost a right, and no checkpoint covers it.
    ///
    /// The highest publishing id answers for every lower one that is handed in: what was set aside
    /// below it comes never again, and what comes after a refused message is not sent before that
    /// one is set aside.
    pub(super) async fn holds(
        &mut self,
        asking: &mut Asking<'_>,
        conditions: &mut Conditions<'_>,
        stream: &ByteString,
        (reference, id, position): (Reference, u64, Position),
    ) -> Result<bool, Halt> {
        let checked = self.check(asking, conditions, stream, position).await?;
        // Whoever may not ask is refused as if it did not.
        if checked.is_err() {
            return Ok(false);
        }
        let name = reference.name(conditions.lineage);
        match last_id(asking, stream, &name).await? {
            Ok(last) if last >= id => self.pass(stream, position).map(|()| true),
            Ok(_) | Err(_) => Ok(false),
        }
    }

    /// Compares a stream with the log once, before this position goes in.
    async fn check(
        &mut self,
        asking: &mut Asking<'_>,
        conditions: &mut Conditions<'_>,
        stream: &ByteString,
        position: Position,
    ) -> Result<Result<(), Refused>, Halt> {
        if self.checked.contains(stream) {
            return Ok(Ok(()));
        }
        match check(asking, conditions, stream, position).await? {
            Ok(Some(awaited)) => drop(self.awaited.insert(stream.clone(), awaited)),
            Ok(None) => {}
            Err(refused) => return Ok(Err(refused)),
        }
        self.checked.insert(stream.clone());
        Ok(Ok(()))
    }

    /// The stream's next message is this one: what was awaited is it, or comes later.
    pub(super) fn pass(&mut self, stream: &ByteString, position: Position) -> Result<(), Halt> {
        let Some(awaited) = self.awaited.get(stream).copied() else {
            return Ok(());
        };
        if position > awaited {
            return Err(not_in_the_log(stream, awaited));
        }
        if position == awaited {
            self.awaited.remove(stream);
        }
        Ok(())
    }

    /// Everything before this frontier has come: nothing before it can be awaited any more.
    pub(super) fn pass_all(&self, frontier: Frontier) -> Result<(), Halt> {
        let missed = self
            .awaited
            .iter()
            .find(|(_, awaited)| frontier.covers(**awaited));
        missed.map_or(Ok(()), |(stream, awaited)| {
            Err(not_in_the_log(stream, *awaited))
        })
    }

    /// Adds a message to what goes out.
    pub(super) fn push(&mut self, number: u8, id: u64, message: &[u8]) -> Result<(), Halt> {
        let lane = self.lanes.get_mut(usize::from(number));
        let Some(lane) = lane.and_then(Option::as_mut) else {
            return Err(Halt::Lost("a publisher has gone".to_owned()));
        };
        self.ready.extend(lane.push(id, message));
        self.on_the_way += 1;
        Ok(())
    }

    /// How many full frames wait.
    pub(super) fn frames_ready(&self) -> usize {
        self.ready.len()
    }

    /// Hands full frames to the connection; those that are not full too when `all` are meant.
    pub(super) async fn send(&mut self, asking: &mut Asking<'_>, all: bool) -> Result<(), Halt> {
        if all {
            let frames = self.lanes.iter_mut().flatten();
            self.ready.extend(frames.filter_map(Lane::take_frame));
        }
        while let Some(frame) = self.ready.front() {
            let sent = asking.connection.send(frame.clone(), asking.deadline);
            if !sent.await? {
                let text = "the broker does not read what is sent: it is busy, or has a disk alarm";
                return Err(Halt::Later(text.to_owned()));
            }
            self.ready.pop_front();
        }
        Ok(())
    }

    /// Messages are durable.
    pub(super) fn confirm(&mut self, number: u8, mut ids: Bytes) -> Result<(), Lost> {
        let lane = self.lanes.get_mut(usize::from(number));
        let Some(lane) = lane.and_then(Option::as_mut) else {
            let text =
                format!("the broker confirmed messages of publisher {number}, which is none");
            return Err(Lost(text));
        };
        while let Ok(id) = ids.try_get_u64() {
            lane.confirm(id)?;
            self.on_the_way = self.on_the_way.saturating_sub(1);
        }
        Ok(())
    }

    /// The publisher of this number.
    pub(super) fn lane(&self, number: u8) -> Option<&Lane> {
        self.lanes.get(usize::from(number)).and_then(Option::as_ref)
    }

    /// A number that no publisher has; the one least recently opened makes room.
    async fn free_number(&mut self, asking: &mut Asking<'_>) -> Result<Option<u8>, Halt> {
        if let Some(free) = self.lanes.iter().position(Option::is_none) {
            return Ok(u8::try_from(free).ok());
        }
        if self.lanes.len() < LANES_MAX {
            return Ok(u8::try_from(self.lanes.len()).ok());
        }
        let lanes = self.lanes.iter().flatten().filter(|lane| lane.is_idle());
        let oldest = lanes.min_by_key(|lane| lane.used);
        let oldest = oldest.and_then(|lane| self.by_stream.get(&lane.stream).copied());
        match oldest {
            Some(number) if self.give_up(asking, number).await? => Ok(Some(number)),
            _ => Ok(None),
        }
    }

    /// Ends a publisher that has nothing on its way; says whether it could.
    async fn give_up(&mut self, asking: &mut Asking<'_>, number: u8) -> Result<bool, Halt> {
        let Some(lane) = self.lane(number) else {
            return Ok(true);
        };
        if !lane.is_idle() {
            return Ok(false);
        }
        let doing = format!("ending the publisher of stream {:?}", lane.stream);
        let answer = asking
            .ask(&Request::delete_publisher(number), &doing)
            .await?;
        match code(&answer)? {
            Code::OK => {}
            other => return Err(Halt::Lost(format!("{doing}: {other}"))),
        }
        let place = self.lanes.get_mut(usize::from(number));
        if let Some(lane) = place.and_then(Option::take) {
            self.by_stream.remove(&lane.stream);
        }
        Ok(true)
    }

    fn put(&mut self, number: u8, lane: Lane) {
        self.by_stream.insert(lane.stream.clone(), number);
        match self.lanes.get_mut(usize::from(number)) {
            Some(place) => *place = Some(lane),
            None => self.lanes.push(Some(lane)),
        }
    }
}
