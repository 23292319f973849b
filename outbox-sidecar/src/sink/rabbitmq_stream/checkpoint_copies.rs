//! Copies of the relay's checkpoint in a stream, which a restore of the database does not set back.
//!
//! The checkpoint itself lies in the database, and is set back with it. The log then goes on from an
//! earlier place, and gives positions that the broker has seen to other messages: it would confirm
//! those and drop them. So each checkpoint is copied, under the publishing id of the last message that
//! it covers. Before a relay publishes, it asks for the highest: a message that its own checkpoint does
//! not cover belongs to a past that the database has forgotten.
//!
//! A copy is written after its checkpoint and never waited for. It may lag, and is never ahead.

use std::time::Duration;

use bytestring::ByteString;
use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::AcquireError;
use outbox_core::{Frontier, Position};
use tokio::time::Instant;

use super::amqp::{self, Section};
use super::asking::{Asking, Halt, last_id};
use super::connection::{Connection, Lost};
use super::publishing_id::{Lineage, Reference};
use super::wire::{Code, PublishFrame, Request, code};

/// The number on its connection of whoever writes them.
pub(super) const PUBLISHER: u8 = u8::MAX;
/// With so many unanswered, checkpoints pass without a copy.
const ON_THE_WAY_MAX: usize = 16;
/// How long a connection with nothing on its way may take to accept one.
const SEND_MAX: Duration = Duration::from_millis(100);
/// The broker drops the oldest copies beyond so many bytes, a segment at a time; what it knows of
/// publishers stays.
const STREAM_BYTES_MAX: &str = "20000000";
const SEGMENT_BYTES_MAX: &str = "5000000";

/// The copies, as far as one connection knows them.
#[derive(Debug, Default)]
pub(super) struct CheckpointCopies {
    compared: bool,
    declared: Option<Reference>,
    /// The last that was sent.
    sent: Option<u64>,
    on_the_way: usize,
}

/// What a batch's checkpoint means to the copies.
pub(super) struct Circumstances<'a> {
    pub(super) stream: &'a ByteString,
    pub(super) lineage: &'a Lineage,
    /// The newest durable checkpoint's.
    pub(super) frontier: Option<Frontier>,
    pub(super) phantoms_accepted: bool,
    /// The last message that the batch's checkpoint will cover.
    pub(super) last: Option<Position>,
}

impl CheckpointCopies {
    /// Makes sure that the broker has no copy which speaks against publishing, and that this batch's
    /// can be written.
    pub(super) async fn prepare(
        &mut self,
        asking: &mut Asking<'_>,
        circumstances: &Circumstances<'_>,
    ) -> Result<(), Halt> {
        if !self.compared {
            if let Some(frontier) = circumstances.frontier {
                compare(asking, circumstances, frontier).await?;
            }
            self.compared = true;
        }
        let located = circumstances
            .last
            .and_then(|last| circumstances.lineage.locate(last).ok());
        match located {
            Some((reference, _)) if self.declared != Some(reference) => {
                self.declare(asking, circumstances, reference).await
            }
            _ => Ok(()),
        }
    }

    async fn declare(
        &mut self,
        asking: &mut Asking<'_>,
        circumstances: &Circumstances<'_>,
        reference: Reference,
    ) -> Result<(), Halt> {
        let (stream, lineage) = (circumstances.stream, circumstances.lineage);
        if self.declared.is_some() {
            let doing = format!("ending the publisher of stream {stream:?}");
            let request = Request::delete_publisher(PUBLISHER);
            match code(&asking.ask(&request, &doing).await?)? {
                Code::OK => self.declared = None,
                other => return Err(Halt::Lost(format!("{doing}: {other}"))),
            }
            (self.sent, self.on_the_way) = (None, 0);
        }
        let doing = format!("becoming a publisher of stream {stream:?}");
        let request = Request::declare_publisher(PUBLISHER, &reference.name(lineage), stream);
        match code(&asking.ask(&request, &doing).await?)? {
            Code::OK => {
                self.declared = Some(reference);
                Ok(())
            }
            Code::STREAM_NOT_AVAILABLE => {
                Err(Halt::Later(format!("{doing}: it has no leader yet")))
            }
            Code::PRECONDITION_FAILED => Err(Halt::Later(format!(
                "{doing}: the broker takes none now: a disk alarm"
            ))),
            refused @ Code::ACCESS_REFUSED => Err(Halt::Fatal(format!(
                "{doing}: {refused}: give the user the rights to read and to write it"
            ))),
            other => Err(Halt::Lost(format!("{doing}: {other}"))),
        }
    }

