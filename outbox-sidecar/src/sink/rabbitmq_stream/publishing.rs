//! One batch: sent stream by stream in commit order, until everything is confirmed.

use std::collections::HashMap;
use std::time::Duration;

use bytestring::ByteString;
use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::{Batch, Delivery, Outcome, Refusal, RefusalReason};
use outbox_core::{Frontier, Position};
use tokio::time::Instant;

use super::asking::{Asking, Halt, Refused};
use super::checkpoint_copies::{self, CheckpointCopies, Circumstances};
use super::connection::Connection;
use super::destinations::Destinations;
use super::lanes::{Conditions, Lanes, Opened};
use super::message::Encoder;
use super::publishing_id::{Lineage, Reference, Unnumbered};
use super::settings::StreamSettings;
use super::suspects::{Suspect, Suspects};
use super::wire::{Code, Incoming, PublishFrame};

/// How long one call works on a batch before it hands control back.
const CALL_MAX: Duration = Duration::from_secs(5);
/// Full frames are sent once there are so many.
const FRAMES_READY_MAX: usize = 2;

/// What belongs to one connection.
pub(super) struct Session {
    pub(super) connection: Connection,
    destinations: Destinations,
    lanes: Lanes,
    copies: CheckpointCopies,
    lineage: Option<Lineage>,
}

impl Session {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            destinations: Destinations::default(),
            lanes: Lanes::default(),
            copies: CheckpointCopies::default(),
            lineage: None,
        }
    }
}

/// What the sink keeps from call to call.
#[derive(Default)]
pub(super) struct Publishing {
    attempt: Option<Attempt>,
    suspects: Suspects,
    encoder: Encoder,
    /// The newest durable checkpoint's.
    frontier: Option<Frontier>,
}

/// How far the batch in hand is.
struct Attempt {
    /// The batch, by its checkpoint's sequence.
    sequence: u64,
    /// Everything before it was sent, refused, or held back.
    cursor: usize,
    last: Option<Position>,
    /// Streams that get nothing more of this batch: what comes after a refused message waits until
    /// the relay has decided about that one. Sent before it, it would make the broker drop that one
    /// as known.
    closed: HashMap<ByteString, Option<Refused>>,
    refused: Vec<Refusal>,
}

/// What became of the next message.
enum Step {
    Done,
    /// It waits for confirms of others.
    Wait,
}

impl Publishing {
    /// Sends what is left of the batch, within [`CALL_MAX`].
    pub(super) async fn publish(
        &mut self,
        session: &mut Session,
        settings: &StreamSettings,
        batch: &Batch,
    ) -> Outcome {
        let sequence = batch.checkpoint.sequence;
        let attempt = match self.attempt.take() {
            Some(attempt) if attempt.sequence == sequence => attempt,
            _ if session.lanes.on_the_way() > 0 => {
                let reason = "another batch was handed in while one was on its way".to_owned();
                return Outcome::Indefinite { reason };
            }
            _ => {
                session.destinations.begin_batch();
                Attempt::new(sequence)
            }
        };
        let lineage = Lineage::new(&settings.relay, &batch.checkpoint);
        if session.lineage.as_ref() != Some(&lineage) {
            session.lanes.forget_checks();
            session.lineage = Some(lineage.clone());
        }
        let mut work = Work {
            asking: Asking {
                connection: &mut session.connection,
                deadline: Instant::now() + CALL_MAX,
            },
            destinations: &mut session.destinations,
            lanes: &mut session.lanes,
            copies: &mut session.copies,
            frontier: self.frontier,
            suspects: &mut self.suspects,
            encoder: &mut self.encoder,
            lineage,
            settings,
            batch,
            attempt,
        };
        match work.run().await {
            Ok(()) if work.attempt.refused.is_empty() => Outcome::Durable,
            Ok(()) => Outcome::Poison(work.attempt.refused),
            Err(Halt::Later(reason)) => {
                self.attempt = Some(work.attempt);
                Outcome::Retry { reason }
            }
            Err(Halt::Lost(reason)) => Outcome::Indefinite { reason },
            Err(Halt::Diverged(reason)) => Outcome::Diverged { reason },
            Err(Halt::Fatal(reason)) => Outcome::Fatal { reason },
        }
    }

    /// A checkpoint is durable: what follows it may come, and a copy of it goes to the broker.
    pub(super) async fn settled(&mut self, session: Option<&mut Session>, checkpoint: &Checkpoint) {
        self.frontier = Some(checkpoint.frontier);
        let Some(session) = session else { return };
        let Some(lineage) = &session.lineage else {
            return;
        };
        let connection = &mut session.connection;
        // A lost connection says so to the next batch.
        let _ = session.copies.write(connection, lineage, checkpoint).await;
    }

