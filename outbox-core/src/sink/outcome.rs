/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The messages and the checkpoint are durable and visible.
    Durable,
    /// Nothing is decided; the same call again goes on where it stopped. Back-pressure too.
    Retry {
        /// What the broker said.
        reason: String,
    },
    /// Nothing is decided, and it is getting on: the same call again, at once, goes on where it
    /// stopped. So a sink hands the turn back that is at work for long.
    Ongoing {
        /// How far it has come.
        progress: String,
    },
    /// Nothing of the batch is left pending: it may be sent again as a whole. From an exactly-once
    /// sink: rolled back, for certain, and never visible.
    Abort {
        /// What the broker said.
        reason: String,
    },
    /// The batch did not become durable because of these messages, each refused for itself. From an
    /// exactly-once sink: rolled back, for certain. Another may have published the others already;
    /// it knows them when they come again.
    Poison(Vec<Refusal>),
    /// Nobody here knows whether it is durable. Only the checkpoint, read by a new holder, tells.
    Indefinite {
        /// What happened.
        reason: String,
    },
    /// Somebody else has the right to publish.
    Fenced {
        /// What the broker said.
        reason: String,
    },
    /// The broker holds what the log that is published now does not have: a database that was set
    /// back, or a fail-over that lost what was published. Nothing of the batch was sent on.
    Diverged {
        /// What is where.
        reason: String,
    },
    /// The broker will not let this relay publish at all.
    Fatal {
        /// What the broker said, and what to do.
        reason: String,
    },
}

/// A message that the broker refuses for itself: any other batch would meet the same answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its place in the batch, from 0.
    pub batch_index: usize,
    /// The kind of refusal.
    pub reason: RefusalReason,
    /// What the broker or the sink said.
    pub error: String,
}

/// Why a message is refused for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalReason {
    /// Larger than the broker or the configuration allows.
    TooLarge,
    /// The destination does not exist and is not to be created.
    DestinationMissing,
    /// The destination's name cannot be one.
    DestinationInvalid,
    /// Publishing to the destination is not allowed.
    NotAuthorised,
    /// Its headers are not an object of strings.
    HeadersInvalid,
    /// The broker refused it for another reason of its own.
    Rejected,
    /// No broker refused it: each process that tried it, alone, ended. Said by the relay.
    Crashes,
}

impl RefusalReason {
    /// All that there are.
    pub const ALL: [Self; 7] = [
        Self::TooLarge,
        Self::DestinationMissing,
        Self::DestinationInvalid,
        Self::NotAuthorised,
        Self::HeadersInvalid,
        Self::Rejected,
        Self::Crashes,
    ];

    /// The reason as a metric's label and in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::DestinationMissing => "destination-missing",
            Self::DestinationInvalid => "destination-invalid",
            Self::NotAuthorised => "not-authorised",
            Self::HeadersInvalid => "headers-invalid",
            Self::Rejected => "rejected",
            Self::Crashes => "crashes",
        }
    }
}

/// Why the checkpoint could not be read, or the right to publish not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcquireError {
    /// The broker is away or busy; later it may work.
    #[error("the broker does not answer: {0}")]
    Unavailable(String),
    /// Somebody else took the right to publish meanwhile.
    #[error("another relay took over: {0}")]
    Fenced(String),
    /// The place where checkpoints are kept does not exist.
    #[error("{0}")]
    CheckpointMissing(String),
    /// A checkpoint that cannot be read.
    #[error("{0}")]
    CheckpointCorrupt(String),
    /// The checkpoints show two writers.
    #[error("{0}")]
    TwoWriters(String),
    /// The broker will not let this relay publish at all.
    #[error("{0}")]
    Fatal(String),
}
