//! The messages of a server, made byte by byte after the protocol's documentation.

use bytes::{BufMut, Bytes};
use outbox_core::relay::StreamEvent;
use outbox_core::schema::SchemaName;

use crate::source::SourceError;
use crate::source::pgoutput::Decoder;

pub(super) const OUTBOX_OID: u32 = 16_400;

/// The outbox's columns as the migration makes them, with the oids of their types.
pub(super) const COLUMNS: [(&str, u32); 8] = [
    ("id", 2950),
    ("destination", 25),
    ("key", 25),
    ("type", 25),
    ("content_type", 25),
    ("payload", 17),
    ("headers", 3802),
    ("created_at", 1184),
];

pub(super) fn decoder() -> Decoder {
    Decoder::new(&"outbox".parse::<SchemaName>().unwrap())
}

/// Decodes one CopyData content that stands somewhere inside a larger block.
pub(super) fn decode(
    decoder: &mut Decoder,
    content: &[u8],
) -> Result<Option<StreamEvent>, SourceError> {
    let block = Bytes::from([b"before", content, b"after"].concat());
    decoder.copy_data(&block, &block[6..6 + content.len()])
}

/// A change inside XLogData.
/// When the server sent each change, as it writes that.
pub(super) const SENT_AT_US: i64 = 7_000_000;

pub(super) fn change(body: &[u8]) -> Vec<u8> {
    [&b"w"[..], &[0; 16], &SENT_AT_US.to_be_bytes(), body].concat()
}

pub(super) fn begin(commit_lsn: u64, time: i64, xid: u32) -> Vec<u8> {
    let mut body = vec![b'B'];
    body.put_u64(commit_lsn);
    body.put_i64(time);
    body.put_u32(xid);
    change(&body)
}

pub(super) fn commit(commit_lsn: u64, end_lsn: u64) -> Vec<u8> {
    let mut body = vec![b'C', 0];
    body.put_u64(commit_lsn);
    body.put_u64(end_lsn);
    body.put_i64(7);
    change(&body)
}

pub(super) fn relation(oid: u32, schema: &str, table: &str, columns: &[(&str, u32)]) -> Vec<u8> {
    let mut body = vec![b'R'];
    body.put_u32(oid);
    for name in [schema, table] {
        body.put_slice(name.as_bytes());
        body.put_u8(0);
    }
    body.put_u8(b'd');
    body.put_u16(columns.len().try_into().unwrap());
    for (name, type_oid) in columns {
        body.put_u8(1);
        body.put_slice(name.as_bytes());
        body.put_u8(0);
        body.put_u32(*type_oid);
        body.put_i32(-1);
    }
    change(&body)
}

pub(super) enum Sent<'a> {
    Null,
    Binary(&'a [u8]),
    Text(&'a str),
}

pub(super) fn insert(oid: u32, values: &[Sent<'_>]) -> Vec<u8> {
    let mut body = vec![b'I'];
    body.put_u32(oid);
    body.put_u8(b'N');
    body.put_u16(values.len().try_into().unwrap());
    for value in values {
        let (kind, bytes) = match value {
            Sent::Null => {
                body.put_u8(b'n');
                continue;
            }
            Sent::Binary(bytes) => (b'b', *bytes),
            Sent::Text(text) => (b't', text.as_bytes()),
        };
        body.put_u8(kind);
        body.put_u32(bytes.len().try_into().unwrap());
        body.put_slice(bytes);
    }
    change(&body)
}

pub(super) fn logical_message(flags: u8, prefix: &str, content: &[u8]) -> Vec<u8> {
    let mut body = vec![b'M', flags];
    body.put_u64(5);
    body.put_slice(prefix.as_bytes());
    body.put_u8(0);
    body.put_u32(content.len().try_into().unwrap());
    body.put_slice(content);
    change(&body)
}

pub(super) fn keepalive(wal_end: u64, reply_requested: bool) -> Vec<u8> {
    let mut content = vec![b'k'];
    content.put_u64(wal_end);
    content.put_i64(0);
    content.put_u8(u8::from(reply_requested));
    content
}

/// One of every message that a stream of an outbox holds.
pub(super) fn recorded() -> Vec<Vec<u8>> {
    vec![
        begin(100, 0, 9),
        change(b"O\0\0\0\0\0\0\0\x05origin\0"),
        change(b"Y\0\0\x40\x01public\0mood\0"),
        relation(OUTBOX_OID + 1, "outbox", "message_default", &COLUMNS),
        relation(OUTBOX_OID, "outbox", "message", &COLUMNS),
        binary_row(),
        text_row(),
        logical_message(1, "outbox.request.policy", b"{}"),
        logical_message(0, "other", b""),
        commit(100, 148),
        keepalive(200, true),
    ]
}

pub(super) fn binary_row() -> Vec<u8> {
    insert(
        OUTBOX_OID,
        &[
            Sent::Binary(&[7; 16]),
            Sent::Binary(b"policy-events"),
            Sent::Null,
            Sent::Binary(b"PolicyIssued"),
            Sent::Binary(b"application/json"),
            Sent::Binary(b"\x00\xFF payload"),
            Sent::Binary(b"\x01{\"a\": \"b\"}"),
            Sent::Binary(&1_000_000_i64.to_be_bytes()),
        ],
    )
}

pub(super) fn text_row() -> Vec<u8> {
    insert(
        OUTBOX_OID,
        &[
            Sent::Text("07070707-0707-0707-0707-070707070707"),
            Sent::Text("policy-events"),
            Sent::Text("k"),
            Sent::Text("PolicyIssued"),
            Sent::Text("application/json"),
            Sent::Text(r"\x00ff207061796c6f6164"),
            Sent::Text("{\"a\": \"b\"}"),
            Sent::Text("2000-01-01 01:00:01+01"),
        ],
    )
}
