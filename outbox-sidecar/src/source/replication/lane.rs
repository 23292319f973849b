use std::sync::Arc;
use std::time::Duration;

use outbox_core::relay::{Event, FailureKind, Identity, SourceFailure, StreamEvent, Ticket};
use outbox_core::schema::SchemaName;
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;

use super::Replication;
use super::copy_both::CopyBoth;
use super::framing::Framing;
use super::pacing::Pacing;
use super::silence::Silence;
use super::status::{Confirmed, StatusClock};
use crate::source::SourceError;
use crate::source::connection::{Address, Socket, Startup};
use crate::source::pgoutput::Decoder;

/// How many reads may wait for the relay. One read brings 256 KiB, or one larger row.
const CHUNKS_MAX: usize = 4;

/// The longest the thread may take to say goodbye.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// What a replication connection of this relay needs to know.
#[derive(Clone, Debug)]
pub(crate) struct LaneSettings {
    pub(crate) address: Address,
    pub(crate) startup: Startup,
    pub(crate) slot: String,
    pub(crate) publication: String,
    pub(crate) schema: SchemaName,
}

/// One replication connection, in a thread of its own: reads are paced by sleeping, which must
/// not hold up anything else.
///
/// Its answers and its stream are its own: those of an earlier connection are gone with it.
/// Dropping the lane ends the connection without waiting.
#[derive(Debug)]
pub(crate) struct ReplicationLane {
    confirmed: Arc<Confirmed>,
    start: Option<oneshot::Sender<Ticket>>,
    answers: UnboundedReceiver<Event>,
    chunks: Receiver<Vec<StreamEvent>>,
}

impl ReplicationLane {
    /// Connects in the background and answers `ticket` with who the server is.
    pub(crate) fn connect(settings: LaneSettings, ticket: Ticket) -> std::io::Result<Self> {
        let confirmed = Arc::new(Confirmed::default());
        let (start, started) = oneshot::channel();
        let (answer, answers) = mpsc::unbounded_channel();
        let (chunk, chunks) = mpsc::channel(CHUNKS_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let session = Session {
            settings,
            confirmed: Arc::clone(&confirmed),
            answer,
            chunk,
        };
        std::thread::Builder::new()
            .name("replication".to_owned())
            .spawn(move || runtime.block_on(session.run(ticket, started)))?;
        Ok(Self {
            confirmed,
            start: Some(start),
            answers,
            chunks,
        })
    }

    /// Starts the copy and answers `ticket` once the slot is ours.
    pub(crate) fn start(&mut self, ticket: Ticket) {
        if let Some(start) = self.start.take() {
            // A connection that has ended has said so already.
            let _ = start.send(ticket);
        }
    }

    /// The next answer, or the next part of the stream where there is room for it. The end of the
    /// stream is an answer: it does not wait behind what was read.
    pub(crate) async fn next(&mut self, has_room: bool) -> Event {
        tokio::select! {
            biased;
            Some(answer) = self.answers.recv() => answer,
            Some(chunk) = self.chunks.recv(), if has_room => Event::Stream(chunk),
            // The end was said once; the lane is to be dropped.
            else => std::future::pending().await,
        }
    }

    pub(crate) fn confirmed(&self) -> &Confirmed {
        &self.confirmed
    }

    /// Sends the last status and hangs up; waits until that is done, but not for long.
    pub(crate) async fn close(mut self) {
        self.confirmed.close();
        self.start = None;
        let ended = async { while self.answers.recv().await.is_some() {} };
        let _ = tokio::time::timeout(CLOSE_MAX, ended).await;
    }
}

impl Drop for ReplicationLane {
    fn drop(&mut self) {
        self.confirmed.close();
    }
}

/// What runs in the thread.
struct Session {
    settings: LaneSettings,
    confirmed: Arc<Confirmed>,
    answer: UnboundedSender<Event>,
    chunk: Sender<Vec<StreamEvent>>,
}

impl Session {
    async fn run(self, connect: Ticket, started: oneshot::Receiver<Ticket>) {
        let identified = self.identify().await;
        let (connection, identity) = match identified {
            Ok((connection, identity)) => (Some(connection), Ok(identity)),
            Err(error) => (None, Err(error.into())),
        };
        // Nobody listens any more where sending fails: then there is nothing to do either.
        let _ = self.answer.send(Event::Connected(connect, identity));
        let Some(connection) = connection else { return };
        let Ok(start) = started.await else { return };
        match self.start(connection).await {
            Ok(copy) => {
                let _ = self.answer.send(Event::Streaming(start, Ok(())));
                if let Err(error) = copy.run().await {
                    let _ = self.answer.send(Event::StreamEnded(error.into()));
                }
            }
            Err(error) => {
                let _ = self.answer.send(Event::Streaming(start, Err(error.into())));
            }
        }
    }

    async fn identify(&self) -> Result<(Replication<Socket>, Identity), SourceError> {
        let mut connection =
            Replication::connect(&self.settings.address, &self.settings.startup).await?;
        let system = connection.identify_system().await?;
        let history = connection.timeline_history(system.timeline).await?;
        let identity = Identity {
            system_id: system.system_id,
            timeline: system.timeline,
            history,
            walsender_pid: connection.server.process_id,
        };
        Ok((connection, identity))
    }

    async fn start(
        &self,
        mut connection: Replication<Socket>,
    ) -> Result<CopyBoth<'_, Socket>, SourceError> {
        let settings = &self.settings;
        connection
            .start_replication(&settings.slot, &settings.publication)
            .await?;
        Ok(CopyBoth {
            pacing: Pacing::new(connection.wire.is_unix()),
            wire: connection.wire,
            framing: Framing::default(),
            decoder: Decoder::new(&settings.schema),
            publication: &settings.publication,
            confirmed: &self.confirmed,
            status: StatusClock::new(settings.startup.wal_sender_timeout),
            silence: Silence::default(),
            warnings: 0,
            chunks: self.chunk.clone(),
        })
    }
}

/// A thread that could not be started.
pub(crate) fn no_thread(error: &std::io::Error) -> SourceFailure {
    SourceFailure {
        kind: FailureKind::Other,
        message: format!("starting the replication thread: {error}"),
    }
}
