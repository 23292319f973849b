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
    /// That it was set aside before, and is published on request.
    pub replay: Option<Box<Replay>>,
}

impl Delivery {
    /// Where the message itself stands, for consumers: the position that it had when it was
    /// committed, on the timeline of then. `timeline` is the batch's.
    #[must_use]
    pub fn origin(&self, timeline: TimelineId) -> (TimelineId, Position) {
        match &self.replay {
            Some(replay) => (replay.timeline, replay.position),
            None => (timeline, self.position),
        }
    }
}

/// What there is to say of a message that is published on request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The request.
    pub request: RequestId,
    /// Where the message itself stands in the commit order.
    pub position: Position,
    /// The timeline of that position.
    pub timeline: TimelineId,
    /// How often its replay was asked for, this time included.
    pub number: u32,
    /// Why it had been set aside: for logs.
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
