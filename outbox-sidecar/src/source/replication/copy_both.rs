use std::time::{Duration, Instant};

use bytes::Bytes;
use outbox_core::relay::StreamEvent;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::Sender;

use super::framing::{Framing, split_first};
use super::interruption::interruption;
use super::pacing::Pacing;
use super::silence::Silence;
use super::status::{Confirmed, StatusClock, write_status};
use crate::source::connection::Wire;
use crate::source::pgoutput::Decoder;
use crate::source::{STREAMING, SourceError};

/// The longest a status may take to be handed to the kernel.
const WRITE_MAX: Duration = Duration::from_secs(5);

/// The longest the server may take to hang up after we said goodbye.
const GOODBYE_MAX: Duration = Duration::from_millis(500);

/// A running copy: rows and keepalives come, statuses go.
///
/// Statuses go out on time even when nobody takes what was read: then the socket is left alone,
/// and the server waits, but it hears from us.
pub(super) struct CopyBoth<'a, S> {
    pub(super) wire: Wire<S>,
    pub(super) framing: Framing,
    pub(super) decoder: Decoder,
    /// Whose rows the stream carries.
    pub(super) publication: &'a str,
    pub(super) confirmed: &'a Confirmed,
    pub(super) status: StatusClock,
    pub(super) silence: Silence,
    pub(super) chunks: Sender<Vec<StreamEvent>>,
    pub(super) pacing: Pacing,
    /// How often the server has warned.
    pub(super) warnings: u32,
}

impl<S: AsyncRead + AsyncWrite + Unpin> CopyBoth<'_, S> {
    /// Runs until the relay closes the stream (`Ok`) or something ends it.
    pub(super) async fn run(mut self) -> Result<(), SourceError> {
        let started = Instant::now();
        let mut events = self.decode()?;
        let chunks = self.chunks.clone();
        loop {
            if self.confirmed.is_closing() {
                return self.say_goodbye().await;
            }
            let has_events = !events.is_empty();
            if has_events {
                // Whoever does not listen cannot tell silence.
                self.silence.heard(started.elapsed());
            }
            if started.elapsed() >= self.status.due() {
                let wants_answer = self.silence.check(started.elapsed())?;
                write_status(self.confirmed, wants_answer, &mut self.wire.output);
                bounded(self.wire.flush()).await?;
                self.status.sent(started.elapsed());
            }
            tokio::select! {
                biased;
                () = self.confirmed.changed() => self.status.now(),
                permit = chunks.reserve(), if has_events => match permit {
                    Ok(permit) => permit.send(std::mem::take(&mut events)),
                    // The relay has dropped the stream.
                    Err(_) => return Ok(()),
                },
                read = self.wire.read_more(), if !has_events => {
                    let bytes = read.map_err(io_error)?;
                    self.silence.heard(started.elapsed());
                    events = self.decode()?;
                    self.pacing.read(bytes);
                    if let Some(pause) = self.pacing.pause() {
                        // Hand over first, then stay away from the socket. This thread serves
                        // nothing else, and a timer of the runtime would be too coarse.
                        if let Ok(permit) = chunks.try_reserve() {
                            permit.send(std::mem::take(&mut events));
                        }
                        std::thread::sleep(pause);
                    }
                }
                () = sleep_until(started, self.status.due()) => {}
            }
        }
    }

    /// Decodes every whole message that has arrived.
    pub(super) fn decode(&mut self) -> Result<Vec<StreamEvent>, SourceError> {
        let mut events = Vec::new();
        while let Some(block) = self.framing.take(&mut self.wire.input)? {
            let mut rest = block.as_ref();
            while let Some((frame, after)) = split_first(rest) {
                rest = after;
                self.frame(&block, frame, &mut events)?;
            }
        }
        Ok(events)
    }

    /// Takes one whole message, which is a part of `block`.
    fn frame(
        &mut self,
        block: &Bytes,
        frame: &[u8],
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), SourceError> {
        match frame {
            [b'd', _, _, _, _, content @ ..] => {
                if let Some(event) = self.decoder.copy_data(block, content)? {
                    if let StreamEvent::Keepalive {
                        reply_requested: true,
                        ..
                    } = event
                    {
                        self.status.hasten();
                    }
                    push_coalescing(events, event);
                }
                Ok(())
            }
            _ => interruption(frame, self.publication, &mut self.warnings),
        }
    }

    /// The last status, then the end of the copy and of the connection.
    async fn say_goodbye(mut self) -> Result<(), SourceError> {
        write_status(self.confirmed, false, &mut self.wire.output);
        frontend::copy_done(&mut self.wire.output);
        frontend::terminate(&mut self.wire.output);
        let goodbye = async {
            self.wire.flush().await?;
            // Until the server hangs up: then the slot is free.
            while self.wire.read_more().await.is_ok() {
                self.wire.input.clear();
            }
            Ok::<_, std::io::Error>(())
        };
        // A server that does not answer notices by itself that we are gone.
        let _ = tokio::time::timeout(GOODBYE_MAX, goodbye).await;
        Ok(())
    }
}

/// Keepalives that follow each other say no more than the last: a server that shuts down sends
/// them by the thousands.
fn push_coalescing(events: &mut Vec<StreamEvent>, event: StreamEvent) {
    if let StreamEvent::Keepalive {
        wal_end,
        reply_requested,
    } = event
        && let Some(StreamEvent::Keepalive {
            wal_end: last_end,
            reply_requested: last_requested,
        }) = events.last_mut()
    {
        *last_end = wal_end.max(*last_end);
        *last_requested |= reply_requested;
        return;
    }
    events.push(event);
}

async fn bounded(write: impl Future<Output = std::io::Result<()>>) -> Result<(), SourceError> {
    match tokio::time::timeout(WRITE_MAX, write).await {
        Ok(written) => written.map_err(io_error),
        Err(_) => Err(SourceError::TimedOut {
            doing: "sending a status",
            limit_s: WRITE_MAX.as_secs(),
        }),
    }
}

async fn sleep_until(started: Instant, due: Duration) {
    tokio::time::sleep_until((started + due).into()).await;
}

fn io_error(source: std::io::Error) -> SourceError {
    SourceError::Io {
        doing: STREAMING,
        source,
    }
}
