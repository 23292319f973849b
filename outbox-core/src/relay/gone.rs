use std::collections::HashMap;
use std::time::Duration;

use super::settings::{GONE_DESTINATIONS_MAX, GoneLimits, PROBE_MAX, PROBE_MIN};
use crate::sink::{Delivery, RefusalReason};

/// Destinations that refuse one message after the other: they are gone, or closed to us.
///
/// While one is, its messages are set aside without asking the broker, which would answer each time
/// by refusing a whole batch. Now and then one is tried.
#[derive(Debug)]
pub(super) struct Gone {
    limits: GoneLimits,
    by_destination: HashMap<Box<str>, Destination>,
}

#[derive(Debug)]
struct Destination {
    /// Refused in a row.
    refused: u64,
    reason: RefusalReason,
    error: String,
    /// Set aside since it counts as gone.
    aside: u64,
    /// When the next message is tried, and how long then until the one after it.
    probe_at: Duration,
    interval: Duration,
}

/// What to do with a message that the broker has not been asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    Try,
    SetAside {
        reason: RefusalReason,
        error: String,
    },
}

/// A destination that has just come to count as gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewlyGone {
    pub(super) destination: String,
    pub(super) reason: RefusalReason,
    pub(super) error: String,
}

impl Gone {
    pub(super) fn new(limits: GoneLimits) -> Self {
        Self {
            limits,
            by_destination: HashMap::new(),
        }
    }

    /// Whether everything is as it should be: nothing needs to be asked of each message.
    pub(super) fn is_empty(&self) -> bool {
        self.by_destination.is_empty()
    }

    /// How many count as gone.
    pub(super) fn count(&self) -> usize {
        let known = self.by_destination.values();
        known
            .filter(|known| known.refused >= self.limits.after)
            .count()
    }

    /// The broker refused a message for its destination. Returns the destination when it counts as
    /// gone from now on.
    pub(super) fn refused(
        &mut self,
        delivery: &Delivery,
        reason: RefusalReason,
        error: &str,
        now: Duration,
    ) -> Option<NewlyGone> {
        if !concerns_destination(reason) {
            return None;
        }
        let name = &*delivery.row.destination;
        let is_known = self.by_destination.contains_key(name);
        if !is_known && self.by_destination.len() >= GONE_DESTINATIONS_MAX {
            return None;
        }
        let known = self
            .by_destination
            .entry(name.into())
            .or_insert_with(|| Destination {
                refused: 0,
                reason,
                error: error.to_owned(),
                aside: 0,
                probe_at: now,
                interval: PROBE_MIN,
            });
        known.refused += 1;
        (known.reason, known.error) = (reason, error.to_owned());
        if known.refused < self.limits.after {
            return None;
        }
        known.probe_at = now + known.interval;
        known.interval = (known.interval * 2).min(PROBE_MAX);
        (known.refused == self.limits.after).then(|| NewlyGone {
            destination: name.to_owned(),
            reason,
            error: error.to_owned(),
        })
    }

    /// What to do with a message of a destination before the broker is asked.
    pub(super) fn advise(&mut self, delivery: &Delivery, now: Duration) -> Advice {
        let after = self.limits.after;
        let Some(known) = self.by_destination.get_mut(&*delivery.row.destination) else {
            return Advice::Try;
        };
        if known.refused < after || known.aside >= self.limits.messages_max {
            return Advice::Try;
        }
        if known.probe_at <= now {
            // One at a time.
            known.probe_at = now + known.interval;
            return Advice::Try;
        }
        Advice::SetAside {
            reason: known.reason,
            error: format!("not tried, the destination is gone: {}", known.error),
        }
    }

    /// A message was set aside.
    pub(super) fn set_aside(&mut self, delivery: &Delivery) {
        if let Some(known) = self.by_destination.get_mut(&*delivery.row.destination)
            && known.refused >= self.limits.after
        {
            known.aside += 1;
        }
    }

    /// Whether so much of the message's destination is set aside that the relay waits for it.
    pub(super) fn must_be_waited_for(&self, delivery: &Delivery, reason: RefusalReason) -> bool {
        let known = self.by_destination.get(&*delivery.row.destination);
        concerns_destination(reason)
            && known.is_some_and(|known| {
                known.refused >= self.limits.after && known.aside >= self.limits.messages_max
            })
    }

    /// Messages were published: their destinations are there. Returns those that had counted as gone.
    pub(super) fn published(&mut self, messages: &[Delivery]) -> Vec<String> {
        let mut back = Vec::new();
        for delivery in messages {
            let name = &*delivery.row.destination;
            if let Some(known) = self.by_destination.remove(name)
                && known.refused >= self.limits.after
            {
                back.push(name.to_owned());
            }
        }
        back
    }
}

const fn concerns_destination(reason: RefusalReason) -> bool {
    matches!(
        reason,
        RefusalReason::DestinationMissing | RefusalReason::NotAuthorised
    )
}
