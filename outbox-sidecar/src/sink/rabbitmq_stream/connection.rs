//! One connection: a task that reads, a task that writes, and heartbeats both ways.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use outbox_core::sink::AcquireError;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::address::Address;
use super::handshake::{Agreement, Handshake};
use super::settings::StreamSettings;
use super::transport::{ReadHalf, WriteHalf, connect};
use super::wire::{Code, FrameReader, Incoming, Malformed, Request, close_answer, heartbeat};

/// How long one broker may take to accept a connection, with login and vhost.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// So many heartbeats may a broker miss.
const HEARTBEATS_MISSED_MAX: u32 = 3;
/// Frames that wait for the operating system to take them.
const FRAMES_WAITING_MAX: usize = 4;
/// What the broker sent that nobody has looked at yet; more is left to TCP.
const INCOMING_WAITING_MAX: usize = 1024;
/// What may be put by while an answer is waited for, in events and in bytes: more than ever is on
/// its way.
const PUT_BY_MAX: usize = 1_000_000;
const PUT_BY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long the broker may take to say good-bye.
const CLOSE_MAX: Duration = Duration::from_secs(2);
/// How long a broker that is alive may leave a question without an answer. One that is asked while
/// it starts can forget it; one with a disk alarm does not read, but answers a new connection.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The longest answer that is awaited, whatever frames the broker takes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// How long it may confirm nothing: a disk alarm is such a time.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// Why a connection is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Lost(pub(super) String);

impl From<Malformed> for Lost {
    fn from(malformed: Malformed) -> Self {
        Self(malformed.to_string())
    }
}

/// A request that has been sent.
struct Asked {
    request: Request,
    correlation: u32,
}

/// A connection that may publish.
pub(super) struct Connection {
    outgoing: mpsc::Sender<Bytes>,
    incoming: mpsc::Receiver<Result<Incoming, Lost>>,
    /// What came in while an answer was waited for.
    put_by: VecDeque<Incoming>,
    put_by_bytes: usize,
    asked: Option<Asked>,
    correlation: u32,
    frame_bytes_max: usize,
    version: Option<String>,
    waiting_since: Option<Instant>,
    /// Nothing comes from it any more.
    ended: bool,
    place: String,
    // Dropped, both end, and the socket with them.
    _tasks: JoinSet<()>,
}

impl Connection {
    /// Connects to the first of the brokers that answers.
    pub(super) async fn open(
        settings: &StreamSettings,
        addresses: &[Address],
    ) -> Result<Self, AcquireError> {
        // A confirm may name everything that is on its way.
        let confirm_bytes_max = settings
            .unconfirmed_max
            .saturating_mul(8)
            .saturating_add(64);
        Self::open_for(settings, addresses, confirm_bytes_max).await
    }

