use crate::checkpoint::Checkpoint;
use crate::{OutboxRow, Position, Timestamp};

/// One message on its way to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where it stands in the commit order.
    pub position: Position,
    /// Its transaction's id.
    pub xid: u32,
    /// When its transaction committed, by the server's clock.
    pub commit_time: Timestamp,
    /// The message.
    pub row: OutboxRow,
}

/// What becomes durable together: consecutive messages and the checkpoint that covers them.
///
/// A batch without messages moves the checkpoint alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The messages, in commit order.
    pub messages: Vec<Delivery>,
    /// The checkpoint that holds once they are durable. Its timeline is the messages' own.
    pub checkpoint: Checkpoint,
}
