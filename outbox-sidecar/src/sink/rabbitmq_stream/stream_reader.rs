//! Reading a stream back: from its beginning, or a time, to what was its end when reading began.

use std::time::Duration;

use bytes::Bytes;
use outbox_core::sink::AcquireError;
use outbox_core::{MessageId, Timestamp};
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::amqp_reading::{self, Sections};
use super::asking::{Asking, Halt};
use super::connection::Connection;
use super::message::{BASIC_TYPE, TOMBSTONE};
use super::opening::open_to_look;
use super::settings::StreamSettings;
use super::wire::{Chunk, Code, Entry, Incoming, Request, Start, code, credit, partitions};
use crate::sink::message_text as text;
use crate::sink::published::{DestinationRead, Published, ReadError};

/// How long the broker may take for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// A stream that has sent nothing for so long, asked for its last chunk, is empty: a broker that has
/// one sends it with its answer, and nothing says that there is none.
const EMPTY_AFTER: Duration = Duration::from_secs(5);
/// How long reading may go on without a chunk before the end.
const CHUNK_PAUSE_MAX: Duration = Duration::from_secs(30);
/// Chunks that the broker may send ahead.
const CHUNKS_AHEAD: u16 = 2;
/// The longest chunk that is read: the broker puts into one what is published at once.
const CHUNK_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Reads streams as a consumer would, and stores no offset.
pub(crate) struct StreamReader {
    connection: Connection,
    runtime: Runtime,
    subscriptions: u8,
}

impl StreamReader {
    /// Connects to the first broker that answers, as the relay would.
    ///
    /// # Errors
    /// See [`AcquireError`].
    pub(crate) fn connect(settings: &StreamSettings) -> Result<Self, AcquireError> {
        let (connection, runtime) = open_to_look(settings, CHUNK_BYTES_MAX)?;
        Ok(Self {
            connection,
            runtime,
            subscriptions: 0,
        })
    }

