//! One batch: sent stream by stream in commit order, until everything is confirmed.

mod answers;

use std::collections::HashMap;
use std::time::Duration;

use bytestring::ByteString;
use outbox_core::Position;
use outbox_core::checkpoint::Checkpoint;
use outbox_core::sink::{Batch, Delivery, Outcome, Refusal, RefusalReason};
use tokio::time::Instant;

use super::asking::{Asking, Halt, Refused};
use super::checking::Conditions;
use super::checkpoint_copies::{CheckpointCopies, Circumstances};
use super::connection::Connection;
use super::destinations::Destinations;
use super::lanes::{Lanes, Opened};
use super::message::Encoder;
use super::prepared::prepare;
use super::publishing_id::Lineage;
use super::settings::StreamSettings;
use super::suspects::Suspects;

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
    /// The newest durable checkpoint.
    settled: Option<Checkpoint>,
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
            settled: self.settled.as_ref(),
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
        self.settled = Some(checkpoint.clone());
        self.suspects.drop_covered(checkpoint.frontier);
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
    settled: Option<&'a Checkpoint>,
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
            settled: self.settled,
            phantoms_accepted: self.settings.phantoms_accepted,
            last: last.map(|last| last.position()),
        };
        self.copies
            .prepare(&mut self.asking, &circumstances)
            .await?;
        while self.copies.are_many_on_the_way() {
            match self.asking.connection.next(self.asking.deadline).await? {
                Some(event) => self.take_in(event)?,
                None => {
                    let stream = &self.settings.checkpoint_stream;
                    return Err(Halt::Later(format!(
                        "the copies of the checkpoint in stream {stream:?} are not confirmed: the \
                         broker is busy, has a disk alarm, or the stream has no majority"
                    )));
                }
            }
        }
        loop {
            while let Some(event) = self.asking.connection.next_waiting()? {
                self.take_in(event)?;
            }
            self.fill().await?;
            self.lanes.send(&mut self.asking, true).await?;
            if self.lanes.on_the_way() == 0 {
                if self.attempt.cursor >= self.batch.messages.len() {
                    if self.attempt.refused.is_empty() {
                        self.lanes.pass_all(self.batch.checkpoint.frontier)?;
                    }
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
                if self.is_held(&stream, position).await? {
                    return Ok(Step::Done);
                }
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
            settled: self.settled,
            phantoms_accepted: self.settings.phantoms_accepted,
        };
        let place = (reference, position);
        let opening = self
            .lanes
            .open(&mut self.asking, &mut conditions, &stream, place);
        match opening.await? {
            Opened::Ready(number) => {
                self.lanes.pass(&stream, position)?;
                self.lanes.push(number, id, message)?;
                Ok(Step::Done)
            }
            Opened::Busy => Ok(Step::Wait),
            Opened::Refused(_) if self.is_held(&stream, position).await? => Ok(Step::Done),
            Opened::Refused(refused) => {
                self.attempt.closed.insert(stream, Some(refused.clone()));
                self.attempt.refuse(refused);
                Ok(Step::Done)
            }
        }
    }
}

impl Work<'_> {
    /// Whether the stream holds a message that would be refused. Behind one of this batch that it
    /// does not hold, it holds none.
    async fn is_held(&mut self, stream: &ByteString, position: Position) -> Result<bool, Halt> {
        if self.attempt.closed.contains_key(stream) {
            return Ok(false);
        }
        // What has no publishing id was never published.
        let Ok((reference, id)) = self.lineage.locate(position) else {
            return Ok(false);
        };
        let mut conditions = Conditions {
            lineage: &self.lineage,
            suspects: self.suspects,
            settled: self.settled,
            phantoms_accepted: self.settings.phantoms_accepted,
        };
        let place = (reference, id, position);
        let held = self
            .lanes
            .holds(&mut self.asking, &mut conditions, stream, place);
        held.await
    }
}
