//! What is known of each place in the commit order at which one id was enqueued.

use super::aside_record::{AsideRecord, Fate};
use super::content::Content;
use super::position_range::At;
use super::record::{MessageRecord, RowRecord};

/// One place: a row was enqueued there, and a message of it stands in the broker, or was set aside.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    /// Unknown of messages that do not say it.
    pub(super) at: Option<At>,
    /// Published where they stand, in the order in which they were read. One should be.
    pub(super) own: &'a [MessageRecord],
    /// Published on request, in that order.
    pub(super) replays: &'a [MessageRecord],
    pub(super) aside: Option<&'a AsideRecord>,
}

/// A place, and the message of it that stands for its row, if there is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing<'a> {
    pub(super) at: Option<At>,
    pub(super) message: Option<&'a MessageRecord>,
    pub(super) aside: Option<&'a AsideRecord>,
}

/// The places of one id, in commit order. Sorts both.
pub(super) fn places<'a>(
    messages: &'a mut [MessageRecord],
    asides: &'a mut [AsideRecord],
) -> impl Iterator<Item = Place<'a>> {
    messages
        .sort_unstable_by_key(|message| (message.position, message.is_replay(), message.sequence));
    asides.sort_unstable_by_key(|aside| aside.position);
    let (mut messages, mut asides) = (&*messages, &*asides);
    std::iter::from_fn(move || {
        let first = messages.first().map(|message| message.position);
        let aside = asides.first().map(|aside| Some(aside.position));
        let at = match (first, aside) {
            (Some(first), Some(aside)) => first.min(aside),
            (first, aside) => first.or(aside)?,
        };
        let count = messages.partition_point(|message| message.position == at);
        let (here, rest) = messages.split_at(count);
        messages = rest;
        let (own, replays) = here.split_at(here.partition_point(|message| !message.is_replay()));
        let aside = match asides.split_first() {
            Some((aside, rest)) if Some(aside.position) == at => {
                asides = rest;
                Some(aside)
            }
            _ => None,
        };
        Some(Place {
            at,
            own,
            replays,
            aside,
        })
    })
}

impl<'a> Place<'a> {
    /// The message that stands for the row. `rows` are those of the id, sorted by their content.
    pub(super) fn standing(&self, rows: &[RowRecord]) -> Standing<'a> {
        let replay = || match self.aside {
            // What is on its way back, or will be, is settled by whoever compares next.
            Some(aside) if aside.fate != Fate::Replayed => None,
            Some(AsideRecord {
                redirected_to: Some(destination),
                ..
            }) => self.replay_at(|found| found == *destination),
            _ => self.replay_at(|found| is_destination_of(rows, found)),
        };
        Standing {
            at: self.at,
            message: self.own.first().or_else(replay),
            aside: self.aside,
        }
    }

    fn replay_at(&self, is_wanted: impl Fn(u32) -> bool) -> Option<&'a MessageRecord> {
        let mut replays = self.replays.iter();
        replays.find(|replay| is_wanted(replay.content.destination))
    }
}

impl Standing<'_> {
    /// Whether the message takes part in the order of its key: it was published where it stands, or
    /// its key waited for it. Anything else that is sent on request comes when it was asked for.
    pub(super) fn is_in_order(&self) -> bool {
        let keeps_order = |aside: &AsideRecord| aside.held_its_key && aside.redirected_to.is_none();
        self.message
            .is_some_and(|message| !message.is_replay() || self.aside.is_some_and(keeps_order))
    }

    /// What the broker should show of a row that was enqueued here.
    pub(super) fn expected(&self, row: &Content) -> Content {
        match (self.message, self.aside) {
            (Some(message), Some(aside)) if message.is_replay() => aside.replayed(row),
            _ => *row,
        }
    }

    /// Whether its replay was to differ from the row.
    pub(super) fn is_changed(&self) -> bool {
        let is_replay = self.message.is_some_and(|message| message.is_replay());
        let changes = |aside: &AsideRecord| aside.edit.is_some() || aside.redirected_to.is_some();
        is_replay && self.aside.is_some_and(changes)
    }

    /// When its row was enqueued, to the millisecond.
    pub(super) fn created_at_ms(&self) -> i64 {
        let of_message = self.message.map(|message| message.content.created_at_ms);
        let of_aside = self.aside.map(|aside| aside.created_at_ms);
        of_message.or(of_aside).unwrap_or(i64::MIN)
    }
}

fn is_destination_of(rows: &[RowRecord], destination: u32) -> bool {
    let at = rows.partition_point(|row| row.content.destination < destination);
    rows.get(at)
        .is_some_and(|row| row.content.destination == destination)
}