    /// The checkpoint is durable: a copy goes out, unless the broker is slow with those before.
    pub(super) async fn write(
        &mut self,
        connection: &mut Connection,
        lineage: &Lineage,
        checkpoint: &Checkpoint,
    ) -> Result<(), Lost> {
        let located = checkpoint.last.map(|last| lineage.locate(last.position()));
        let Some(Ok((reference, id))) = located else {
            return Ok(());
        };
        let known = self.sent.is_some_and(|last| last >= id);
        if self.declared != Some(reference) || known || self.on_the_way >= ON_THE_WAY_MAX {
            return Ok(());
        }
        let mut message = Vec::new();
        amqp::section(&mut message, Section::Data);
        amqp::binary(&mut message, &checkpoint.encode());
        let mut frame = PublishFrame::new(PUBLISHER);
        if !frame.has_room(&message, connection.frame_bytes_max()) {
            return Ok(());
        }
        frame.push(id, &message);
        let deadline = Instant::now() + SEND_MAX;
        if connection.send(frame.take(), deadline).await? {
            self.sent = Some(id);
            self.on_the_way += 1;
        }
        Ok(())
    }

    /// The broker has so many copies, or will not have them.
    pub(super) fn answered(&mut self, count: usize) {
        self.on_the_way = self.on_the_way.saturating_sub(count);
    }
}

/// Whether the broker's copies fit the checkpoint that the relay goes on from.
async fn compare(
    asking: &mut Asking<'_>,
    circumstances: &Circumstances<'_>,
    frontier: Frontier,
) -> Result<(), Halt> {
    let (stream, lineage) = (circumstances.stream, circumstances.lineage);
    for (reference, switch_point) in lineage.witnesses(frontier.lsn) {
        let last = match last_id(asking, stream, &reference.name(lineage)).await? {
            Ok(0) => continue,
            Ok(last) => reference.position(last),
            Err((_, text)) => return Err(Halt::Fatal(text)),
        };
        return match switch_point {
            None if !frontier.covers(last) => Err(Halt::Diverged(format!(
                "stream {stream:?} has a checkpoint of this relay up to the message at {last}, the \
                 database's own stands at {frontier}: the database was set back. What was published \
                 since is not in it, and new messages would be taken for those"
            ))),
            Some(point) if last.commit_lsn >= point && !circumstances.phantoms_accepted => {
                Err(Halt::Diverged(format!(
                    "messages up to {last} were published, of a timeline that was left at {point}: \
                     timeline {} does not have them",
                    lineage.timeline()
                )))
            }
            _ => Ok(()),
        };
    }
    Ok(())
}

/// Makes the stream, unless it is there.
pub(super) async fn create_stream(
    asking: &mut Asking<'_>,
    stream: &ByteString,
) -> Result<(), AcquireError> {
    if require_stream(asking, stream).await.is_ok() {
        // It may have been made by hand, with limits of its own.
        return Ok(());
    }
    let doing = format!("making stream {stream:?}");
    let limits = [
        ("max-length-bytes", STREAM_BYTES_MAX),
        ("stream-max-segment-size-bytes", SEGMENT_BYTES_MAX),
    ];
    let request = Request::create_with(stream, &limits);
    let asked = asking.ask(&request, &doing).await;
    match asked.and_then(|body| Ok(code(&body)?)) {
        Ok(Code::OK | Code::STREAM_EXISTS) => {}
        Ok(refused @ Code::ACCESS_REFUSED) => {
            return Err(AcquireError::Fatal(format!(
                "{doing}: {refused}: give the user the right to configure it, or make it yourself"
            )));
        }
        Ok(other) => return Err(AcquireError::Fatal(format!("{doing}: {other}"))),
        Err(halt) => return Err(AcquireError::Unavailable(halt.to_string())),
    }
    require_stream(asking, stream).await
}

/// Makes sure that the stream is there.
pub(super) async fn require_stream(
    asking: &mut Asking<'_>,
    stream: &ByteString,
) -> Result<(), AcquireError> {
    match asking.exists(stream).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(AcquireError::CheckpointMissing(format!(
            "stream {stream:?}, which shows whether the database was set back, does not exist; if \
             you know that it was not, `outbox-sidecar init` makes the stream anew"
        ))),
        Err(halt) => Err(AcquireError::Unavailable(halt.to_string())),
    }
}
