//! One publisher of one stream, and what it has on the way.

use std::collections::VecDeque;

use bytestring::ByteString;

use super::connection::Lost;
use super::publishing_id::Reference;
use super::wire::PublishFrame;

/// A frame is sent once it has so many bytes, if not before: more does not make it faster.
const FRAME_FILL_BYTES: usize = 256 * 1024;

/// What goes into one stream under one name, in growing order.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) stream: ByteString,
    pub(super) reference: Reference,
    frame: PublishFrame,
    /// What is not confirmed or waits for a confirm before it, in the order sent.
    on_the_way: VecDeque<(u64, bool)>,
    /// When it was last used, in opened lanes.
    pub(super) used: u64,
}

impl Lane {
    pub(super) fn new(stream: ByteString, reference: Reference, publisher: u8) -> Self {
        Self {
            stream,
            reference,
            frame: PublishFrame::new(publisher),
            on_the_way: VecDeque::new(),
            used: 0,
        }
    }

    /// Adds a message; returns a frame that is full without it.
    pub(super) fn push(&mut self, id: u64, message: &[u8]) -> Option<bytes::Bytes> {
        let full = !self.frame.is_empty() && !self.frame.has_room(message, FRAME_FILL_BYTES);
        let frame = full.then(|| self.frame.take());
        self.frame.push(id, message);
        self.on_the_way.push_back((id, false));
        frame
    }

    /// What waits to be sent.
    pub(super) fn take_frame(&mut self) -> Option<bytes::Bytes> {
        (!self.frame.is_empty()).then(|| self.frame.take())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.on_the_way.is_empty()
    }

    /// A message is durable.
    pub(super) fn confirm(&mut self, id: u64) -> Result<(), Lost> {
        let place = match self.on_the_way.front() {
            Some((first, _)) if *first == id => Ok(0),
            _ => self.on_the_way.binary_search_by_key(&id, |(id, _)| *id),
        };
        match place.ok().and_then(|place| self.on_the_way.get_mut(place)) {
            Some((_, confirmed @ false)) => *confirmed = true,
            _ => {
                let stream = &self.stream;
                let text =
                    format!("the broker confirmed {id} in {stream:?}, which is not on its way");
                return Err(Lost(text));
            }
        }
        while let Some((_, true)) = self.on_the_way.front() {
            self.on_the_way.pop_front();
        }
        Ok(())
    }

    /// The lowest of these ids that is not confirmed.
    pub(super) fn lowest_open(&self, errors: &[(u64, u16)]) -> Option<(u64, u16)> {
        let open = |id: u64| {
            let place = self.on_the_way.binary_search_by_key(&id, |(id, _)| *id);
            let place = place.ok().and_then(|place| self.on_the_way.get(place));
            place.is_some_and(|(_, confirmed)| !confirmed)
        };
        errors.iter().copied().filter(|(id, _)| open(*id)).min()
    }
}
