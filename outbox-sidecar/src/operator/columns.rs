//! What stands in a column of an answer, or why it cannot be read.

use outbox_core::relay::{FailureKind, SourceFailure};
use outbox_core::{Position, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use crate::control::failure_of;

/// Anything.
pub(crate) fn column<'a, T: FromSql<'a>>(
    row: &'a Row,
    name: &str,
    doing: &str,
) -> Result<T, SourceFailure> {
    row.try_get(name).map_err(|error| failure_of(&error, doing))
}

/// A number that cannot be negative.
pub(crate) fn count(row: &Row, name: &str, doing: &str) -> Result<u64, SourceFailure> {
    let count: i64 = column(row, name, doing)?;
    u64::try_from(count).map_err(|_| unreadable(doing, &format!("{name} = {count}")))
}

/// The columns `lsn`, as text, and `index`.
pub(crate) fn position(row: &Row, doing: &str) -> Result<Position, SourceFailure> {
    let lsn: String = column(row, "lsn", doing)?;
    let index: i64 = column(row, "index", doing)?;
    let read = lsn.parse().ok().zip(u32::try_from(index).ok());
    let (commit_lsn, index) =
        read.ok_or_else(|| unreadable(doing, &format!("position {lsn}:{index}")))?;
    Ok(Position { commit_lsn, index })
}

/// A time, in microseconds since 1970.
pub(crate) fn time(row: &Row, name: &str, doing: &str) -> Result<Option<Timestamp>, SourceFailure> {
    let us: Option<i64> = column(row, name, doing)?;
    Ok(us.map(Timestamp::from_unix_us))
}

pub(super) fn unreadable(doing: &str, what: &str) -> SourceFailure {
    SourceFailure {
        kind: FailureKind::Protocol,
        message: format!("{doing}: {what} cannot be"),
    }
}