    /// The connection is gone; the broker knows how far we came.
    pub(super) fn disconnected(&mut self) {
        self.attempt = None;
    }
}

impl Attempt {
    fn new(sequence: u64) -> Self {
        Self {
            sequence,
            cursor: 0,
            last: None,
            closed: HashMap::new(),
            refused: Vec::new(),
        }
    }

    fn refuse(&mut self, (reason, error): Refused) {
        self.refused.push(Refusal {
            batch_index: self.cursor,
            reason,
            error,
        });
    }
}

/// What one call works on.
struct Work<'a> {
    asking: Asking<'a>,
    destinations: &'a mut Destinations,
    lanes: &'a mut Lanes,
    copies: &'a mut CheckpointCopies,
    frontier: Option<Frontier>,
    suspects: &'a mut Suspects,
    encoder: &'a mut Encoder,
    lineage: Lineage,
    settings: &'a StreamSettings,
    batch: &'a Batch,
    attempt: Attempt,
}

impl Work<'_> {
    async fn run(&mut self) -> Result<(), Halt> {
        let last = self.batch.checkpoint.last;
        let circumstances = Circumstances {
            stream: &ByteString::from(self.settings.checkpoint_stream.as_str()),
            lineage: &self.lineage,
            frontier: self.frontier,
            phantoms_accepted: self.settings.phantoms_accepted,
            last: last.map(|last| last.position()),
        };
        self.copies
            .prepare(&mut self.asking, &circumstances)
            .await?;
        loop {
            while let Some(event) = self.asking.connection.next_waiting()? {
                self.take_in(event)?;
            }
            self.fill().await?;
            self.lanes.send(&mut self.asking, true).await?;
            if self.lanes.on_the_way() == 0 {
                if self.attempt.cursor >= self.batch.messages.len() {
                    return Ok(());
                }
                continue;
            }
            let deadline = self.asking.deadline;
            if Instant::now() >= deadline {
                return Err(Halt::Later("the batch is not through yet".to_owned()));
            }
            match self.asking.connection.next(deadline).await? {
                Some(event) => self.take_in(event)?,
                None => {
                    let count = self.lanes.on_the_way();
                    return Err(Halt::Later(format!(
                        "{count} messages are not confirmed yet: the broker is busy, has a disk \
                         alarm, or a stream has no majority"
                    )));
                }
            }
        }
    }

    /// Prepares messages until the window is full.
    async fn fill(&mut self) -> Result<(), Halt> {
        let batch = self.batch;
        while self.lanes.on_the_way() < self.settings.unconfirmed_max
            && let Some(delivery) = batch.messages.get(self.attempt.cursor)
        {
            match self.step(delivery).await? {
                Step::Done => {
                    self.attempt.last = Some(delivery.position);
                    self.attempt.cursor += 1;
                }
                Step::Wait => return Ok(()),
            }
            if self.lanes.frames_ready() >= FRAMES_READY_MAX {
                self.lanes.send(&mut self.asking, false).await?;
            }
        }
        Ok(())
    }

    async fn step(&mut self, delivery: &Delivery) -> Result<Step, Halt> {
        let position = delivery.position;
        if self.attempt.last.is_some_and(|last| last >= position) {
            return Err(Halt::Fatal(format!(
                "the message at {position} came after a later one: that is a bug of the relay"
            )));
        }
        let create = self.settings.create_streams;
        let destination = &delivery.row.destination;
        if *destination == self.settings.checkpoint_stream {
            let text = format!("{destination:?} is rabbitmq_stream.checkpoint_stream");
            self.attempt
                .refuse((RefusalReason::DestinationInvalid, text));
            return Ok(Step::Done);
        }
        let target = self
            .destinations
            .look_up(&mut self.asking, destination, create);
        let target = match target.await? {
            Ok(target) => target,
            Err(refused) => {
                self.attempt.refuse(refused);
                return Ok(Step::Done);
            }
        };
        let Some(stream) = target.stream(&delivery.row) else {
            return Err(Halt::Lost(format!("{destination:?} has no partition")));
        };
        let frame_bytes_max = self.asking.connection.frame_bytes_max();
        let limits = (self.settings.message_bytes_max, frame_bytes_max);
        let prepared = prepare(self.encoder, &self.lineage, limits, delivery);
        let (reference, id, message) = match prepared? {
            Ok(prepared) => prepared,
            Err(refused) => {
                self.attempt.closed.entry(stream).or_insert(None);
                self.attempt.refuse(refused);
                return Ok(Step::Done);
            }
        };
        if let Some(closed) = self.attempt.closed.get(&stream) {
            if let Some(refused) = closed.clone() {
                self.attempt.refuse(refused);
            }
            return Ok(Step::Done);
        }
        let mut conditions = Conditions {
            lineage: &self.lineage,
            suspects: self.suspects,
            frontier: self.frontier,
            phantoms_accepted: self.settings.phantoms_accepted,
        };
        let place = (reference, position);
        let opening = self
            .lanes
            .open(&mut self.asking, &mut conditions, &stream, place);
        match opening.await? {
            Opened::Ready(number) => {
                self.lanes.push(number, id, message)?;
                Ok(Step::Done)
            }
            Opened::Busy => Ok(Step::Wait),
            Opened::Refused(refused) => {
                self.attempt.closed.insert(stream, Some(refused.clone()));
                self.attempt.refuse(refused);
                Ok(Step::Done)
            }
        }
    }
}

