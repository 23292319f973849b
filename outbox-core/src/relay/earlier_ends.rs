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

/// Messages on their way to the sink together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TriedBatch {
    /// Where the first of them is published in the commit order.
    pub position: Position,
    /// Its identity.
    pub id: MessageId,
    /// How many they are.
    pub messages: u32,
}

/// What other processes tried, and nothing was heard of them since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlierTries {
    /// The messages.
    pub batch: TriedBatch,
    /// How many processes.
    pub count: u32,
}