    /// Hands over each message of a stream, or of a super stream's partitions one after the other,
    /// in their order, up to the end that each has now. With `from` only what the broker stored
    /// then or later, and a little before.
    ///
    /// # Errors
    /// The broker is away or refuses, or `each` fails.
    pub(crate) fn read<E: From<ReadError>>(
        &mut self,
        destination: &str,
        from: Option<Timestamp>,
        mut each: impl FnMut(&Published<'_>) -> Result<(), E>,
    ) -> Result<DestinationRead, E> {
        let mut read = DestinationRead::default();
        let streams = self.streams(destination)?;
        read.exists = !streams.is_empty();
        for (partition, stream) in (0..).zip(&streams) {
            let Some(end) = self.end_of(stream)? else {
                let seconds = EMPTY_AFTER.as_secs();
                read.remarks.push(format!(
                    "stream {stream:?} sent nothing for {seconds} s and was taken for empty"
                ));
                continue;
            };
            let start = match from.map(Timestamp::as_unix_ms) {
                Some(unix_ms) if unix_ms > end.unix_ms => continue,
                Some(unix_ms) => Start::Time { unix_ms },
                None => Start::First,
            };
            self.read_stream(stream, partition, start, end.offset, &mut read, &mut each)?;
        }
        Ok(read)
    }

    /// The streams that a destination stands for; none when it is neither stream nor super stream.
    fn streams(&mut self, destination: &str) -> Result<Vec<String>, ReadError> {
        let mut asking = Asking {
            connection: &mut self.connection,
            deadline: Instant::now() + ANSWER_MAX,
        };
        let looking = async {
            if asking.exists(destination).await? {
                return Ok(vec![destination.to_owned()]);
            }
            let doing = format!("looking for super stream {destination:?}");
            let request = Request::partitions(destination);
            let (found, streams) = partitions(asking.ask(&request, &doing).await?)?;
            Ok::<_, Halt>(if found == Code::OK {
                streams
            } else {
                Vec::new()
            })
        };
        self.runtime.block_on(looking).map_err(failed)
    }

    /// The last message that a stream has now.
    fn end_of(&mut self, stream: &str) -> Result<Option<End>, ReadError> {
        let id = self.subscribe(stream, Start::LastChunk, 1)?;
        let chunk = self.next_chunk(id, stream, EMPTY_AFTER)?;
        self.unsubscribe(id, stream)?;
        Ok(chunk.map(|chunk| End {
            offset: chunk.last_offset(),
            unix_ms: chunk.unix_ms,
        }))
    }

    fn read_stream<E: From<ReadError>>(
        &mut self,
        stream: &str,
        partition: u32,
        start: Start,
        end: u64,
        read: &mut DestinationRead,
        each: &mut impl FnMut(&Published<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let id = self.subscribe(stream, start, CHUNKS_AHEAD)?;
        let mut is_first = start == Start::First;
        let mut sub_batches = 0_u64;
        loop {
            let Some(chunk) = self.next_chunk(id, stream, CHUNK_PAUSE_MAX)? else {
                let seconds = CHUNK_PAUSE_MAX.as_secs();
                return Err(E::from(ReadError(format!(
                    "stream {stream:?}: nothing came for {seconds} s, and its end was not reached"
                ))));
            };
            if std::mem::take(&mut is_first) {
                read.deleted = read.deleted.saturating_add(chunk.first_offset);
            }
            let mut offset = chunk.first_offset;
            for entry in chunk.entries() {
                let malformed = |error| ReadError(format!("stream {stream:?}: {error}"));
                match entry.map_err(malformed)? {
                    _ if offset > end => break,
                    Entry::Message(message) => {
                        each(&published(&message, partition, offset))?;
                        offset += 1;
                    }
                    Entry::SubBatch(records) => {
                        sub_batches += 1;
                        offset += u64::from(records);
                    }
                }
            }
            if offset > end {
                break;
            }
            self.give_credit(id, stream)?;
        }
        if sub_batches > 0 {
            read.remarks.push(format!(
                "stream {stream:?}: {sub_batches} batches of other publishers were not opened"
            ));
        }
        Ok(self.unsubscribe(id, stream)?)
    }

    fn subscribe(&mut self, stream: &str, start: Start, chunks: u16) -> Result<u8, ReadError> {
        self.subscriptions = self.subscriptions.wrapping_add(1);
        let id = self.subscriptions;
        self.ask(&Request::subscribe(id, stream, start, chunks), stream)?;
        Ok(id)
    }

    fn unsubscribe(&mut self, id: u8, stream: &str) -> Result<(), ReadError> {
        self.ask(&Request::unsubscribe(id), stream)
    }

    fn ask(&mut self, request: &Request, stream: &str) -> Result<(), ReadError> {
        let mut asking = Asking {
            connection: &mut self.connection,
            deadline: Instant::now() + ANSWER_MAX,
        };
        let doing = format!("reading stream {stream:?}");
        let answer = self.runtime.block_on(asking.ask(request, &doing));
        match code(&answer.map_err(failed)?).map_err(|error| failed(error.into()))? {
            Code::OK => Ok(()),
            refused @ Code::ACCESS_REFUSED => Err(ReadError(format!(
                "{doing}: {refused}: give the user the right to read it"
            ))),
            other => Err(ReadError(format!("{doing}: {other}"))),
        }
    }

    fn give_credit(&mut self, id: u8, stream: &str) -> Result<(), ReadError> {
        let deadline = Instant::now() + ANSWER_MAX;
        let sending = self.connection.send(credit(id, 1), deadline);
        match self.runtime.block_on(sending) {
            Ok(true) => Ok(()),
            Ok(false) => Err(ReadError(format!(
                "reading stream {stream:?}: the broker takes nothing"
            ))),
            Err(lost) => Err(failed(lost.into())),
        }
    }

    /// The next chunk of a subscription; `None` when none comes within this time.
    fn next_chunk(
        &mut self,
        id: u8,
        stream: &str,
        within: Duration,
    ) -> Result<Option<Chunk>, ReadError> {
        let deadline = Instant::now() + within;
        loop {
            let next = self.runtime.block_on(self.connection.next(deadline));
            match next.map_err(|lost| failed(lost.into()))? {
                Some(Incoming::Delivered {
                    subscription,
                    chunk,
                }) if subscription == id => {
                    let chunk = Chunk::decode(chunk);
                    return chunk.map(Some).map_err(|error| failed(error.into()));
                }
                Some(Incoming::StreamChanged { stream: changed }) if changed == stream => {
                    return Err(ReadError(format!(
                        "stream {stream:?} was deleted while it was read, or its leader has moved"
                    )));
                }
                // What an earlier subscription had on its way, or is of no interest.
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }
}

/// The last message of a stream, and when the broker stored it.
#[derive(Clone, Copy, Debug)]
struct End {
    offset: u64,
    unix_ms: i64,
}

fn failed(halt: Halt) -> ReadError {
    ReadError(halt.to_string())
}

fn published(message: &Bytes, partition: u32, offset: u64) -> Published<'_> {
    // What is no message of AMQP 1.0 is none of ours.
    let sections = amqp_reading::read(message).unwrap_or_default();
    let Sections {
        message_id,
        subject,
        content_type,
        creation_ms,
        application,
        data,
    } = sections;
    let mut published = Published {
        partition,
        offset,
        id: message_id.and_then(|id| id.parse::<MessageId>().ok()),
        position: None,
        replay: None,
        is_redelivery: false,
        key: None,
        message_type: subject.map(str::as_bytes),
        content_type: content_type.map(str::as_bytes),
        created_at: creation_ms.map(|ms| Timestamp::from_unix_us(ms.saturating_mul(1000))),
        payload: data,
        headers: Vec::new(),
    };
    for (name, value) in application {
        match name {
            text::POSITION => {
                let position = std::str::from_utf8(value).ok();
                published.position = position.and_then(text::read_position);
            }
            text::KEY => published.key = Some(value),
            text::REPLAY => published.replay = Some(text::read_replay_number(value)),
            text::REDELIVERY => published.is_redelivery = true,
            TOMBSTONE => published.payload = None,
            BASIC_TYPE => {}
            name => published.headers.push((name, value)),
        }
    }
    published
}
