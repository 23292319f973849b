//! Rows of `outbox.parked` and `outbox.request`, as statements bring them.

use outbox_core::relay::{FailureKind, KeyAfter, ReplayedMessage, SkippedMessage, SourceFailure};
use outbox_core::{MessageId, OutboxRow, Position, TimelineId};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use super::failure_of;
use super::timestamptz::Timestamptz;

const READING: &str = "reading what was set aside";

pub(crate) fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, SourceFailure> {
    row.try_get(index)
        .map_err(|error| failure_of(&error, READING))
}

pub(crate) fn unsigned(row: &Row, index: usize) -> Result<u64, SourceFailure> {
    let number: i64 = column(row, index)?;
    u64::try_from(number).map_err(|_| unreadable(&format!("number {number}")))
}

pub(crate) fn number(row: &Row, index: usize) -> Result<u32, SourceFailure> {
    let number = unsigned(row, index)?;
    u32::try_from(number).map_err(|_| unreadable(&format!("number {number}")))
}

/// A position in two columns; `None` where they are null.
pub(crate) fn position_of(row: &Row, first: usize) -> Result<Option<Position>, SourceFailure> {
    let Some(lsn) = column::<Option<&str>>(row, first)? else {
        return Ok(None);
    };
    let commit_lsn = lsn.parse().map_err(|_| unreadable(&format!("LSN {lsn}")))?;
    let index = number(row, first + 1)?;
    Ok(Some(Position { commit_lsn, index }))
}

/// A position that is never null.
pub(crate) fn position(row: &Row, first: usize) -> Result<Position, SourceFailure> {
    position_of(row, first)?.ok_or_else(|| unreadable("a position that is null"))
}

/// A row of `messages.sql`, of a replay or of a redelivery.
pub(crate) fn message(row: &Row) -> Result<ReplayedMessage, SourceFailure> {
    let text = |index| column::<&str>(row, index).map(Into::into);
    let timeline: Option<i32> = column(row, 3)?;
    let replays: i32 = column(row, 4)?;
    let unsigned =
        |number: i32| u32::try_from(number).map_err(|_| unreadable(&format!("number {number}")));
    let timeline = timeline.map(unsigned).transpose()?.map(TimelineId);
    Ok(ReplayedMessage {
        number: number(row, 0)?,
        origin: timeline.zip(position_of(row, 1)?),
        replays: unsigned(replays)?,
        reason: column(row, 14)?,
        row: OutboxRow {
            id: MessageId::from(column::<Uuid>(row, 5)?),
            destination: text(6)?,
            key: column::<Option<&str>>(row, 7)?.map(Into::into),
            message_type: text(8)?,
            content_type: text(9)?,
            payload: column::<Option<Vec<u8>>>(row, 10)?.map(Into::into),
            headers: text(11)?,
            created_at: column::<Timestamptz>(row, 12)?.0,
        },
    })
}

/// A message that is given up.
pub(crate) fn skipped(row: &Row) -> Result<SkippedMessage, SourceFailure> {
    Ok(SkippedMessage {
        id: MessageId::from(column::<Uuid>(row, 0)?),
        position: position(row, 1)?,
        destination: column(row, 3)?,
        key: column(row, 4)?,
        reason: column(row, 5)?,
    })
}

/// A row of `keys.sql`.
pub(crate) fn key_after(row: &Row) -> Result<KeyAfter, SourceFailure> {
    Ok(KeyAfter {
        destination: column(row, 0)?,
        key: column(row, 1)?,
        blocked_from: position_of(row, 2)?,
    })
}

pub(crate) fn unreadable(what: &str) -> SourceFailure {
    SourceFailure {
        kind: FailureKind::Protocol,
        message: format!("{READING}: {what} cannot be"),
    }
}
