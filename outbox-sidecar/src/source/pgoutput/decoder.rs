use bytes::Bytes;
use outbox_core::relay::StreamEvent;
use outbox_core::schema::SchemaName;
use outbox_core::{Lsn, Timestamp};

use super::begin::begin;
use super::commit::commit;
use super::insert::insert;
use super::logical_message::logical_message;
use super::reader::Reader;
use super::relation::{Described, OutboxTable, Relation, relation};
use crate::source::SourceError;

/// The most relations that are remembered: the outbox, and partitions that rows have gone to.
const RELATIONS_MAX: usize = 64;

/// Turns the messages of a running copy into events. Remembers the relations it has been told.
#[derive(Debug)]
pub(crate) struct Decoder {
    table: OutboxTable,
    relations: Vec<(u32, Described)>,
}

impl Decoder {
    pub(crate) fn new(schema: &SchemaName) -> Self {
        Self {
            table: OutboxTable {
                schema: schema.as_str().to_owned(),
            },
            relations: Vec::new(),
        }
    }

    /// The content of a CopyData message, which is a part of `block`; `None` when it means nothing
    /// for an outbox.
    pub(crate) fn copy_data(
        &mut self,
        block: &Bytes,
        content: &[u8],
    ) -> Result<Option<StreamEvent>, SourceError> {
        let mut reader = Reader::new(block, content, "CopyData");
        match reader.u8()? {
            b'w' => {
                // Start and end: a row's own LSN orders nothing.
                reader.bytes(8 + 8)?;
                let sent_at = Timestamp::from_postgresql_us(reader.i64()?);
                self.change(reader, sent_at)
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

    fn change(
        &mut self,
        mut reader: Reader<'_>,
        sent_at: Timestamp,
    ) -> Result<Option<StreamEvent>, SourceError> {
        match reader.u8()? {
            b'I' => {
                let mut reader = reader.into_message("Insert");
                let relation = self.outbox(reader.u32()?, &reader)?;
                insert(reader, relation).map(|row| Some(StreamEvent::Row(row)))
            }
            b'B' => begin(reader.into_message("Begin"), sent_at).map(Some),
            b'C' => commit(reader.into_message("Commit")).map(Some),
            b'R' => {
                let (oid, described) = relation(reader.into_message("Relation"), &self.table)?;
                self.remember(oid, described);
                Ok(None)
            }
            b'M' => logical_message(reader.into_message("Message")),
            // Types that are not built in, and where a change came from first: neither matters.
            b'Y' | b'O' => Ok(None),
            b'U' | b'D' | b'T' => Err(SourceError::Unfit(
                "the publication publishes updates, deletes or truncates: it must publish inserts \
                 alone; run `outbox-sidecar check`"
                    .to_owned(),
            )),
            kind => Err(reader.malformed(&format!("an unknown change {kind:#04x}"))),
        }
    }

    fn outbox(&self, oid: u32, reader: &Reader<'_>) -> Result<&Relation, SourceError> {
        // The one described last is the one a row belongs to, most of the time.
        let described = self.relations.iter().rev().find(|(known, _)| *known == oid);
        match described.map(|(_, described)| described) {
            Some(Described::Outbox(relation)) => Ok(relation),
            Some(Described::Other(table)) => Err(SourceError::Unfit(format!(
                "the publication carries rows of {table}: it must hold {}.message alone, with \
                 publish_via_partition_root; run `outbox-sidecar check`",
                self.table.schema
            ))),
            None => Err(reader.malformed("a row of a relation that was not described")),
        }
    }

    fn remember(&mut self, oid: u32, described: Described) {
        self.relations.retain(|(known, _)| *known != oid);
        if self.relations.len() >= RELATIONS_MAX {
            // A partition; the outbox itself is described only once.
            let other = |(_, known): &(u32, Described)| matches!(known, Described::Other(_));
            let oldest = self.relations.iter().position(other).unwrap_or(0);
            self.relations.remove(oldest);
        }
        self.relations.push((oid, described));
    }
}
