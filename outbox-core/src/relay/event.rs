use std::time::Duration;

use super::{
    FinishedRequest, LeftToPublish, ParkedEarlier, PhantomList, RequestPart, StreamEvent, Ticket,
};
use crate::checkpoint::Checkpoint;
use crate::sink::{AcquireError, Outcome};
use crate::{Lsn, SystemId, TimelineHistory, TimelineId, Timestamp};

/// The time at which something happened: clocks are read outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Since any fixed start, by a clock that never steps. Everything is decided by it.
    pub monotonic: Duration,
    /// By the wall clock. Only written down.
    pub wall: Timestamp,
}

/// What happened.
///
/// An answer carries the [`Ticket`] of its request; an answer to a request that is no longer
/// wanted is ignored.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The deadline that [`Relay::deadline`](super::Relay::deadline) named has come.
    Tick,
    /// The process was asked to stop: finish what is in flight, then go.
    Drain,
    /// What the replication stream said since the last time, in order. Only handed in while the
    /// relay has room.
    Stream(Vec<StreamEvent>),
    /// The replication stream is over.
    StreamEnded(SourceFailure),
    /// The connection for SQL was lost: a first sign that the server goes away.
    ControlLost,
    /// The publication's fingerprint, read now and then while there is a connection for SQL; `None`
    /// when it does not exist.
    PublicationSeen(Option<String>),
    /// Answers [`Action::Inspect`](super::Action::Inspect).
    Inspected(Ticket, Result<Inspection, SourceFailure>),
    /// Answers [`Action::Connect`](super::Action::Connect).
    Connected(Ticket, Result<Identity, SourceFailure>),
    /// Answers [`Action::StartReplication`](super::Action::StartReplication).
    Streaming(Ticket, Result<(), SourceFailure>),
    /// Answers [`Action::ClaimEpoch`](super::Action::ClaimEpoch) with the new epoch.
    EpochClaimed(Ticket, Result<u64, SourceFailure>),
    /// Answers [`Action::TerminateHolder`](super::Action::TerminateHolder).
    HolderTerminated(Ticket, Result<(), SourceFailure>),
    /// Answers [`Action::PeekCheckpoint`](super::Action::PeekCheckpoint).
    Peeked(Ticket, Result<Option<Checkpoint>, AcquireError>),
    /// Answers [`Action::Acquire`](super::Action::Acquire).
    Acquired(Ticket, Result<Option<Checkpoint>, AcquireError>),
    /// Answers [`Action::ListPhantoms`](super::Action::ListPhantoms).
    PhantomsListed(Ticket, PhantomList),
    /// Answers [`Action::Publish`](super::Action::Publish).
    Published(Ticket, Outcome),
    /// Answers [`Action::LoadParked`](super::Action::LoadParked).
    ParkedLoaded(Ticket, Result<ParkedEarlier, SourceFailure>),
    /// Answers [`Action::Park`](super::Action::Park): all of it is in the database, and how often the
    /// relay has written there now; or nothing is known to be.
    Parked(Ticket, Result<u64, SourceFailure>),
    /// Answers [`Action::NoteTry`](super::Action::NoteTry).
    TryNoted(Ticket, Result<(), SourceFailure>),
    /// Answers [`Action::TakeRequest`](super::Action::TakeRequest).
    RequestTaken(Ticket, Result<RequestPart, SourceFailure>),
    /// Answers [`Action::PutBack`](super::Action::PutBack).
    WasPutBack(Ticket, Result<LeftToPublish, SourceFailure>),
    /// Answers [`Action::FinishRequest`](super::Action::FinishRequest).
    RequestFinished(Ticket, Result<FinishedRequest, SourceFailure>),
}

/// Who the server is, as `IDENTIFY_SYSTEM` and `TIMELINE_HISTORY` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub system_id: SystemId,
    /// Its current timeline.
    pub timeline: TimelineId,
    /// The timeline's ancestors.
    pub history: TimelineHistory,
    /// The process that serves our replication connection.
    pub walsender_pid: i32,
}

