//! Copies of the relay's checkpoint in a stream, which a restore of the database does not set back.
//!
//! The checkpoint itself lies in the database, and is set back with it. The log then goes on from an
//! earlier place, and gives positions that the broker has seen to other messages: it would confirm
//! those and drop them. So each checkpoint is copied, under the publishing id of the last message that
//! it covers. Before a relay publishes, it asks for the highest: a message that its own checkpoint does
//! not cover belongs to a past that the database has forgotten. A second publisher keeps the highest
//! timeline in the same way, for a server that was left behind by a fail-over.
//!
//! A copy is written after its checkpoint and is never ahead; it may lag by a few that are on their way.

use std::time::Duration;

use bytestring::ByteString;
use outbox_core::Position;
use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::AcquireError;
use tokio::time::Instant;
use tracing::warn;

use super::amqp::{self, Section};
use super::asking::{Asking, Halt, last_id};
use super::connection::{Connection, Lost};
use super::publishing_id::{Lineage, Reference};
use super::wire::{Code, PublishFrame, Request, code};

/// The numbers on their connection of the publishers that write them.
const COPIES: u8 = 255;
const TIMELINES: u8 = 254;
/// With so many unconfirmed, nothing more is published.
const ON_THE_WAY_MAX: usize = 16;
/// How long a connection with nothing on its way may take to accept one.
const SEND_MAX: Duration = Duration::from_millis(100);
/// The broker drops the oldest copies beyond so many bytes, a segment at a time; what it knows of
/// publishers stays.
const STREAM_BYTES_MAX: &str = "20000000";
const SEGMENT_BYTES_MAX: &str = "5000000";

/// Whether a publisher of this number writes copies.
pub(super) const fn is_writer(publisher: u8) -> bool {
    publisher >= TIMELINES
}

/// The copies, as far as one connection knows them.
#[derive(Debug, Default)]
pub(super) struct CheckpointCopies {
    compared: bool,
    notes_timelines: bool,
    declared: Option<Reference>,
    /// The last of each that was sent.
    sent: Option<u64>,
    timeline_sent: bool,
    on_the_way: usize,
}

/// What a batch's checkpoint means to the copies.
pub(super) struct Circumstances<'a> {
    pub(super) stream: &'a ByteString,
    pub(super) lineage: &'a Lineage,
    /// The newest durable checkpoint.
    pub(super) settled: Option<&'a Checkpoint>,
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
            if let Some(settled) = circumstances.settled {
                compare(asking, circumstances, settled).await?;
            }
            self.compared = true;
        }
        let located = circumstances
            .last
            .and_then(|last| circumstances.lineage.locate(last).ok());
        let Some((reference, _)) = located else {
            return Ok(());
        };
        let (stream, lineage) = (circumstances.stream, circumstances.lineage);
        if !self.notes_timelines {
            become_publisher(asking, stream, TIMELINES, &lineage.timelines_name()).await?;
            self.notes_timelines = true;
        }
        if self.declared.is_some_and(|declared| declared != reference) {
            end_publisher(asking, stream, COPIES).await?;
            (self.declared, self.sent) = (None, None);
        }
        if self.declared.is_none() {
            become_publisher(asking, stream, COPIES, &reference.name(lineage)).await?;
            self.declared = Some(reference);
        }
        Ok(())
    }

    /// The checkpoint is durable: a copy goes out.
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
        if self.declared != Some(reference) || self.sent.is_some_and(|last| last >= id) {
            return Ok(());
        }
        // What counts is the id; the text is for people.
        let (text, frame_bytes_max) = (checkpoint.encode(), connection.frame_bytes_max());
        if !self.timeline_sent {
            let timeline = u64::from(lineage.timeline().0);
            let frame = frame(TIMELINES, timeline, &text, frame_bytes_max);
            self.timeline_sent = self.send(connection, frame).await?;
        }
        let frame = frame(COPIES, id, &text, frame_bytes_max);
        if self.send(connection, frame).await? {
            self.sent = Some(id);
        }
        Ok(())
    }

    /// A connection that is too busy for it gets the next checkpoint's copy.
    async fn send(
        &mut self,
        connection: &mut Connection,
        mut frame: PublishFrame,
    ) -> Result<bool, Lost> {
        let deadline = Instant::now() + SEND_MAX;
        let sent = connection.send(frame.take(), deadline).await?;
        self.on_the_way += usize::from(sent);
        Ok(sent)
    }

    /// Whether the broker is slow with those that it has.
    pub(super) fn are_many_on_the_way(&self) -> bool {
        self.on_the_way >= ON_THE_WAY_MAX
    }

    /// The broker has so many more of them.
    pub(super) fn confirmed(&mut self, count: usize) {
        self.on_the_way = self.on_the_way.saturating_sub(count);
    }
}

