use std::sync::Arc;
use std::time::Duration;

use super::{
    Claim, EarlierTries, FinishedRequest, HaltedMessage, Holder, ParkedMessage, Phantoms,
    RefusedAgain, RequestPlace, Stop, TriedBatch,
};
use crate::sink::{Batch, RefusalReason};
use crate::{Frontier, Lsn, Position, RequestId, SystemId, TimelineId};

/// Names a request, so that its answer is told from the answer to an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(super) u64);

/// What to do. Actions are carried out in the order they come.
///
/// Requests to one side (SQL, replication connection, sink) are answered one after the other.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Read slot, relay row and publication by SQL.
    Inspect(Ticket),
    /// Carry out what SQL is asked next on a new connection: the name, or the list of hosts, may stand
    /// for another server by now. Not answered.
    ReconnectSql,
    /// Open a replication connection and identify the server.
    Connect(Ticket),
    /// Start the copy on that connection, at 0/0.
    StartReplication(Ticket),
    /// Raise the relay's epoch in `outbox.relay`, where the slot is in the hands of this process of the
    /// server, which serves our stream.
    ClaimEpoch(Ticket, i32),
    /// End the walsender of a holder that fell silent, if it still is exactly this one.
    TerminateHolder(Ticket, Holder),
    /// [`Sink::peek`](crate::sink::Sink::peek).
    PeekCheckpoint(Ticket),
    /// [`Sink::acquire`](crate::sink::Sink::acquire), under this epoch.
    Acquire(Ticket, u64),
    /// Read back from the broker which messages were published that the database has lost. Disturbs
    /// nobody; takes a bounded time.
    ListPhantoms(Ticket, Box<Phantoms>),
    /// [`Sink::publish`](crate::sink::Sink::publish).
    Publish(Ticket, Arc<Batch>),
    /// Read what was set aside before, where the claim still holds, after noting of requests behind
    /// the frontier that they are carried out. Of a database that knows of fewer writes than the
    /// checkpoint, only their number is read: it is not to be touched.
    ///
    /// It is noted there that this process holds the relay from now on, and from where: until it says
    /// that it has ended ([`Action::NoteEnd`]) it counts as one that did so without a word.
    LoadParked {
        /// The answer's.
        ticket: Ticket,
        /// What must still hold.
        claim: Claim,
        /// The cluster that the positions belong to.
        system_id: SystemId,
        /// The checkpoint's: what lies beyond is not covered.
        frontier: Frontier,
        /// How often the relay had written about stuck messages, by the checkpoint.
        stuck_writes: u64,
        /// The checkpoint's number: how far the last holder came is told by its difference.
        sequence: u64,
    },
    /// Set messages aside in the database, all or none, where the claim still holds. What is there
    /// already is left as it is.
    Park {
        /// The answer's.
        ticket: Ticket,
        /// What must still hold.
        claim: Claim,
        /// The cluster and timeline that the positions belong to.
        cluster: (SystemId, TimelineId),
        /// The messages, in commit order.
        messages: Arc<[ParkedMessage]>,
    },
    /// Read the messages of a request that are to be published, where the claim still holds. The
    /// first time its position is noted, and what waits behind its messages taken along.
    TakeRequest {
        /// The answer's.
        ticket: Ticket,
        /// What must still hold.
        claim: Claim,
        /// The cluster that the positions belong to.
        system_id: SystemId,
        /// The request.
        request: RequestPlace,
        /// The number of the first message.
        from: u32,
        /// The most messages.
        messages_max: usize,
        /// The most bytes of them; one message at least.
        bytes_max: usize,
    },
    /// Let messages of a request wait again, and what stands behind them in their keys, where the
    /// claim still holds. Those that wait already are left as they are. Of a redelivery only what was
    /// refused is left out: nothing waits.
    PutBack {
        /// The answer's.
        ticket: Ticket,
        /// What must still hold.
        claim: Claim,
        /// The request.
        request: RequestId,
        /// The messages that were refused.
        refused: Arc<[RefusedAgain]>,
        /// The number of the last message that the answer is about.
        through: u32,
    },
    /// Note what became of a request whose messages are published, where the claim still holds.
    FinishRequest {
        /// The answer's.
        ticket: Ticket,
        /// What must still hold.
        claim: Claim,
        /// The request.
        request: RequestId,
    },
    /// Note which messages are tried now, where the claim still holds: should the process end, that is
    /// found by the next. Of others everything is forgotten.
    NoteTry {
        /// The answer's.
        ticket: Ticket,
        /// What must still hold.
        claim: Claim,
        /// The messages.
        batch: TriedBatch,
    },
    /// Take back that this process tries messages: it lives. Not answered, and carried out whenever
    /// the database can be reached; it needs no claim.
    NoteSurvival,
    /// Note that the holder ends of its own will, where the claim still holds, and take back what it
    /// tried. Not answered. It comes before the stream is closed, and is given a moment; where it
    /// cannot be noted the holder counts as one that ended without a word.
    NoteEnd {
        /// What must still hold.
        claim: Claim,
        /// What others tried is forgotten, too: an operator mends it.
        forget_tries: bool,
    },
    /// Tell the slot that everything before this LSN is durable.
    Confirm(Lsn),
    /// Ask the server for its position with every status, or stop asking.
    AskForKeepalive(bool),
    /// Send the last status, end the copy and close the replication connection.
    CloseStream,
    /// [`Sink::release`](crate::sink::Sink::release).
    ReleaseSink,
    /// Write into `outbox.relay` why no relay may run until an operator clears it.
    RecordHold(Stop),
    /// For logs, metrics and `/status`.
    Report(Notice),
    /// End the process.
    Stop(Stop),
}