    /// The same, for a broker that will send frames of so many bytes.
    pub(super) async fn open_for(
        settings: &StreamSettings,
        addresses: &[Address],
        incoming_bytes_max: usize,
    ) -> Result<Self, AcquireError> {
        let mut failures = Vec::new();
        let mut is_refused = false;
        for address in addresses {
            let opening = Self::open_one(settings, address, incoming_bytes_max);
            let failure = match timeout(CONNECT_MAX, opening).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(AcquireError::Unavailable(text))) => text,
                Ok(Err(error)) => {
                    is_refused = true;
                    error.to_string()
                }
                Err(_) => {
                    let (place, limit) = (address.place(), CONNECT_MAX.as_secs());
                    format!("{place}: no answer within {limit} s")
                }
            };
            failures.push(failure);
        }
        let said = failures.join("; ");
        Err(match is_refused {
            true => AcquireError::Fatal(said),
            false => AcquireError::Unavailable(said),
        })
    }

    async fn open_one(
        settings: &StreamSettings,
        address: &Address,
        incoming_bytes_max: usize,
    ) -> Result<Self, AcquireError> {
        let place = address.place();
        let (read, mut writer) = connect(address).await?;
        let mut reader = FrameReader::new(read, 0);
        let handshake = Handshake::new(&mut reader, &mut writer, address);
        let agreement = handshake.run(settings).await?;
        // What the broker takes says nothing of what it sends.
        let answer_bytes_max = agreement.frame_bytes_max.min(ANSWER_BYTES_MAX);
        reader.allow(answer_bytes_max.max(incoming_bytes_max));
        Ok(Self::start(reader, writer, agreement, place))
    }

    fn start(
        reader: FrameReader<ReadHalf>,
        writer: WriteHalf,
        agreement: Agreement,
        place: String,
    ) -> Self {
        let (outgoing, to_write) = mpsc::channel(FRAMES_WAITING_MAX);
        let (read, incoming) = mpsc::channel(INCOMING_WAITING_MAX);
        let every = Duration::from_secs(u64::from(agreement.heartbeat_s.max(1)));
        let mut tasks = JoinSet::new();
        tasks.spawn(read_frames(
            reader,
            read.clone(),
            every * HEARTBEATS_MISSED_MAX,
        ));
        tasks.spawn(write_frames(writer, to_write, read, every / 2));
        Self {
            outgoing,
            incoming,
            put_by: VecDeque::new(),
            put_by_bytes: 0,
            asked: None,
            correlation: 0,
            frame_bytes_max: agreement.frame_bytes_max,
            version: agreement.version,
            waiting_since: None,
            ended: false,
            place,
            _tasks: tasks,
        }
    }

    /// The broker's version, if it says.
    pub(super) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The longest frame, its length aside.
    pub(super) fn frame_bytes_max(&self) -> usize {
        self.frame_bytes_max
    }

    /// Hands a frame over; `false` when that takes until the deadline, and the frame is not sent.
    pub(super) async fn send(&mut self, frame: Bytes, deadline: Instant) -> Result<bool, Lost> {
        let reserving = self.outgoing.reserve();
        let reserved = timeout_at(deadline, reserving).await;
        match reserved.map(|reserved| reserved.map(|place| place.send(frame))) {
            Ok(Ok(())) => Ok(true),
            Ok(Err(_)) => Err(self.last_words()),
            Err(_) => self.patience().map(|()| false),
        }
    }

    /// What comes next, apart from answers; `None` when nothing does until the deadline.
    pub(super) async fn next(&mut self, deadline: Instant) -> Result<Option<Incoming>, Lost> {
        if let Some(event) = self.take_put_by() {
            return Ok(Some(event));
        }
        loop {
            match self.receive(deadline).await? {
                // Nobody waits for it any more.
                Some(Incoming::Answer { .. }) => {}
                event => return Ok(event),
            }
        }
    }

    fn take_put_by(&mut self) -> Option<Incoming> {
        let event = self.put_by.pop_front()?;
        self.put_by_bytes = self.put_by_bytes.saturating_sub(event.bytes());
        Some(event)
    }

    /// What has come in already.
    pub(super) fn next_waiting(&mut self) -> Result<Option<Incoming>, Lost> {
        if let Some(event) = self.take_put_by() {
            return Ok(Some(event));
        }
        match self.incoming.try_recv() {
            Ok(event) => {
                self.waiting_since = None;
                self.usual(event).map(Some)
            }
            Err(mpsc::error::TryRecvError::Empty) => Ok(None),
            Err(mpsc::error::TryRecvError::Disconnected) => Err(self.lost("it ended")),
        }
    }

    /// Asks, and waits for the answer's code and body; `None` when there is none until the
    /// deadline. The same request again then waits on and is not sent twice.
    pub(super) async fn ask(
        &mut self,
        request: &Request,
        deadline: Instant,
    ) -> Result<Option<Bytes>, Lost> {
        let wanted = match &self.asked {
            Some(asked) if asked.request == *request => asked.correlation,
            Some(_) => return Err(self.lost("another request waits for its answer")),
            None => {
                let correlation = self.correlation.wrapping_add(1);
                if !self.send(request.frame(correlation), deadline).await? {
                    return Ok(None);
                }
                self.correlation = correlation;
                let request = request.clone();
                self.asked = Some(Asked {
                    request,
                    correlation,
                });
                correlation
            }
        };
        loop {
            match self.receive(deadline).await? {
                None => return Ok(None),
                Some(Incoming::Answer {
                    key,
                    correlation,
                    body,
                }) if correlation == wanted => {
                    self.asked = None;
                    if key != request.key {
                        return Err(self.lost("the broker answers another request"));
                    }
                    return Ok(Some(body));
                }
                Some(Incoming::Answer { .. }) => {}
                Some(event) => {
                    self.put_by_bytes += event.bytes();
                    if self.put_by.len() >= PUT_BY_MAX || self.put_by_bytes > PUT_BY_BYTES_MAX {
                        return Err(self.lost("the broker sends too much that nobody asked for"));
                    }
                    self.put_by.push_back(event);
                }
            }
        }
    }

    /// Ends the connection once the broker has read everything that was sent through it, if it
    /// still does.
    pub(super) async fn close(mut self) {
        if self.ended {
            return;
        }
        self.asked = None;
        let deadline = Instant::now() + CLOSE_MAX;
        // It goes whether the broker answers or not.
        let _ = self.ask(&Request::close(), deadline).await;
    }

    async fn receive(&mut self, deadline: Instant) -> Result<Option<Incoming>, Lost> {
        match timeout_at(deadline, self.incoming.recv()).await {
            Ok(Some(event)) => {
                self.waiting_since = None;
                self.usual(event).map(Some)
            }
            Ok(None) => Err(self.lost("it ended")),
            Err(_) => self.patience().map(|()| None),
        }
    }

    /// What ends the connection is no event of it.
    fn usual(&mut self, event: Result<Incoming, Lost>) -> Result<Incoming, Lost> {
        self.ended = event.is_err();
        match event? {
            Incoming::Close {
                correlation,
                code,
                reason,
            } => {
                let _ = self.outgoing.try_send(close_answer(correlation));
                let code = Code(code);
                Err(self.lost(&format!("the broker ends it: {code}: {reason}")))
            }
            Incoming::Tune { .. } => Err(self.lost("the broker tunes it twice")),
            event => Ok(event),
        }
    }

    /// A call ended in vain.
    fn patience(&mut self) -> Result<(), Lost> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let asked = self.asked.is_some();
        let limit = if asked { ANSWER_MAX } else { SILENCE_MAX };
        if since.elapsed() < limit {
            return Ok(());
        }
        let seconds = limit.as_secs();
        Err(self.lost(&format!("the broker lives but did nothing for {seconds} s")))
    }

    /// Why the writer ended.
    fn last_words(&mut self) -> Lost {
        while let Ok(event) = self.incoming.try_recv() {
            if let Err(lost) = event {
                return lost;
            }
        }
        self.lost("it ended")
    }

    fn lost(&self, what: &str) -> Lost {
        Lost(format!("the connection to {}: {what}", self.place))
    }
}

