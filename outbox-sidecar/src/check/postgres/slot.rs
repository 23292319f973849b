use tokio_postgres::Error;

use super::Look;
use crate::source::slot::{Slot, read_slot};

/// When less than this part is left of what the server keeps for a slot, it is close to its end.
const SAFE_PART_MIN: i64 = 5;

/// When this part of the time is over for which nobody may read a slot, it is close to its end.
const INACTIVE_PART_MAX: u32 = 2;

/// What was committed behind the checkpoint is in the table only: to publish all of it once more would be
/// worse than to find out what is missing.
const FIX_OF_LOST: &str = "docs/runbooks/the-database-is-not-the-one.md, The slot is gone: outbox-sidecar verify \
                           names what was not sent; then remove --yes, init --backlog skip, and redeliver";

impl Look<'_> {
    pub(super) async fn slot(&mut self) -> Result<(), Error> {
        let name = self.settings.slot();
        let Some(slot) = read_slot(self.client, &name).await? else {
            let fix = self.fix_of_missing();
            self.findings
                .error("slot", format!("{name} does not exist"), fix);
            return self.room().await;
        };
        self.seen.confirmed_flush = Some(slot.state.confirmed_flush);
        if let Some(fault) = &slot.state.fault {
            let fix = if slot.is_foreign {
                "it is another's, and is not to be dropped: look at postgres.url and relay.name"
            } else {
                FIX_OF_LOST
            };
            self.findings
                .error("slot", format!("{name} cannot be read: {fault}"), fix);
            return Ok(());
        }
        if slot.wal_status == "unreserved" {
            self.findings.error(
                "slot",
                format!("{name} is about to lose log that it needs"),
                "start the relay, or raise max_slot_wal_keep_size",
            );
        } else {
            let by = match (slot.state.holder, slot.inactive) {
                (Some(holder), _) => format!("read by {}", holder.pid),
                (None, Some(inactive)) => format!("free for {} s", inactive.as_secs()),
                (None, None) => "free".to_owned(),
            };
            self.findings.ok(
                "slot",
                format!(
                    "{name} at {}, {by}, {}",
                    slot.state.confirmed_flush, slot.wal_status
                ),
            );
        }
        self.close_to_its_limit(&name, &slot).await?;
        self.close_to_its_time(&name, &slot);
        self.reader(&name, &slot).await?;
        self.fail_over(&name).await
    }

    /// For a slot that is still to be made.
    async fn room(&mut self) -> Result<(), Error> {
        let sql = "select pg_catalog.current_setting('max_replication_slots')::int8, \
                   (select count(*) from pg_catalog.pg_replication_slots)";
        let row = self.client.query_one(sql, &[]).await?;
        let (slots_max, slots): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        if slots >= slots_max {
            self.findings.error(
                "slot",
                format!("all {slots_max} replication slots are in use"),
                "raise max_replication_slots and restart PostgreSQL, or drop a slot that nobody \
                 needs: select slot_name, active from pg_replication_slots",
            );
        }
        Ok(())
    }

    async fn close_to_its_limit(&mut self, name: &str, slot: &Slot) -> Result<(), Error> {
        let Some(safe) = slot
            .safe_wal_bytes
            .filter(|_| slot.wal_status != "unreserved")
        else {
            return Ok(());
        };
        let sql = "select setting::int8 * 1048576 from pg_catalog.pg_settings \
                   where name = 'max_slot_wal_keep_size'";
        let limit: i64 = self.client.query_one(sql, &[]).await?.try_get(0)?;
        if safe < limit / SAFE_PART_MIN {
            self.findings.warning(
                "slot",
                format!("{name} is lost after {safe} more bytes of log, of {limit} that are kept"),
                "start the relay, or raise max_slot_wal_keep_size",
            );
        }
        Ok(())
    }

    /// From PostgreSQL 18 on a slot that nobody reads can end by time.
    fn close_to_its_time(&mut self, name: &str, slot: &Slot) {
        let Some((inactive, limit)) = slot.inactive.zip(slot.inactive_max) else {
            return;
        };
        if !limit.is_zero() && inactive * INACTIVE_PART_MAX >= limit {
            self.findings.warning(
                "slot",
                format!(
                    "nobody has read {name} for {} s: after {} s the server gives it up",
                    inactive.as_secs(),
                    limit.as_secs()
                ),
                "start the relay, or: alter system set idle_replication_slot_timeout = 0; \
                 select pg_reload_conf()",
            );
        }
    }

    /// Whoever reads should be a relay of this name. Its name is seen only with pg_read_all_stats.
    async fn reader(&mut self, name: &str, slot: &Slot) -> Result<(), Error> {
        let Some(holder) = slot.state.holder else {
            return Ok(());
        };
        let sql = "select application_name from pg_catalog.pg_stat_activity where pid = $1";
        let row = self.client.query_opt(sql, &[&holder.pid]).await?;
        let reader: Option<String> = row.map(|row| row.try_get(0)).transpose()?.flatten();
        let ours = format!("outbox-sidecar/{}", self.settings.relay);
        if let Some(reader) = reader.filter(|reader| !reader.is_empty() && *reader != ours) {
            let pid = holder.pid;
            self.findings.error(
                "slot",
                format!(
                    "{name} is read by process {pid}, {reader:?}, which is no relay of this name"
                ),
                format!("end it there; or select pg_terminate_backend({pid})"),
            );
        }
        Ok(())
    }

    /// From PostgreSQL 17 on a slot can follow to a standby.
    async fn fail_over(&mut self, name: &str) -> Result<(), Error> {
        let sql = "select (to_jsonb(s) ->> 'failover')::boolean, \
                   coalesce(pg_catalog.current_setting('synchronized_standby_slots', true), ''), \
                   array(select s.slot_name::text from pg_catalog.pg_replication_slots as s \
                         where s.active) \
                   from pg_catalog.pg_replication_slots as s where s.slot_name = $1";
        let Some(row) = self.client.query_opt(sql, &[&name]).await? else {
            return Ok(());
        };
        let follows: Option<bool> = row.try_get(0)?;
        if follows == Some(false) && self.settings.failover_slot {
            self.findings.warning(
                "slot",
                format!("{name} stays behind when a standby is promoted"),
                format!(
                    "with the relay stopped, by a replication connection: ALTER_REPLICATION_SLOT \
                     {name} (FAILOVER true); or set postgres.failover_slot = false"
                ),
            );
        }
        let (awaited, active): (String, Vec<String>) = (row.try_get(1)?, row.try_get(2)?);
        let awaited = awaited.split(',').map(str::trim);
        for standby in awaited.filter(|standby| !standby.is_empty()) {
            if follows == Some(true) && !active.iter().any(|slot| slot == standby) {
                self.findings.warning(
                    "slot",
                    format!(
                        "nobody reads {standby:?}, for which synchronized_standby_slots makes the \
                         relay wait"
                    ),
                    "start that standby, or take its slot out of synchronized_standby_slots",
                );
            }
        }
        Ok(())
    }
}
