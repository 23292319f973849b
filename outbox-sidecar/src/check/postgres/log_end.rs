//! Where the server's log ends now.

use outbox_core::Lsn;
use outbox_core::relay::SourceFailure;

use crate::config::Settings;
use crate::control::{connect, failure_of};

/// How far the log is written that the server would find again after a crash; `None` on a standby, which
/// writes none of its own.
///
/// On a connection of its own: what is compared with it may take as long as a broker takes to answer.
pub(in crate::check) async fn log_end(settings: &Settings) -> Result<Option<Lsn>, SourceFailure> {
    let client = connect(&settings.address, "outbox-sidecar check", || {}).await?;
    let sql = "select case when pg_catalog.pg_is_in_recovery() then null \
               else pg_catalog.pg_current_wal_flush_lsn()::text end";
    let end = client.query_one(sql, &[]).await;
    let end: Option<String> = end
        .and_then(|row| row.try_get(0))
        .map_err(|error| failure_of(&error, "reading the end of the log"))?;
    Ok(end.and_then(|text| text.parse().ok()))
}
