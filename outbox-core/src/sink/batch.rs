use crate::checkpoint::Checkpoint;
use crate::{OutboxRow, Position, RequestId, TimelineId, Timestamp};

/// One message on its way to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where it is published in the commit order: where the message itself stands, or where its
    /// replay was asked for.
    pub position: Position,
    /// That transaction's id.
    pub xid: u32,
    /// When that transaction committed, by the server's clock.
    pub commit_time: Timestamp,
    /// The message.
    pub row: OutboxRow,
    /// That it is published on request: it was set aside before, or is published once more.
    pub replay: Option<Box<Replay>>,
}

impl Delivery {
    /// Where the message itself stands, for consumers: the position that it had when it was
    /// committed, on the timeline of then. Of a message that is published once more nobody knows that:
    /// it is where it is published now. `timeline` is the batch's.
    #[must_use]
    pub fn origin(&self, timeline: TimelineId) -> (TimelineId, Position) {
        let origin = self.replay.as_ref().and_then(|replay| replay.origin);
        origin.unwrap_or((timeline, self.position))
    }

    /// The request on whose account a message that had been published is published once more.
    #[must_use]
    pub fn redelivered(&self) -> Option<RequestId> {
        let replay = self.replay.as_ref()?;
        replay.origin.is_none().then_some(replay.request)
    }
}

/// What there is to say of a message that is published on request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The request.
    pub request: RequestId,
    /// Where the message itself stands in the commit order, and on which timeline; `None` for one that
    /// was published before and is redelivered: the outbox does not say it.
    pub origin: Option<(TimelineId, Position)>,
    /// How often its replay was asked for, this time included; 1 for a redelivery.
    pub number: u32,
    /// Why it had been set aside: for logs. Empty for a redelivery.
    pub reason: String,
}

/// What becomes durable together: consecutive messages and the checkpoint that covers them.
///
/// A batch without messages moves the checkpoint alone. Messages that are published on request are
/// never in one batch with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The messages, in commit order.
    pub messages: Vec<Delivery>,
    /// The checkpoint that holds once they are durable. Its timeline is the messages' own.
    pub checkpoint: Checkpoint,
}

impl Batch {
    /// The request on whose account its messages are published.
    #[must_use]
    pub fn request(&self) -> Option<RequestId> {
        let first = self.messages.first()?;
        first.replay.as_ref().map(|replay| replay.request)
    }
}
