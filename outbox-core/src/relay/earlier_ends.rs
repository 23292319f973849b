use crate::{MessageId, Position};

/// What the database holds of how earlier holders ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EarlierEnds {
    /// So many processes in a row that had become active ended without a word, each after a few batches
    /// at the most: they were killed, or something killed them.
    pub unclean: u32,
    /// What such a process was trying when it ended.
    pub tried: Option<EarlierTries>,
}

/// A message, alone in its batch, on its way to the sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TriedMessage {
    /// Where it is published in the commit order.
    pub position: Position,
    /// Its identity.
    pub id: MessageId,
}

/// A message that other processes tried, and nothing was heard of them since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlierTries {
    /// The message.
    pub message: TriedMessage,
    /// How many processes.
    pub count: u32,
}