/// A change worth a line in the log.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// Another relay of this name is active, or the server cannot be relayed from now.
    StandingBy {
        /// Why.
        reason: String,
    },
    /// The slot is free; becoming active.
    Activating,
    /// The slot and the right to publish are ours.
    Active {
        /// The epoch that was claimed.
        epoch: u64,
    },
    /// So many processes in a row that held the relay ended without a word.
    EndedUncleanly {
        /// How many.
        times: u32,
        /// What was tried when they ended, and by how many.
        tried: Option<EarlierTries>,
        /// So many messages are published with care now: in small batches, each noted before it is
        /// tried; 0 for none.
        careful_messages: usize,
    },
    /// So many messages were published with care, and the process lives: as ever again.
    InFullBatchesAgain,
    /// PostgreSQL failed us; trying again after the delay.
    SourceTrouble {
        /// What failed.
        failure: super::SourceFailure,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// The sink failed us; trying again after the delay.
    SinkTrouble {
        /// `retry`, `abort`, `unavailable` or `refused`: a label.
        kind: &'static str,
        /// What failed.
        reason: String,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// The sink is at work at a batch for long, and getting on.
    SinkAtWork {
        /// How far it has come.
        progress: String,
    },
    /// Nobody knows what became of a batch: finding out.
    Recovering {
        /// What happened.
        reason: String,
    },
    /// The checkpoint told what became of it.
    Recovered {
        /// Whether the batch turned out to be durable; otherwise it is sent again.
        durable: bool,
    },
    /// A batch took longer than the broker allows: so many of its messages are tried first.
    Halved {
        /// The messages of its first part.
        messages: usize,
    },
    /// Somebody else has the right to publish: standing by.
    Fenced {
        /// What the sink said.
        reason: String,
    },
    /// A holder that fell silent is being ended.
    TerminatingHolder {
        /// Its walsender's process id.
        pid: i32,
    },
    /// A batch became durable.
    Durable {
        /// The batch.
        batch: Arc<Batch>,
    },
    /// Messages were set aside.
    Parked {
        /// They.
        messages: Arc<[ParkedMessage]>,
    },
    /// A logical message for this relay is none that this release understands: it is passed over. Said once a
    /// transaction.
    RequestUnreadable,
    /// A request waits until its transaction can be seen.
    RequestWaits {
        /// The request.
        request: RequestId,
    },
    /// A transaction names more requests than anyone could make in it: this one is not looked for, nor are
    /// those behind it. Said once a transaction.
    RequestDropped {
        /// What the logical message names.
        request: RequestId,
    },
    /// There is no such request: it is passed over.
    RequestUnknown {
        /// What the logical message names.
        request: RequestId,
    },
    /// A destination refuses one message after the other: its messages are set aside unasked, but for
    /// one now and then.
    DestinationGone {
        /// Its name.
        destination: String,
        /// Why it refuses.
        reason: RefusalReason,
        /// What the broker said.
        error: String,
    },
    /// A destination that had counted as gone has taken a message.
    DestinationBack {
        /// Its name.
        destination: String,
    },
    /// Messages were refused again when they were replayed, or left out of a redelivery.
    PutBack {
        /// They.
        messages: Arc<[RefusedAgain]>,
    },
    /// A request was carried out.
    RequestDone {
        /// The request.
        request: RequestId,
        /// Where it stood in the log.
        position: Position,
        /// What became of it.
        outcome: FinishedRequest,
    },
    /// Staying up, publishing nothing, until an operator acts.
    Halted(HaltedMessage),
    /// Finishing what is in flight, then stopping.
    Draining,
}
