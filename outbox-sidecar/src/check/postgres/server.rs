use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_postgres::Error;

use super::Look;
use crate::setup::VERSION_MIN;

/// How far the server's clock may be from ours.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(1);

impl Look<'_> {
    pub(super) async fn server(&mut self) -> Result<(), Error> {
        let sql = "select pg_catalog.current_setting('server_version'), \
                   pg_catalog.current_setting('server_version_num')::int, \
                   pg_catalog.current_setting('wal_level'), pg_catalog.pg_is_in_recovery(), \
                   pg_catalog.current_setting('synchronous_standby_names'), \
                   pg_catalog.current_setting('transaction_read_only')";
        let row = self.client.query_one(sql, &[]).await?;
        let (version, number): (String, i32) = (row.try_get(0)?, row.try_get(1)?);
        let in_recovery = row.try_get(3)?;
        if number < VERSION_MIN {
            self.findings.error(
                "server",
                format!("PostgreSQL {version}"),
                "upgrade to 15 or later",
            );
        } else if in_recovery {
            self.findings.error(
                "server",
                format!("PostgreSQL {version} is a standby"),
                "name the primary in postgres.url",
            );
        } else {
            self.findings.ok("server", format!("PostgreSQL {version}"));
        }
        if !in_recovery && row.try_get::<_, String>(5)? == "on" {
            let user = self.settings.address.user();
            self.findings.error(
                "server",
                "transactions are read-only here: the relay cannot keep its row",
                format!(
                    "alter role {user} reset default_transaction_read_only; or of the database"
                ),
            );
        }
        let wal_level: String = row.try_get(2)?;
        if wal_level == "logical" {
            self.findings.ok("wal_level", wal_level);
        } else {
            self.findings.error(
                "wal_level",
                format!("{wal_level}, not logical"),
                "alter system set wal_level = logical; then restart PostgreSQL",
            );
        }
        let standbys: String = row.try_get(4)?;
        if standbys.contains('*') {
            self.findings.error(
                "synchronous_standby_names",
                format!(
                    "{standbys:?} makes the relay a synchronous standby: with the broker away \
                         every commit waits"
                ),
                "name the standbys: alter system set synchronous_standby_names = 'standby1'",
            );
        }
        Ok(())
    }

    /// Latencies and lags are told by our clock from the server's times.
    pub(super) async fn clock(&mut self) -> Result<(), Error> {
        let sql = "select (extract(epoch from pg_catalog.clock_timestamp()) * 1000000)::int8";
        let before = since_epoch();
        let server: i64 = self.client.query_one(sql, &[]).await?.try_get(0)?;
        let server = Duration::from_micros(u64::try_from(server).unwrap_or(0));
        match skew(before, server, since_epoch()) {
            skew if skew > CLOCK_SKEW_MAX => self.findings.warning(
                "clock",
                format!(
                    "the server's differs from ours by {} ms: latencies and lags are off by that",
                    skew.as_millis()
                ),
                "synchronise both by NTP: chronyc makestep",
            ),
            _ => self.findings.ok("clock", "agrees with the server's"),
        }
        Ok(())
    }
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// How far the server's time lies outside of the time that it took to ask.
fn skew(before: Duration, server: Duration, after: Duration) -> Duration {
    before
        .saturating_sub(server)
        .max(server.saturating_sub(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_off_by_what_asking_does_not_explain() {
        let seconds = Duration::from_secs;
        assert_eq!(skew(seconds(10), seconds(11), seconds(13)), Duration::ZERO);
        assert_eq!(skew(seconds(10), seconds(7), seconds(13)), seconds(3));
        assert_eq!(skew(seconds(10), seconds(18), seconds(13)), seconds(5));
    }
}
