//! A standby that follows a server and can take its place.

use std::time::Duration;

use crate::error::Error;
use crate::postgres::cluster::Cluster;
use crate::postgres::server::{PostgresServer, Shutdown};
use crate::postgres::snapshot::Snapshot;
use crate::wait;

/// The longest a promotion may take on a busy machine.
const PROMOTE_MAX_S: u32 = 60;
/// The longest until a slot is synchronised for good: the server pauses longer after each failure.
const SYNCHRONISED_MAX: Duration = Duration::from_secs(120);
/// The setting that lets a standby take over logical slots, from this version on.
const FAILOVER_SLOTS_SINCE: i32 = 170_000;

/// Standbys.
impl PostgresServer {
    /// Starts a hot standby that streams from this server by a physical slot of this name, and takes
    /// over failover slots where the version has them. The server is stopped for the copy.
    ///
    /// # Errors
    /// When the server refuses, the files cannot be copied, or the standby does not start.
    pub async fn start_standby(&self, slot: &str) -> Result<Self, Error> {
        let client = self.address().connect_as_superuser().await?;
        let made = "select pg_create_physical_replication_slot($1)";
        client
            .execute(made, &[&slot])
            .await
            .map_err(Error::because(format!("slot {slot} cannot be made")))?;
        let version = client.query_one("select current_setting('server_version_num')::int", &[]);
        let version: i32 = version
            .await
            .and_then(|row| row.try_get(0))
            .map_err(Error::because("server version"))?;
        drop(client);
        let primary = format!(
            "host={} port={} user={} dbname=postgres",
            self.address().host(),
            self.address().port(),
            self.address().superuser()
        );
        let mut options = self
            .options
            .clone()
            .setting("primary_conninfo", &primary)
            .setting("primary_slot_name", slot)
            .setting("wal_retrieve_retry_interval", "100ms")
            .setting("hot_standby_feedback", "on");
        if version >= FAILOVER_SLOTS_SINCE {
            options = options
                .setting("sync_replication_slots", "on")
                .setting("synchronized_standby_slots", "");
        }
        self.stop(Shutdown::Fast).await?;
        let snapshot = Snapshot::of(&self.data_directory()).await?;
        // It must answer before the standby asks: whoever is refused pauses for seconds.
        self.restart().await?;
        Self::start_from(self.installation.clone(), options, async |_| {
            let cluster = Cluster::copy_of(&snapshot.data()).await?;
            cluster.remove_slots()?;
            cluster.write("standby.signal", "")?;
            Ok(cluster)
        })
        .await
    }

    /// Waits until this standby would keep the logical slot `slot` of `primary` when it is promoted.
    /// Somebody must read the slot meanwhile: it is kept for good only once it has moved past what the
    /// standby held when it began. `database` is the slot's.
    ///
    /// # Errors
    /// When that has not come about within two minutes, or a server is down.
    pub async fn synchronised(
        &self,
        primary: &Self,
        database: &str,
        slot: &str,
    ) -> Result<(), Error> {
        let superuser = primary.address().superuser();
        let busy = primary.connect(superuser, database).await?;
        let here = self.address().connect_as_superuser().await?;
        let what = format!("slot {slot} synchronised");
        wait::until(&what, SYNCHRONISED_MAX, async || {
            let work = "select pg_log_standby_snapshot(); \
                        select pg_logical_emit_message(true, 'testbed', 'x')";
            let kept = "select 1 from pg_replication_slots \
                        where slot_name = $1 and synced and not temporary";
            busy.batch_execute(work).await.is_ok()
                && here
                    .query(kept, &[&slot])
                    .await
                    .is_ok_and(|rows| !rows.is_empty())
        })
        .await
    }

    /// Waits until this standby has replayed everything that `primary` has written by now.
    ///
    /// # Errors
    /// When it has not within two minutes, or a server is down.
    pub async fn caught_up(&self, primary: &Self) -> Result<(), Error> {
        let there = primary.address().connect_as_superuser().await?;
        let end = there
            .query_one("select pg_current_wal_lsn()::text", &[])
            .await;
        let end: String = end
            .and_then(|row| row.try_get(0))
            .map_err(Error::because("the end of the log"))?;
        let here = self.address().connect_as_superuser().await?;
        let replayed = "select pg_last_wal_replay_lsn() >= $1::text::pg_lsn";
        wait::until(
            "the standby at the log's end",
            SYNCHRONISED_MAX,
            async || {
                let row = here.query_one(replayed, &[&end]).await;
                row.and_then(|row| row.try_get(0)).unwrap_or(false)
            },
        )
        .await
    }

    /// Makes the standby a primary, on a new timeline.
    ///
    /// # Errors
    /// When it does not take the place within a minute.
    pub async fn promote(&self) -> Result<(), Error> {
        let client = self.address().connect_as_superuser().await?;
        let sql = format!("select pg_promote(true, {PROMOTE_MAX_S})");
        let promoted = client.query_one(&sql, &[]).await;
        let promoted: bool = promoted
            .and_then(|row| row.try_get(0))
            .map_err(Error::because("the standby cannot be promoted"))?;
        if promoted {
            Ok(())
        } else {
            Err(Error::new(format!(
                "the standby was not promoted within {PROMOTE_MAX_S} s"
            )))
        }
    }
}
