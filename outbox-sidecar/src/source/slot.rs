//! The replication slot, as SQL shows it.

use std::time::Duration;

use outbox_core::relay::{Holder, SlotState};
use outbox_core::{Lsn, Timestamp};
use tokio_postgres::{Client, Error};

/// A slot and how much longer the server keeps log for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) state: SlotState,
    /// It is of another kind or belongs to another database: never ours, whatever its name says.
    pub(crate) is_foreign: bool,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub(crate) wal_status: String,
    /// Bytes of log that may still be written before the slot is in danger; `None` without limit.
    pub(crate) safe_wal_bytes: Option<i64>,
    /// Why the server has given it up; servers before 17 do not say.
    pub(crate) invalidation_reason: Option<String>,
    /// Since when nobody has read it, zero while somebody does; servers before 17 do not know.
    pub(crate) inactive: Option<Duration>,
    /// How long nobody may read it until the server gives it up, zero without limit; servers before 18 have
    /// none.
    pub(crate) inactive_max: Option<Duration>,
}

/// Reads a slot; `None` when it does not exist.
///
/// Columns that only newer servers have are taken from the row as JSON.
/// <https://www.postgresql.org/docs/current/view-pg-replication-slots.html>
pub(crate) async fn read_slot(client: &Client, name: &str) -> Result<Option<Slot>, Error> {
    const SQL: &str = "
        select s.confirmed_flush_lsn::text, s.plugin::text, s.database::text,
               current_database()::text, coalesce(s.wal_status, 'unknown'), s.safe_wal_size,
               to_jsonb(s) ->> 'invalidation_reason', s.active_pid,
               (extract(epoch from r.backend_start) * 1000000)::int8,
               (extract(epoch from r.reply_time) * 1000000)::int8,
               case when to_jsonb(s) ? 'inactive_since' then floor(extract(epoch from coalesce(
                   clock_timestamp() - (to_jsonb(s) ->> 'inactive_since')::timestamptz, '0')))::int8 end,
               extract(epoch from
                   current_setting('idle_replication_slot_timeout', true)::interval)::int8
        from pg_catalog.pg_replication_slots as s
        left join pg_catalog.pg_stat_replication as r on r.pid = s.active_pid
        where s.slot_name = $1";
    let Some(row) = client.query_opt(SQL, &[&name]).await? else {
        return Ok(None);
    };
    let confirmed_flush: Option<String> = row.try_get(0)?;
    let plugin: Option<String> = row.try_get(1)?;
    let database: Option<String> = row.try_get(2)?;
    let here: String = row.try_get(3)?;
    let wal_status: String = row.try_get(4)?;
    let invalidated: Option<String> = row.try_get(6)?;
    let pid: Option<i32> = row.try_get(7)?;
    let foreign = match (plugin.as_deref(), database) {
        (None, _) => Some("it is a physical slot".to_owned()),
        (Some(plugin), _) if plugin != "pgoutput" => {
            Some(format!("it uses the plugin {plugin}, not pgoutput"))
        }
        (_, Some(database)) if database != here => {
            Some(format!("it belongs to database {database}, not {here}"))
        }
        _ => None,
    };
    let is_foreign = foreign.is_some();
    let fault = foreign.or_else(|| match &invalidated {
        Some(reason) => Some(format!("invalidated: {reason}")),
        None if wal_status == "lost" => {
            Some("the server has removed log that it still needed: max_slot_wal_keep_size".into())
        }
        None => None,
    });
    let time = |column| -> Result<Option<Timestamp>, Error> {
        Ok(row
            .try_get::<_, Option<i64>>(column)?
            .map(Timestamp::from_unix_us))
    };
    let duration = |column| -> Result<Option<Duration>, Error> {
        let seconds: Option<i64> = row.try_get(column)?;
        // The server's clock may have been set back.
        Ok(seconds.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0))))
    };
    let holder = match pid {
        Some(pid) => Some(Holder {
            pid,
            backend_start: time(8)?,
            reply_time: time(9)?,
        }),
        None => None,
    };
    let confirmed_flush = confirmed_flush
        .and_then(|text| text.parse().ok())
        .unwrap_or(Lsn::ZERO);
    Ok(Some(Slot {
        state: SlotState {
            confirmed_flush,
            fault,
            holder,
        },
        is_foreign,
        wal_status,
        safe_wal_bytes: row.try_get(5)?,
        invalidation_reason: invalidated,
        inactive: duration(10)?,
        inactive_max: duration(11)?,
    }))
}

/// Ends a holder's walsender, if it still is exactly the one that was seen to be silent.
pub(crate) async fn terminate_holder(client: &Client, holder: &Holder) -> Result<bool, Error> {
    const SQL: &str = "
        select coalesce(bool_or(pg_catalog.pg_terminate_backend(r.pid)), false)
        from pg_catalog.pg_stat_replication as r
        where r.pid = $1
          and (extract(epoch from r.backend_start) * 1000000)::int8 = $2
          and (extract(epoch from r.reply_time) * 1000000)::int8 = $3";
    let (Some(started), Some(replied)) = (holder.backend_start, holder.reply_time) else {
        return Ok(false);
    };
    let row = client
        .query_one(
            SQL,
            &[&holder.pid, &started.as_unix_us(), &replied.as_unix_us()],
        )
        .await?;
    row.try_get(0)
}

#[cfg(test)]
mod tests;