async fn become_publisher(
    asking: &mut Asking<'_>,
    stream: &ByteString,
    number: u8,
    name: &str,
) -> Result<(), Halt> {
    let doing = format!("becoming a publisher of stream {stream:?}");
    let request = Request::declare_publisher(number, name, stream);
    match code(&asking.ask(&request, &doing).await?)? {
        Code::OK => Ok(()),
        Code::STREAM_NOT_AVAILABLE => Err(Halt::Later(format!("{doing}: it has no leader yet"))),
        Code::PRECONDITION_FAILED => Err(Halt::Later(format!(
            "{doing}: the broker takes none now: a disk alarm"
        ))),
        refused @ Code::ACCESS_REFUSED => Err(Halt::Fatal(format!(
            "{doing}: {refused}: give the user the rights to read and to write it"
        ))),
        other => Err(Halt::Lost(format!("{doing}: {other}"))),
    }
}

async fn end_publisher(
    asking: &mut Asking<'_>,
    stream: &ByteString,
    number: u8,
) -> Result<(), Halt> {
    let doing = format!("ending the publisher of stream {stream:?}");
    let request = Request::delete_publisher(number);
    match code(&asking.ask(&request, &doing).await?)? {
        Code::OK => Ok(()),
        other => Err(Halt::Lost(format!("{doing}: {other}"))),
    }
}

fn frame(publisher: u8, id: u64, text: &[u8], frame_bytes_max: usize) -> PublishFrame {
    let message = |text: &[u8]| {
        let mut message = Vec::new();
        amqp::section(&mut message, Section::Data);
        amqp::binary(&mut message, text);
        message
    };
    let mut frame = PublishFrame::new(publisher);
    let whole = message(text);
    if frame.has_room(&whole, frame_bytes_max) {
        frame.push(id, &whole);
    } else {
        frame.push(id, &message(b""));
    }
    frame
}

/// Whether the broker's copies fit the checkpoint that the relay goes on from.
async fn compare(
    asking: &mut Asking<'_>,
    circumstances: &Circumstances<'_>,
    settled: &Checkpoint,
) -> Result<(), Halt> {
    let (stream, lineage) = (circumstances.stream, circumstances.lineage);
    let (frontier, timeline) = (settled.frontier, lineage.timeline());
    let newest = last(asking, stream, &lineage.timelines_name()).await?;
    if newest > u64::from(timeline.0) {
        return Err(Halt::Diverged(format!(
            "messages of timeline {newest} were published, this server is on timeline {timeline}: it \
             was left behind by a fail-over, or restored from before it. {ADVICE}"
        )));
    }
    for (reference, switch_point) in lineage.witnesses(frontier.lsn) {
        let last = match last(asking, stream, &reference.name(lineage)).await? {
            0 => continue,
            last => reference.position(last),
        };
        return match switch_point {
            None if !frontier.covers(last) => Err(Halt::Diverged(format!(
                "stream {stream:?} has a checkpoint of this relay up to the message at {last}, the \
                 database's own stands at {frontier}: the database was set back. What was published \
                 since is not in it, and new messages would be taken for those. {ADVICE}"
            ))),
            Some(point) if last.commit_lsn >= point && !circumstances.phantoms_accepted => {
                Err(Halt::Diverged(format!(
                    "messages up to {last} were published, of a timeline that was left at {point}: \
                     timeline {timeline} does not have them. {ADVICE}"
                )))
            }
            _ => Ok(()),
        };
    }
    if settled.last.is_some() {
        warn!(
            stream = %stream,
            "the broker has no copy of this relay's checkpoints: whether the database was set back \
             before now cannot be told"
        );
    }
    Ok(())
}

const ADVICE: &str = "See what consumers made of what is lost, and go on under another relay.name";

async fn last(asking: &mut Asking<'_>, stream: &ByteString, name: &str) -> Result<u64, Halt> {
    let last = last_id(asking, stream, name).await?;
    last.map_err(|(_, text)| Halt::Fatal(text))
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

/// Makes sure that the stream is there, and that copies can be written to it and asked for.
pub(super) async fn require_access(
    asking: &mut Asking<'_>,
    stream: &ByteString,
    relay: &str,
) -> Result<(), AcquireError> {
    require_stream(asking, stream).await?;
    let trying = try_access(asking, stream, relay).await;
    trying.map_err(|halt| match halt {
        Halt::Fatal(text) => AcquireError::Fatal(text),
        halt => AcquireError::Unavailable(halt.to_string()),
    })
}

/// Whether a stream may be read and written: becomes its publisher for a moment, and publishes nothing.
/// Fatal where it may not.
pub(super) async fn try_access(
    asking: &mut Asking<'_>,
    stream: &ByteString,
    relay: &str,
) -> Result<(), Halt> {
    let name = format!("outbox-{relay}");
    last(asking, stream, &name).await?;
    become_publisher(asking, stream, TIMELINES, &name).await?;
    end_publisher(asking, stream, TIMELINES).await
}

/// Makes sure that the stream is there.
async fn require_stream(asking: &mut Asking<'_>, stream: &ByteString) -> Result<(), AcquireError> {
    match asking.exists(stream).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(AcquireError::CheckpointMissing(format!(
            "stream {stream:?}, which shows whether the database was set back, does not exist; if \
             you know that it was not, `outbox-sidecar init` makes the stream anew, for all relays that share it"
        ))),
        Err(halt) => Err(AcquireError::Unavailable(halt.to_string())),
    }
}
