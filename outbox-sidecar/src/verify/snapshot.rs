//! The outbox as it is at one moment, and where its log ends then.

use outbox_core::relay::{FailureKind, SourceFailure};
use outbox_core::{Lsn, MessageId, Timestamp};
use tokio_postgres::Client;
use tokio_postgres::binary_copy::BinaryCopyOutRow;
use tokio_postgres::types::Type;

use super::VerifyOptions;
use super::content::{Content, KeyText, Row};
use super::copying::{ROW_MAX, connect_to_copy, copy_rows};
use super::digest::Digester;
use super::error::VerifyError;
use super::join::hash;
use super::names::Names;
use super::progress::Progress;
use super::record::RowRecord;
use super::spill::Spill;
use super::window::Window;
use crate::config::Settings;
use crate::control::{failure_of, within};
use crate::sink::message_text::write_timestamp;
use crate::source::quote::quote_literal;

/// What the relay must have published.
pub(super) struct Snapshot {
    pub(super) rows: Spill<RowRecord>,
    pub(super) names: Names,
    /// Where the log ended before: what is committed behind it may not be among the rows.
    pub(super) begin: Lsn,
    /// Where it ended after: every row was committed before it.
    pub(super) end: Lsn,
}

/// The columns, as they are asked for, and what their binary forms are read as: an id is 16 bytes, a
/// time a number of microseconds since 2000.
const COLUMNS: &str =
    "id, destination, key, type, content_type, payload, headers::text, created_at";
const TYPES: [Type; 8] = [
    Type::BYTEA,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::BYTEA,
    Type::TEXT,
    Type::INT8,
];

/// Reads the rows that this relay carries, one after the other, and puts them by.
pub(super) async fn take(
    settings: &Settings,
    options: &VerifyOptions,
    digester: &Digester,
    progress: &Progress,
) -> Result<Snapshot, VerifyError> {
    let client = connect_to_copy(settings).await?;
    let begin = log_end(&client).await?;
    let opening = "begin transaction isolation level repeatable read, read only";
    let doing = "beginning to read the outbox";
    within(ROW_MAX, doing, client.batch_execute(opening)).await?;
    // The transaction's first query: what it sees is settled before the log is looked at.
    let end = log_end(&client).await?;
    let mut snapshot = Snapshot {
        rows: Spill::new(&options.directory)?,
        names: Names::default(),
        begin,
        end,
    };
    let statement = statement(settings, &options.window);
    let doing = "reading the outbox";
    copy_rows(&client, &statement, &TYPES, doing, |row| {
        let row = outbox_row(row).map_err(VerifyError::Row)?;
        let number = snapshot.names.number(row.destination);
        let destination = number.ok_or(VerifyError::TooManyDestinations)?;
        let record = RowRecord {
            id: row.id,
            content: Content::of_row(&row, destination, digester),
            key_text: KeyText::new(row.key.map(str::as_bytes)),
        };
        snapshot.rows.push(hash(digester, &row.id), &record)?;
        progress.row();
        Ok(())
    })
    .await?;
    snapshot.rows.finish()?;
    let doing = "ending to read the outbox";
    within(ROW_MAX, doing, client.batch_execute("commit")).await?;
    Ok(snapshot)
}

fn statement(settings: &Settings, window: &Window) -> String {
    let mut conditions: Vec<String> = settings.row_filter.iter().cloned().collect();
    conditions.extend(enqueued_within(window));
    let filter = match conditions.as_slice() {
        [] => String::new(),
        conditions => format!(" where {}", conditions.join(" and ")),
    };
    let schema = settings.schema.quoted();
    format!("copy (select {COLUMNS} from {schema}.message{filter}) to stdout (format binary)")
}

/// The conditions that let rows through that were enqueued then; each begins with the column.
pub(super) fn enqueued_within(window: &Window) -> Vec<String> {
    let mut conditions = Vec::new();
    for (comparison, time) in [(">=", window.from), ("<", window.to)] {
        if let Some(time) = time {
            let mut text = String::new();
            write_timestamp(&mut text, time);
            let literal = quote_literal(&text);
            conditions.push(format!("created_at {comparison} {literal}::timestamptz"));
        }
    }
    conditions
}

/// Where the log ends, for commits: a page's header behind the last record is not counted, because
/// nobody's checkpoint stands there.
async fn log_end(client: &Client) -> Result<Lsn, VerifyError> {
    let sql = "select pg_catalog.pg_current_wal_insert_lsn()::text, \
               pg_catalog.current_setting('wal_block_size')::int8, \
               pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size'))";
    let doing = "reading the end of the log";
    let row = within(ROW_MAX, doing, client.query_one(sql, &[])).await?;
    let read = || -> Result<(String, i64, i64), tokio_postgres::Error> {
        Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
    };
    let (end, page, segment) = read().map_err(|error| failure_of(&error, doing))?;
    let end: Lsn = end.parse().map_err(|error| SourceFailure {
        kind: FailureKind::Other,
        message: format!("{doing}: {error}"),
    })?;
    let bytes = |size: i64| u64::try_from(size).unwrap_or_default();
    Ok(without_header(end, bytes(page), bytes(segment)))
}

/// The header of a page, and of a segment's first page.
const PAGE_HEADER_BYTES: u64 = 24;
const SEGMENT_HEADER_BYTES: u64 = 40;

fn without_header(end: Lsn, page: u64, segment: u64) -> Lsn {
    let end = end.as_u64();
    let within = |size: u64| end.checked_rem(size).unwrap_or(end);
    let header = match within(segment) {
        SEGMENT_HEADER_BYTES => SEGMENT_HEADER_BYTES,
        at if at > page && within(page) == PAGE_HEADER_BYTES => PAGE_HEADER_BYTES,
        _ => 0,
    };
    Lsn::new(end - header)
}

fn outbox_row(row: &BinaryCopyOutRow) -> Result<Row<'_>, tokio_postgres::Error> {
    // The server sends 16 bytes for a uuid.
    let id: &[u8] = row.try_get(0)?;
    Ok(Row {
        id: MessageId::from_bytes(id.try_into().unwrap_or_default()),
        destination: row.try_get(1)?,
        key: row.try_get(2)?,
        message_type: row.try_get(3)?,
        content_type: row.try_get(4)?,
        payload: row.try_get(5)?,
        headers: row.try_get(6)?,
        created_at: Timestamp::from_postgresql_us(row.try_get(7)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_behind_the_last_record_does_not_count() {
        let (page, segment) = (8192, 16 * 1024 * 1024);
        for (end, expected) in [
            (0, 0),
            (100, 100),
            (8192, 8192),
            (8192 + 24, 8192),
            (8192 + 40, 8192 + 40),
            (segment + 40, segment),
            (segment + 24, segment + 24),
            (segment + 48, segment + 48),
            (segment + 8192 + 24, segment + 8192),
        ] {
            let found = without_header(Lsn::new(end), page, segment);
            assert_eq!(found, Lsn::new(expected), "{end}");
        }
    }
}