async fn read_frames(
    mut reader: FrameReader<ReadHalf>,
    read: mpsc::Sender<Result<Incoming, Lost>>,
    silence_max: Duration,
) {
    loop {
        let event = match timeout(silence_max, reader.next()).await {
            Ok(Ok(frame)) => Incoming::decode(frame).map_err(Lost::from),
            Ok(Err(error)) => Err(Lost(error.to_string())),
            Err(_) => {
                let seconds = silence_max.as_secs();
                Err(Lost(format!("the broker showed no life for {seconds} s")))
            }
        };
        let last = event.is_err();
        if event == Ok(Incoming::Heartbeat) {
            continue;
        }
        if read.send(event).await.is_err() || last {
            return;
        }
    }
}

async fn write_frames(
    mut writer: WriteHalf,
    mut frames: mpsc::Receiver<Bytes>,
    read: mpsc::Sender<Result<Incoming, Lost>>,
    heartbeat_every: Duration,
) {
    loop {
        let frame = match timeout(heartbeat_every, frames.recv()).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return,
            Err(_) => heartbeat(),
        };
        let written = match writer.write_all(&frame).await {
            Ok(()) => writer.flush().await,
            failed => failed,
        };
        if let Err(error) = written {
            let _ = read.send(Err(Lost(error.to_string()))).await;
            return;
        }
    }
}