/// What SQL says about everything the relay owns in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The server is a standby: nothing can be relayed from it.
    pub in_recovery: bool,
    /// How far the log is flushed (replayed, on a standby). Read with the slot in one go: while
    /// the slot is ours, nobody can have published what lies beyond.
    pub wal_end: Lsn,
    /// The replication slot; `None` when it does not exist.
    pub slot: Option<SlotState>,
    /// The relay's row in `outbox.relay`; `None` when `init` never ran.
    pub relay: Option<RelayRow>,
    /// What tells the publication from what it was before anybody altered it, also where that was
    /// taken back; one that was made anew has something else before the first slash. `None` when it
    /// does not exist.
    pub publication_fingerprint: Option<String>,
    /// What is wrong with the publication, measured against the configuration.
    pub publication_fault: Option<String>,
}

/// The replication slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotState {
    /// What the server has been told is safe; it sends nothing that committed before.
    pub confirmed_flush: Lsn,
    /// Why the slot can no longer be read, when it cannot.
    pub fault: Option<String>,
    /// Who reads from it now.
    pub holder: Option<Holder>,
}

/// The walsender that serves a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: i32,
    /// When that process started; `None` when we may not see it.
    pub backend_start: Option<Timestamp>,
    /// When it last heard from its client; `None` when we may not see it.
    pub reply_time: Option<Timestamp>,
}

/// The relay's row in `outbox.relay`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayRow {
    /// Whether `init` came to its end: the first checkpoint is written.
    pub genesis_written: bool,
    /// Why no relay may run until `recover` clears it, and the exit code that says so.
    pub held: Option<(u8, String)>,
    /// The fingerprint of the publication that the relay was set up with, or of one that an operator
    /// accepted since: what the alteration left out is dealt with.
    pub publication_accepted: Option<String>,
}

/// Something that PostgreSQL, or the way to it, refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SourceFailure {
    /// What it means for the relay.
    pub kind: FailureKind,
    /// What the server or the network said.
    pub message: String,
}

/// What a [`SourceFailure`] means for the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// No connection, or it broke.
    Unreachable,
    /// The server is shutting down or starting up.
    ServerShutdown,
    /// Authentication failed.
    AuthenticationRefused,
    /// A privilege is missing.
    PrivilegeRefused,
    /// The schema is older than this release.
    SchemaOutdated,
    /// The server does not write logical information into its log.
    NotLogical,
    /// Another connection reads from the slot.
    SlotBusy,
    /// The slot does not exist.
    SlotMissing,
    /// The slot can no longer be read.
    SlotInvalidated,
    /// The publication does not exist, or the server left it out.
    PublicationMissing,
    /// The publication carries what the relay cannot relay.
    PublicationUnfit,
    /// The server has no free walsender or connection.
    TooManyConnections,
    /// The server is a standby.
    InRecovery,
    /// The slot is not ours any more, or a newer activation of the relay has claimed the right to
    /// write.
    ClaimSuperseded,
    /// Somebody's open transaction holds what is needed.
    Locked,
    /// The database cannot hold a value that it was given.
    ValueRefused,
    /// What was set aside at a position before is another message.
    ParkedDiffers,
    /// The server said what the protocol does not allow.
    Protocol,
    /// Anything else.
    Other,
}

impl FailureKind {
    /// The kind as a metric's label and in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::ServerShutdown => "server-shutdown",
            Self::AuthenticationRefused => "authentication-refused",
            Self::PrivilegeRefused => "privilege-refused",
            Self::SchemaOutdated => "schema-outdated",
            Self::NotLogical => "not-logical",
            Self::SlotBusy => "slot-busy",
            Self::SlotMissing => "slot-missing",
            Self::SlotInvalidated => "slot-invalidated",
            Self::PublicationMissing => "publication-missing",
            Self::PublicationUnfit => "publication-unfit",
            Self::TooManyConnections => "too-many-connections",
            Self::InRecovery => "in-recovery",
            Self::ClaimSuperseded => "claim-superseded",
            Self::Locked => "locked",
            Self::ValueRefused => "value-refused",
            Self::ParkedDiffers => "parked-differs",
            Self::Protocol => "protocol",
            Self::Other => "other",
        }
    }
}
