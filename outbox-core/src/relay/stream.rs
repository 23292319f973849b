use bytes::Bytes;
use bytestring::ByteString;

use crate::{Lsn, OutboxRow, Timestamp};

/// What the replication stream says, in the order it says it.
///
/// Transactions come whole, after they committed, in commit order (pgoutput, protocol 1,
/// streaming off: <https://www.postgresql.org/docs/current/protocol-logical-replication.html>).
#[derive(Clone, Debug, PartialEq)]
pub enum StreamEvent {
    /// A committed transaction begins.
    Begin {
        /// Where its commit record starts.
        commit_lsn: Lsn,
        /// When it committed, by the server's clock.
        commit_time: Timestamp,
        /// When the server sent this, by the same clock.
        sent_at: Timestamp,
        /// Its transaction id (32 bits: it wraps around).
        xid: u32,
    },
    /// A row that the transaction inserted into the outbox.
    Row(OutboxRow),
    /// A transactional logical message inside the transaction.
    LogicalMessage {
        /// Says whose message it is; every subscriber receives all.
        prefix: ByteString,
        /// The message as emitted.
        content: Bytes,
    },
    /// The transaction is complete.
    Commit {
        /// Where its commit record starts: the same as in `Begin`.
        commit_lsn: Lsn,
        /// Where its commit record ends.
        end_lsn: Lsn,
    },
    /// The server has sent everything before `wal_end`.
    Keepalive {
        /// The end of what was sent; it falls back after a reconnect.
        wal_end: Lsn,
        /// Whether the server wants to hear from us at once.
        reply_requested: bool,
    },
}