impl Work<'_> {
    fn take_in(&mut self, event: Incoming) -> Result<(), Halt> {
        match event {
            Incoming::Confirmed { publisher, ids } if publisher == checkpoint_copies::PUBLISHER => {
                self.copies.answered(ids.len() / size_of::<u64>());
                Ok(())
            }
            Incoming::Refused { publisher, errors }
                if publisher == checkpoint_copies::PUBLISHER =>
            {
                self.copies.answered(errors.len());
                Ok(())
            }
            Incoming::Confirmed { publisher, ids } => Ok(self.lanes.confirm(publisher, ids)?),
            Incoming::Refused { publisher, errors } => Err(self.refused(publisher, &errors)),
            Incoming::StreamChanged { stream } => Err(Halt::Lost(format!(
                "stream {stream:?} was deleted, or its leader has moved"
            ))),
            Incoming::Answer { .. }
            | Incoming::Tune { .. }
            | Incoming::Heartbeat
            | Incoming::Close { .. } => Ok(()),
        }
    }

    /// Messages that were sent are not taken: nothing more is sent until the broker has said what
    /// it has.
    fn refused(&mut self, publisher: u8, errors: &[(u64, u16)]) -> Halt {
        let Some(lane) = self.lanes.lane(publisher) else {
            return Halt::Lost(
                "the broker refused messages of a publisher that is none".to_owned(),
            );
        };
        let Some((id, code)) = lane.lowest_open(errors) else {
            return Halt::Lost("the broker refused messages that are not on their way".to_owned());
        };
        let (stream, reference, code) = (&lane.stream, lane.reference, Code(code));
        let position = reference.position(id);
        let suspect = Suspect {
            reference,
            id,
            code,
        };
        self.suspects.add(stream, suspect);
        Halt::Lost(format!(
            "stream {stream:?} refused the message at {position}: {code}"
        ))
    }
}

type Prepared<'a> = (Reference, u64, &'a [u8]);

/// The message of a row and its name in the stream, or why it will not be taken. The limits are
/// those of a message's content and of a frame.
fn prepare<'a>(
    encoder: &'a mut Encoder,
    lineage: &Lineage,
    (message_bytes_max, frame_bytes_max): (usize, usize),
    delivery: &Delivery,
) -> Result<Result<Prepared<'a>, Refused>, Halt> {
    let position = delivery.position;
    let (reference, id) = match lineage.locate(position) {
        Ok(located) => located,
        Err(error @ Unnumbered::Index(_)) => {
            return Ok(Err((RefusalReason::Rejected, error.to_string())));
        }
        Err(error @ Unnumbered::Unaligned(_)) => return Err(Halt::Fatal(error.to_string())),
    };
    let bytes = delivery.row.content_bytes();
    if bytes > message_bytes_max {
        let text = format!(
            "the message has {bytes} bytes, limits.message_bytes_max allows {message_bytes_max}"
        );
        return Ok(Err((RefusalReason::TooLarge, text)));
    }
    let message = match encoder.encode(delivery, lineage.timeline()) {
        Ok(message) => message,
        Err(refused) => return Ok(Err(refused)),
    };
    let (bytes, limit) = (
        message.len(),
        PublishFrame::message_bytes_max(frame_bytes_max),
    );
    if bytes > limit {
        let text = format!(
            "the message has {bytes} bytes with its properties, the broker's \
             stream.frame_max leaves {limit}"
        );
        return Ok(Err((RefusalReason::TooLarge, text)));
    }
    Ok(Ok((reference, id, message)))
}
