use bytes::{Bytes, BytesMut};
use outbox_core::Lsn;
use outbox_core::relay::StreamEvent;
use outbox_core::schema::SchemaName;
use postgres_protocol::message::backend::Message;

use super::begin::begin;
use super::commit::commit;
use super::insert::insert;
use super::logical_message::logical_message;
use super::reader::Reader;
use super::relation::{Described, OutboxTable, relation};
use crate::source::error::ServerMessage;
use crate::source::{STREAMING, SourceError};

/// The most relations that are remembered: the outbox, and partitions that rows have gone to.
const RELATIONS_MAX: usize = 64;

/// Turns the messages of a running copy into events. Remembers the relations it has been told.
#[derive(Debug)]
pub(crate) struct Decoder {
    table: OutboxTable,
    publication: String,
    relations: Vec<(u32, Described)>,
}

impl Decoder {
    pub(crate) fn new(schema: &SchemaName, publication: &str) -> Self {
        Self {
            table: OutboxTable {
                schema: schema.as_str().to_owned(),
            },
            publication: publication.to_owned(),
            relations: Vec::new(),
        }
    }

    /// The content of a CopyData message; `None` when it means nothing for an outbox.
    pub(crate) fn copy_data(&mut self, content: Bytes) -> Result<Option<StreamEvent>, SourceError> {
        let mut reader = Reader::new(content, "CopyData");
        match reader.u8()? {
            b'w' => {
                // Start, end and clock: a row's own LSN orders nothing.
                reader.bytes(8 + 8 + 8)?;
                self.change(reader.rest())
            }
            b'k' => {
                let wal_end = Lsn::new(reader.u64()?);
                let _clock = reader.i64()?;
                Ok(Some(StreamEvent::Keepalive {
                    wal_end,
                    reply_requested: reader.u8()? != 0,
                }))
            }
            kind => Err(reader.malformed(&format!("an unknown kind {kind:#04x}"))),
        }
    }

    fn change(&mut self, mut body: Bytes) -> Result<Option<StreamEvent>, SourceError> {
        if body.is_empty() {
            return Err(SourceError::Protocol(
                "pgoutput sent an empty message".to_owned(),
            ));
        }
        let kind = body.split_to(1);
        match kind.first() {
            Some(b'I') => {
                let mut reader = Reader::new(body, "Insert");
                let oid = reader.u32()?;
                let described = self.relations.iter().rev().find(|(known, _)| *known == oid);
                let relation = match described.map(|(_, described)| described) {
                    Some(Described::Outbox(relation)) => relation,
                    Some(Described::Other(table)) => {
                        return Err(SourceError::Unfit(format!(
                            "the publication carries rows of {table}: it must hold {}.message \
                             alone, with publish_via_partition_root; run `outbox-sidecar check`",
                            self.table.schema
                        )));
                    }
                    None => {
                        return Err(reader.malformed("a row of a relation that was not described"));
                    }
                };
                insert(reader, relation).map(|row| Some(StreamEvent::Row(row)))
            }
            Some(b'B') => begin(body).map(Some),
            Some(b'C') => commit(body).map(Some),
            Some(b'R') => {
                let (oid, described) = relation(body, &self.table)?;
                self.relations.retain(|(known, _)| *known != oid);
                if self.relations.len() >= RELATIONS_MAX {
                    // A partition; the outbox itself is described only once.
                    let other =
                        |(_, known): &(u32, Described)| matches!(known, Described::Other(_));
                    if let Some(place) = self.relations.iter().position(other) {
                        self.relations.remove(place);
                    }
                }
                self.relations.push((oid, described));
                Ok(None)
            }
            Some(b'M') => logical_message(body),
            Some(b'Y' | b'O') => Ok(None),
            Some(b'U' | b'D' | b'T') => Err(SourceError::Unfit(
                "the publication publishes updates, deletes or truncates: it must publish inserts \
                 alone; run `outbox-sidecar check`"
                    .to_owned(),
            )),
            _ => Err(SourceError::Protocol(format!(
                "pgoutput sent an unknown message {kind:?}"
            ))),
        }
    }

    /// Anything but CopyData: errors end the stream, and so does a notice about the publication.
    pub(crate) fn other_message(&self, frame: &[u8]) -> Result<(), SourceError> {
        let io_error = |source| SourceError::Io {
            doing: STREAMING,
            source,
        };
        match Message::parse(&mut BytesMut::from(frame)).map_err(io_error)? {
            Some(Message::ErrorResponse(body)) => {
                let error = ServerMessage::read(body.fields()).map_err(io_error)?;
                Err(SourceError::Server {
                    doing: STREAMING,
                    error: Box::new(error),
                })
            }
            Some(Message::NoticeResponse(body)) => {
                let notice = ServerMessage::read(body.fields()).map_err(io_error)?;
                // PostgreSQL 18 only warns when it leaves a publication out, and its rows with it.
                if notice.message.contains("publication")
                    || notice
                        .message
                        .contains(&format!("\"{}\"", self.publication))
                {
                    return Err(SourceError::PublicationSkipped(Box::new(notice)));
                }
                tracing::warn!(%notice, "the server warned on the replication connection");
                Ok(())
            }
            Some(Message::ParameterStatus(_)) => Ok(()),
            _ => Err(SourceError::Protocol(format!(
                "{STREAMING}: the server sent a message {:?} that has no place there",
                frame.first()
            ))),
        }
    }
}
