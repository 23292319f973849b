use tokio_postgres::Error;

use super::Look;

/// So many slots are named.
const NAMED_MAX: i64 = 10;

impl Look<'_> {
    /// How much log slots keep on the server's disk. How full that disk is, SQL does not tell.
    pub(super) async fn kept_log(&mut self) -> Result<(), Error> {
        // More than max_wal_size the server keeps for nobody else; a slot of its own limit is looked at
        // against that.
        let sql = "select s.slot_name::text, s.active, k.bytes, pg_catalog.pg_size_pretty(k.bytes) \
                   from pg_catalog.pg_replication_slots as s \
                   cross join lateral (select (case when pg_catalog.pg_is_in_recovery() then null \
                       else pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), s.restart_lsn) \
                       end)::int8 as bytes) as k \
                   where k.bytes > (select setting::int8 * 1048576 from pg_catalog.pg_settings \
                                    where name = 'max_wal_size') \
                   order by s.slot_name <> $1, k.bytes desc limit $2";
        let slot = self.settings.slot();
        for row in self.client.query(sql, &[&slot, &NAMED_MAX]).await? {
            let (name, is_read): (String, bool) = (row.try_get(0)?, row.try_get(1)?);
            let kept: String = row.try_get(3)?;
            let found = format!(
                "{name}, which {}, keeps {kept} of log, more than max_wal_size, on the server's disk",
                if is_read { "is behind" } else { "nobody reads" },
            );
            let fix = if name == slot {
                "start the relay; if it runs, see what it waits for: outbox-sidecar status"
                    .to_owned()
            } else if is_read {
                "look at what reads it: select * from pg_stat_replication".to_owned()
            } else {
                format!(
                    "start what reads it, or, if nobody needs it: select pg_drop_replication_slot('{name}')"
                )
            };
            self.findings.warning("log on disk", found, fix);
        }
        Ok(())
    }
}
