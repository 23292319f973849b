//! What a message of the copy may do to its decoder.

use bytes::Bytes;
use outbox_core::schema::SchemaName;

use super::Decoder;
use crate::hostile;

/// XLogData with the outbox's relation, oid 16400, as the migration makes it.
pub(super) const RELATION: &[u8] = b"w\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x6a\xcf\xc0\
    R\0\0\x40\x10outbox\0message\0d\0\x08\
    \x01id\0\0\0\x0b\x86\xff\xff\xff\xff\
    \x01destination\0\0\0\0\x19\xff\xff\xff\xff\
    \x01key\0\0\0\0\x19\xff\xff\xff\xff\
    \x01type\0\0\0\0\x19\xff\xff\xff\xff\
    \x01content_type\0\0\0\0\x19\xff\xff\xff\xff\
    \x01payload\0\0\0\0\x11\xff\xff\xff\xff\
    \x01headers\0\0\0\x0e\xda\xff\xff\xff\xff\
    \x01created_at\0\0\0\x04\xa0\xff\xff\xff\xff";

pub(crate) fn decoder() -> Option<Decoder> {
    let schema = "outbox".parse::<SchemaName>().ok()?;
    Some(Decoder::new(&schema))
}

/// The content of a CopyData message is an event or an error, and so is the same once more: whatever a
/// broken message leaves behind must not hurt the next one.
pub(crate) fn change(content: &[u8]) {
    hostile::bounded(content, |content| {
        let mut decoder = decoder()?;
        for content in [RELATION, content, content] {
            let block = Bytes::copy_from_slice(content);
            let _ = decoder.copy_data(&block, &block);
        }
        Some(())
    });
}
